"""Summarizes a group of runs in sentences and tables."""

import math

from loadgen.analyze.results import Group, RepeatedFigure, RepeatedLimit
from loadgen_reports import format as fmt
from loadgen_reports.finding_text import Style
from loadgen_reports.sentences import VERDICT, emulation
from loadgen_reports.tables import Cell, Column, Table


def opening(group: Group) -> list[str]:
    """The opening paragraph, sentence by sentence: verdict, the limits that decide it, and the phases."""
    count = len(group.runs)
    passed = sum(run.verdict == "pass" for run in group.runs)
    start = f"{VERDICT[group.verdict]}: {passed} of {count} {fmt.plural(count, 'run')} passed"
    if invalid := sum(run.verdict == "invalid" for run in group.runs):
        start += f", {invalid} cannot be judged"
    sentences = [f"{start}."]
    if count < group.planned:
        sentences.append(f"{fmt.count(group.planned)} runs were planned, and the others have no load.")
    notable = [each for each in group.limits if each.close or not all(each.met)]
    sentences += [limit_sentence(each) for each in notable]
    if group.limits and not notable:
        words = {1: "The one limit was", 2: "Both limits were"}
        which = words.get(len(group.limits), f"All {fmt.number_word(len(group.limits))} limits were")
        sentences.append(f"{which} met in every run.")
    return [fmt.clean(each) for each in (*sentences, phases_sentence(group))]


def summary_lines(group: Group) -> list[str]:
    """The summary for a console: the opening, and a line on what is emulated."""
    lines = opening(group)
    if group.emulated:
        lines.append(f"  {fmt.clean(emulation(group.emulated))}")
    return lines


def limit_sentence(limit: RepeatedLimit) -> str:
    """How many runs met a limit, the spread of the values, and whether that decides it."""
    text = f"{limit.figure.title}, limit {_quantity(limit.limit, limit.figure.unit)}: {met_text(limit)}"
    if spread := spread_text(limit.figure):
        text += f", {spread}"
    return f"{text}. {close_sentence(limit)}".rstrip()


def met_text(limit: RepeatedLimit) -> str:
    """In how many runs a limit was met: `3 of 3 met`."""
    unknown = limit.met.count(None)
    text = f"{limit.met.count(True)} of {len(limit.met)} met"
    return f"{text}, {unknown} unknown" if unknown else text


def close_sentence(limit: RepeatedLimit) -> str:
    """Whether a limit is too close to call, and how many repeats would decide it; empty if it is not."""
    mean = limit.figure.mean
    if not limit.close:
        return ""
    if mean is None:
        return "Too close to call: the runs differ, and their mean is unknown."
    unit = limit.figure.unit
    text = (
        f"Too close to call: the mean is {_quantity(mean.value, unit)} "
        f"({_quantity(mean.low, unit)} to {_quantity(mean.high, unit)} at 95 %)"
    )
    if limit.repeats is None:
        return f"{text}, so near the limit that no practical number of repeats would decide it."
    return f"{text}; with this spread, --repeats {limit.repeats} would decide it."


def spread_text(figure: RepeatedFigure) -> str:
    """The least and the greatest value: `6.1 s to 8.4 s`; empty without values."""
    values = [value for value in figure.values if value is not None]
    if not values:
        return ""
    low, high = _quantity(min(values), figure.unit), _quantity(max(values), figure.unit)
    return low if low == high else f"{low} to {high}"


def phases_sentence(group: Group) -> str:
    """When the loads started relative to the syncs of the autoscaler, and what the runs cannot show."""
    if len(group.runs) == 1:
        return "One run does not show how much of its values is luck: --repeats 3 gives their spread."
    phases = [run.phase_s for run in group.runs if run.phase_s is not None]
    if len(phases) < len(group.runs):
        return "No sync of an autoscaler was observed before the load of every run, so their phases are random."
    listed = fmt.join_list(f"{phase:.3g}" for phase in phases)
    return f"The loads started {listed} s after a sync of the autoscaler (period {group.sync_period_s:g} s)."


def limits_table(group: Group) -> Table:
    """Each limit with its value in every run."""
    rows = [
        (
            Cell(text=each.figure.title, note=each.code),
            Cell(text=_quantity(each.limit, each.figure.unit)),
            Cell(text=met_text(each), style=_style(each)),
            *(
                Cell(text=_quantity(value, each.figure.unit), style="" if met is not False else "over")
                for value, met in zip(each.figure.values, each.met, strict=True)
            ),
            Cell(text=mean_text(each.figure)),
            Cell(
                text=close_sentence(each) or ("The limit is outside the interval." if each.figure.mean else fmt.MISSING)
            ),
        )
        for each in group.limits
    ]
    return Table(
        key="limits",
        title="Limits",
        columns=(
            Column(label="Limit on"),
            Column(label="Limit", numeric=True),
            Column(label="Result"),
            *_run_columns(group),
            Column(label="Mean", numeric=True),
            Column(label="Meaning"),
        ),
        rows=tuple(rows),
        notes=(_METHOD,) if len(group.runs) > 1 else (),
    )


def figures_table(group: Group) -> Table:
    """Other figures with their value in every run."""
    rows = [
        (
            Cell(text=each.title),
            *(Cell(text=_quantity(value, each.unit)) for value in each.values),
            Cell(text=spread_text(each) or fmt.MISSING),
            Cell(text=mean_text(each)),
        )
        for each in group.figures
        if any(value is not None for value in each.values)
    ]
    return Table(
        key="figures",
        title="Figures",
        columns=(
            Column(label="Figure"),
            *_run_columns(group),
            Column(label="Spread", numeric=True),
            Column(label="Mean", numeric=True),
        ),
        rows=tuple(rows),
    )


def runs_table(group: Group) -> Table:
    """The runs with their own verdicts."""
    styles: dict[str, Style] = {"pass": "pass", "fail": "fail", "invalid": "invalid"}
    return Table(
        key="runs",
        title="Runs",
        columns=(
            Column(label="Run"),
            Column(label="Verdict"),
            Column(label="Load after a sync", numeric=True),
            Column(label="Folder"),
        ),
        rows=tuple(
            (
                Cell(text=str(run.number)),
                Cell(text=VERDICT[run.verdict], style=styles[run.verdict]),
                Cell(text=fmt.MISSING if run.phase_s is None else f"{run.phase_s:.3g} s"),
                Cell(text=run.run_id, literal=True),
            )
            for run in group.runs
        ),
        notes=("Each folder has the report of its run.",),
    )


def mean_text(figure: RepeatedFigure) -> str:
    """The mean with its interval; missing where it is unknown."""
    mean = figure.mean
    if mean is None:
        return fmt.MISSING
    half = (mean.high - mean.low) / 2
    return f"{_quantity(mean.value, figure.unit)} ± {_quantity(half, figure.unit)}"


_METHOD = (
    "Mean with its 95 % interval by Student's t, as if the phases were drawn at random. A group passes if every run "
    "does; a limit inside the interval, or without one met in some runs only, is too close to call."
)


def _style(limit: RepeatedLimit) -> Style:
    if limit.close:
        return "warning"
    return "fail" if False in limit.met else "invalid" if None in limit.met else "pass"


def _run_columns(group: Group) -> tuple[Column, ...]:
    return tuple(Column(label=f"Run {run.number}", numeric=True) for run in group.runs)


def _quantity(value: float | None, unit: str) -> str:
    if value is not None and math.isinf(value):
        return fmt.NO_VALUE
    return fmt.quantity(value, unit)
