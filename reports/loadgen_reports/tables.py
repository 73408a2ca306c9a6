"""The tables of a report as values, shared by page and Markdown.

A table consists of columns and rows of formatted text; a renderer only escapes it and lays it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.analyze.findings.codes import SLO_METRICS
from loadgen.analyze.results import Analysis, Correlation, Finding, Latencies, OutcomeCount, Stats
from loadgen.dataset import terms
from loadgen.dataset.names import OUTCOMES, Cause, Outcome
from loadgen_reports import distribution
from loadgen_reports import format as fmt
from loadgen_reports.finding_text import Style, measured_text, result, sentence, value_and_limit, window_text

MAX_ROWS = 60
"""A server may return thousands of different error messages."""
MIN_VALUES = 20
"""With fewer values, p95 is the maximum."""
STATISTICS = ("p50", "p90", "p95", "p99", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column heading; `term` is its key in the glossary, `numeric` columns are aligned right."""

    label: str
    numeric: bool = False
    term: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell: text, an optional second line, its style, and whether the text is set as code."""

    text: str
    note: str | None = None
    style: Style = ""
    literal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with its caption, rows and footnotes; the first cell of a row is the row heading.

    Rows in `group_starts` start a new group and have a stronger rule above.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    group_starts: tuple[int, ...] = ()


def capped(rows: Sequence[tuple[Cell, ...]], noun: str) -> tuple[tuple[tuple[Cell, ...], ...], tuple[str, ...]]:
    """The first `MAX_ROWS` rows, and a footnote with the number of omitted rows."""
    omitted = len(rows) - MAX_ROWS
    if omitted <= 0:
        return tuple(rows), ()
    return tuple(rows[:MAX_ROWS]), (f"{fmt.count(omitted)} more {noun} in analysis.json.",)


def findings(analysis: Analysis) -> Table:
    """Every finding: unmet ones first, then passed ones and notes."""
    order = {"invalid": 0, "fail": 1, "warning": 2, "info": 4}
    ranked = sorted(analysis.findings, key=lambda f: 3 if f.passed else order[f.severity])
    return Table(
        key="findings",
        title="Findings",
        columns=(
            Column(label="Check"),
            Column(label="Result"),
            Column(label="Measured", numeric=True),
            Column(label="Limit", numeric=True),
            Column(label="Window"),
            Column(label="Meaning and advice"),
        ),
        rows=tuple(_finding_row(finding) for finding in ranked),
    )


def _finding_row(finding: Finding) -> tuple[Cell, ...]:
    text, style = result(finding)
    return (
        Cell(text=finding.title, note=finding.code),
        Cell(text=text, style=style),
        Cell(text=measured_text(finding)),
        Cell(text=value_and_limit(finding)[1]),
        Cell(text=window_text(finding)),
        Cell(text=sentence(finding.advice)),
    )


def groups(analysis: Analysis) -> tuple[Latencies, ...]:
    """All groups of requests that have latencies: stages, replica counts, cold and warm ones, the whole run."""
    return (*analysis.stages, *analysis.by_replicas, *analysis.by_warm_up, analysis.whole)


def requests(analysis: Analysis) -> Table:
    """Counts and rates of every group of requests; stopped requests have a column only if there are any."""
    stopped = any(group.stopped for group in groups(analysis))
    columns = [
        Column(label="Group"),
        Column(label="Span", numeric=True),
        Column(label="Scheduled", numeric=True, term="arrival"),
        Column(label="Answered", numeric=True),
        Column(label="Failed", numeric=True),
        Column(label="Offered /s", numeric=True),
        Column(label="Completed /s", numeric=True),
        Column(label=f"Output {analysis.output_unit} /s", numeric=True),
    ]
    if stopped:
        columns.insert(5, Column(label="Stopped", numeric=True))
    shown, notes = _capped_with_last([_request_row(group, stopped=stopped) for group in groups(analysis)])
    if fmt.known(analysis.capacity_per_s):
        notes += (f"Sustained throughput per replica: {fmt.rate(analysis.capacity_per_s)}.",)
    return Table(
        key="requests",
        title="Requests",
        columns=tuple(columns),
        rows=shown,
        notes=notes,
        group_starts=_group_starts(analysis, len(shown)),
    )


def _request_row(group: Latencies, *, stopped: bool) -> tuple[Cell, ...]:
    cells = [
        Cell(text=group.name),
        Cell(text=fmt.time_span(group.start_s, group.end_s)),
        Cell(text=fmt.count(group.scheduled)),
        Cell(text=fmt.count(group.answered)),
        Cell(text=fmt.count(group.failed), style="over" if group.failed else ""),
        Cell(text=fmt.number(group.offered_per_s)),
        Cell(text=fmt.number(group.completed_per_s)),
        Cell(text=fmt.number(group.output_tokens_per_s)),
    ]
    if stopped:
        cells.insert(5, Cell(text=fmt.count(group.stopped)))
    return tuple(cells)


def _group_starts(analysis: Analysis, rows: int) -> tuple[int, ...]:
    """The rows at which replica counts and the whole run start, in a table of all groups."""
    stages = len(analysis.stages)
    return tuple(sorted({row for row in (stages, rows - 1) if 0 < row < rows}))


def _capped_with_last(rows: Sequence[tuple[Cell, ...]]) -> tuple[tuple[tuple[Cell, ...], ...], tuple[str, ...]]:
    """As `capped`, but with the last row, which is the whole run."""
    if len(rows) <= MAX_ROWS:
        return tuple(rows), ()
    omitted = len(rows) - MAX_ROWS
    return (*rows[: MAX_ROWS - 1], rows[-1]), (f"{fmt.count(omitted)} more groups in analysis.json.",)


METRICS = (
    ("ttft", terms.TTFT),
    ("e2e", terms.E2E),
    ("tpot", terms.TPOT),
    ("itl", terms.ITL),
    ("send_lag", terms.SEND_LAG),
)
"""The latencies of a group of requests: field of `Latencies`, and term."""


def latencies(analysis: Analysis) -> tuple[Table, ...]:
    """One table for each metric: its distribution in every group; values over the limit of the SLO are marked."""
    return tuple(_latency(analysis, metric, term) for metric, term in METRICS)


def _latency(analysis: Analysis, metric: str, term: terms.Term) -> Table:
    limits = {
        SLO_METRICS[f.code][1]: f.limit
        for f in analysis.findings
        if f.code in SLO_METRICS and SLO_METRICS[f.code][0] == metric and f.unit == "s" and fmt.known(f.limit)
    }
    stats: list[tuple[str, Stats]] = [(group.name, getattr(group, metric)) for group in groups(analysis)]
    names = ("mean", *STATISTICS)
    bounds = [[distribution.bounds(stat, name) for name in names] for _, stat in stats]
    unit, texts = fmt.column(lower for row in bounds for lower, _ in row)
    rows = []
    for i, (group, stat) in enumerate(stats):
        few = stat.count < MIN_VALUES
        cells = [Cell(text=group), Cell(text=distribution.values(stat), style="muted" if few else "")]
        for j, name in enumerate(names):
            lower, upper = bounds[i][j]
            limit = limits.get(name)
            over = fmt.known(lower) and limit is not None and lower > limit
            text = distribution.with_bound(texts[i * len(names) + j], lower, upper)
            style: Style = "over" if over and not few else "muted" if few or text == fmt.MISSING else ""
            note = "max" if distribution.is_maximum(stat, name) else None
            cells.append(Cell(text=text, note=note, style=style))
        rows.append(tuple(cells))
    shown, notes = _capped_with_last(rows)
    limit_notes = [
        f"Limit on {name}: {fmt.seconds(limit)}; values over it are marked." for name, limit in limits.items()
    ]
    if analysis.output_unit == "chunks" and metric in ("itl", "tpot"):
        limit_notes.append(
            "Counted in chunks, because the server gave no token counts: a chunk can hold several tokens."
        )
    if metric == "itl" and analysis.itl_error_ratio:
        limit_notes.append(distribution.in_bins(analysis.itl_error_ratio))
    if any(0 < stat.count < MIN_VALUES for _, stat in stats):
        limit_notes.append(
            f"Groups of fewer than {MIN_VALUES} values are grey and not marked: too few for a percentile."
        )
    return Table(
        key=term.key,
        title=f"{term.label}, {unit}",
        columns=(
            Column(label=term.label, term=term.key),
            Column(label="Values", numeric=True),
            *(Column(label=name, numeric=True) for name in names),
        ),
        rows=shown,
        notes=(*limit_notes, *distribution.notes(metric, stats), *notes),
        group_starts=_group_starts(analysis, len(shown)),
    )


def outcomes(analysis: Analysis) -> Table:
    """The outcomes of all requests by cause, the most frequent first."""
    total = sum(row.count for row in analysis.outcomes)
    ranked = sorted(analysis.outcomes, key=lambda row: (row.outcome != Outcome.OK, row.causes > 1, -row.count))
    rows = [
        (
            Cell(text=_outcome_label(row.outcome), style="" if row.outcome == Outcome.OK else "over"),
            _cause_cell(row),
            Cell(text=fmt.count(row.count)),
            Cell(text=fmt.percent(row.count / total) if total else fmt.MISSING),
            Cell(text=fmt.clock(row.first_s)),
            Cell(text=fmt.clock(row.last_s)),
        )
        for row in ranked
    ]
    shown, notes = capped(rows, "causes")
    return Table(
        key="outcomes",
        title="Outcomes",
        columns=(
            Column(label="Outcome"),
            Column(label="Cause"),
            Column(label="Requests", numeric=True),
            Column(label="Share", numeric=True),
            Column(label="First at", numeric=True),
            Column(label="Last at", numeric=True),
        ),
        rows=shown,
        notes=notes,
    )


def _cause_cell(row: OutcomeCount) -> Cell:
    if row.causes > 1:
        return Cell(text=f"{Cause.OTHER.label} ({fmt.count(row.causes)})")
    return Cell(text=row.cause, literal=True) if row.cause else Cell(text=fmt.MISSING, style="muted")


def _outcome_label(outcome: str) -> str:
    return OUTCOMES[outcome].label if outcome in OUTCOMES else outcome


def correlations(analysis: Analysis) -> Table:
    """Correlation of pairs of series at the lag that maximizes it, and which of the two leads."""
    rows = [
        (
            Cell(text=f"{pair.leader} and {pair.follower}"),
            Cell(text=coefficient(pair.coefficient), style="" if pair.significant else "muted"),
            Cell(text=coefficient(pair.threshold)),
            Cell(text=fmt.time_difference(pair.lag_s) if fmt.known(pair.lag_s) else fmt.MISSING),
            Cell(text=fmt.count(pair.samples)),
            Cell(text=_relation(pair)),
        )
        for pair in analysis.correlations
    ]
    return Table(
        key="correlations",
        title="Lagged correlations",
        columns=(
            Column(label="Series"),
            Column(label="r", numeric=True, term="correlation"),
            Column(label="Chance below", numeric=True),
            Column(label="Lag", numeric=True),
            Column(label="Samples", numeric=True),
            Column(label="Meaning"),
        ),
        rows=tuple(rows),
    )


def coefficient(value: float | None) -> str:
    """A coefficient of correlation as text."""
    return f"{value:.2f}".replace("-", fmt.MINUS) if fmt.known(value) else fmt.MISSING


def _relation(pair: Correlation) -> str:
    """Which of two series leads, and by how much, or why that is not known."""
    if not fmt.known(pair.coefficient) or not fmt.known(pair.lag_s):
        return f"not measured, because {pair.why_missing.rstrip('.')}." if pair.why_missing else ""
    if not pair.significant:
        return (
            "May be chance: the largest |r| of unrelated series is below "
            f"{coefficient(pair.threshold)} in 95 of 100 cases."
        )
    first, second = (pair.leader, pair.follower) if pair.lag_s > 0 else (pair.follower, pair.leader)
    opposite = ", in the opposite direction" if pair.coefficient < 0 else ""
    if pair.lag_s == 0:
        return sentence(f"{pair.leader} and {pair.follower} change at the same time{opposite}")
    verb = "follow" if second.endswith("replicas") else "follows"
    return sentence(f"{second} {verb} {first} by {fmt.seconds(abs(pair.lag_s))}{opposite}")


def cost(analysis: Analysis) -> Table:
    """Replica-seconds of this run, compared with static peak and the smallest fixed fleet for this load."""
    value = analysis.cost
    reason = f"Smallest fleet for this load: not measured, because {value.needed_why_missing}."
    rows = (
        ("Replica-seconds used", fmt.count(value.replica_seconds)),
        ("Replicas on average", fmt.number(value.mean_replicas)),
        ("Static peak, replicas", fmt.count(value.static_replicas)),
        ("Static peak, replica-seconds", fmt.count(value.static_replica_seconds)),
        ("Share of static peak", fmt.percent(value.of_static_ratio)),
        ("Smallest fleet for this load, replicas", _smallest(analysis)),
        ("Smallest fleet for this load, replica-seconds", fmt.count(value.needed_replica_seconds)),
        ("Share of smallest fleet", fmt.percent(value.of_needed_ratio)),
    )
    return Table(
        key="cost",
        title="Cost",
        columns=(Column(label="Measure", term="cost"), Column(label="Value", numeric=True)),
        rows=tuple((Cell(text=name), _value_cell(text)) for name, text in rows),
        notes=(reason,) if value.needed_why_missing else (),
    )


def _smallest(analysis: Analysis) -> str:
    fleet = analysis.demand.smallest
    text = fmt.count(analysis.cost.needed_replicas)
    return text if fleet is None or fleet.low == fleet.high else f"{text} ({fleet.low} … {fleet.high})"


def _value_cell(text: str) -> Cell:
    return Cell(text="not measured", style="muted") if text == fmt.MISSING else Cell(text=text)
