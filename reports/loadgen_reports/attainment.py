"""Describes the SLO attainment of a run: the worst windows in a sentence, and all windows in violation as a table."""

import math

from loadgen.analyze.findings.codes import SLO
from loadgen.analyze.results import Analysis, Attainment, AttainmentWindow, Violation
from loadgen_reports import format as fmt
from loadgen_reports.tables import MAX_ROWS, Cell, Column, Table


def worst_windows(analysis: Analysis) -> str | None:
    """The worst windows in violation as a clause without a full stop; None if none was in violation for certain.

    For example `in the worst 90 s, from 15:00 to 16:30, TTFT p95 was 30 s (limit 2 s)`.
    """
    attained = analysis.attainment
    if attained is None or attained.worst is None:
        return None
    worst = attained.worst
    length = fmt.rounded_duration(worst.end_s - worst.start_s)
    place = f"in the worst {length}, from {fmt.clock(worst.start_s)} to {fmt.clock(worst.end_s)}"
    return f"{place}, {_what_happened(worst, attained)}"


def _what_happened(worst: Violation, attained: Attainment) -> str:
    if worst.metric is None or worst.statistic is None or worst.measured_s is None:
        share = f"only {fmt.percent(worst.attained / worst.requests)} of {_requests(worst.requests)}"
        return f"{share} met the limits ({fmt.percent(attained.target_ratio)} required)"
    title = SLO[worst.metric, worst.statistic].title
    limit = f"limit {fmt.seconds(worst.limit_s)}"
    if math.isinf(worst.measured_s):
        never = worst.requests - worst.attained
        return f"{title} had no value ({limit}): {fmt.count(never)} of {_requests(worst.requests)} missed the limits"
    least = "at least " if worst.at_least else ""
    return f"{title} was {least}{fmt.seconds(worst.measured_s)} ({limit})"


def _requests(count: int) -> str:
    return f"{fmt.count(count)} {fmt.plural(count, 'request')}"


def violation_sentence(analysis: Analysis) -> list[str]:
    """How long the run was in violation in all; empty if it was not for longer than the worst windows."""
    attained = analysis.attainment
    if analysis.verdict == "invalid" or attained is None or attained.worst is None:
        return []
    total_s = attained.in_violation_lower_s
    if total_s <= attained.worst.end_s - attained.worst.start_s + 1e-6:
        return []
    length_s = attained.whole.end_s - attained.whole.start_s
    return [
        f"{fmt.rounded_duration(total_s)} of {fmt.rounded_duration(length_s)} were in violation: in windows of "
        f"{fmt.rounded_duration(attained.window_s)}, fewer than {fmt.percent(attained.target_ratio)} of the requests "
        f"met the limits."
    ]


def attainment_table(analysis: Analysis) -> Table:
    """The attainment of every window in violation, or that may be, and of the whole run; empty without limits."""
    attained = analysis.attainment
    return Table(
        key="attainment",
        title="SLO attainment",
        columns=(
            Column(label="Window", term="in-violation"),
            Column(label="Requests", numeric=True),
            Column(label="Attained", numeric=True, term="attainment"),
            Column(label="Burn rate", numeric=True, term="burn"),
            Column(label="Goodput /s", numeric=True, term="goodput"),
            Column(label="Result"),
        ),
        rows=() if attained is None else _rows(attained),
        notes=() if attained is None else _notes(attained),
    )


def _shown(attained: Attainment) -> list[AttainmentWindow]:
    """The windows in violation, or that may be, in order; of too many, those with the lowest attainment."""
    violated = [window for window in attained.windows if window.in_violation is not False]
    lowest = sorted(violated, key=lambda window: (window.attainment_upper, window.start_s))[: MAX_ROWS - 1]
    return sorted(lowest, key=lambda window: window.start_s)


def _rows(attained: Attainment) -> tuple[tuple[Cell, ...], ...]:
    named = [(fmt.time_span(window.start_s, window.end_s), window) for window in _shown(attained)]
    return tuple(_row(name, window, attained.target_ratio) for name, window in [*named, ("whole run", attained.whole)])


def _row(name: str, window: AttainmentWindow, target: float) -> tuple[Cell, ...]:
    low, high = (
        fmt.measured_and_limit(share, target, "ratio")[0]
        for share in (window.attainment_lower, window.attainment_upper)
    )
    result = {True: "below the target", False: "on target", None: "not known"}[window.in_violation]
    return (
        Cell(text=name),
        Cell(text=fmt.count(window.requests)),
        Cell(text=_range(low, high), style="over" if window.in_violation else ""),
        Cell(text=_range(fmt.number(window.burn_lower), fmt.number(window.burn_upper))),
        Cell(text=_range(fmt.number(window.goodput_lower_per_s), fmt.number(window.goodput_upper_per_s))),
        Cell(text=result),
    )


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _notes(attained: Attainment) -> tuple[str, ...]:
    target, shown = fmt.percent(attained.target_ratio), len(_shown(attained))
    limits = [f"{metric.upper()} ≤ {fmt.seconds(limit)}" for metric, limit in attained.limits_s.items()]
    means = f"was answered within {fmt.join_list(limits)}" if limits else "was answered"
    violated = sum(window.in_violation is True for window in attained.windows)
    notes = [
        f"A request attained if it {means}; the target is {target} of the requests of each window.",
        f"{fmt.count(violated)} of {fmt.count(len(attained.windows))} windows of "
        f"{fmt.rounded_duration(attained.window_s)} were in violation, "
        f"{fmt.rounded_duration(attained.in_violation_lower_s)} in all; the others are in analysis.json.",
    ]
    omitted = sum(window.in_violation is not False for window in attained.windows) - shown
    if omitted:
        notes.append(f"{fmt.count(omitted)} more windows in violation, with a higher attainment, in analysis.json.")
    if attained.whole.unknown:
        count = attained.whole.unknown
        notes.append(
            f"Two values: {fmt.count(count)} {fmt.plural(count, 'request')} in flight when the run was stopped could "
            f"still have attained."
        )
    return tuple(notes)
