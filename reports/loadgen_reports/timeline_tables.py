"""Presents the timeline and its events as tables, for readers who cannot use the charts."""

import math
from collections.abc import Sequence

from loadgen.analyze.results import Analysis
from loadgen_reports import format as fmt
from loadgen_reports.chart import MAX_MARKS
from loadgen_reports.panels import downsample, mark_text
from loadgen_reports.tables import Cell, Column, Table

_MAX_MARKS = 500
_TABLE_ROWS = 120


def marks_table(analysis: Analysis) -> Table:
    """The events of the timeline in order, at most `_MAX_MARKS`."""
    ordered = sorted(analysis.marks, key=lambda mark: mark.t_s)
    rows = [
        (
            Cell(text=fmt.clock(mark.t_s, 1)),
            Cell(text=mark_text(mark)),
            Cell(text=mark.pod or "", literal=bool(mark.pod)),
        )
        for mark in ordered[:_MAX_MARKS]
    ]
    omitted = len(ordered) - len(rows)
    notes = [f"{fmt.count(omitted)} more events in analysis.json."] if omitted > 0 else []
    if len(ordered) > MAX_MARKS:
        notes.append(f"The charts have the first {fmt.count(MAX_MARKS)}.")
    return Table(
        key="marks",
        title="Events",
        columns=tuple(Column(label=label) for label in ("At", "Event", "Replica")),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def timeline_table(analysis: Analysis) -> Table:
    """The timeline as a table of at most `_TABLE_ROWS` rows, each for one or more bins."""
    timeline = analysis.timeline
    factor = max(1, math.ceil(len(timeline.t_s) / _TABLE_ROWS))
    coarse = downsample(timeline, factor)
    fields = [
        ("Offered /s", _numbers(coarse.offered_per_s)),
        ("Completed /s", _numbers(coarse.completed_per_s)),
        ("Failed /s", _numbers(coarse.failed_per_s)),
        ("In flight", _numbers(coarse.in_flight)),
        ("TTFT p50, s", _bounded(coarse.ttft_p50_lower_s, coarse.ttft_p50_upper_s)),
        ("TTFT p95, s", _bounded(coarse.ttft_p95_lower_s, coarse.ttft_p95_upper_s)),
        ("E2E p50, s", _bounded(coarse.e2e_p50_lower_s, coarse.e2e_p50_upper_s)),
        ("E2E p95, s", _bounded(coarse.e2e_p95_lower_s, coarse.e2e_p95_upper_s)),
        ("Ratio, reconstructed", _numbers(coarse.ratio)),
        ("Ratio, raw counters", _numbers(coarse.ratio_truth)),
        ("Desired", _numbers(coarse.desired)),
        ("Ready", _numbers(coarse.ready)),
        ("Serving", _numbers(coarse.serving)),
        ("Needed", _numbers(coarse.needed)),
    ]
    note: tuple[str, ...] = ()
    if factor > 1:
        note = (
            f"Each row covers {fmt.seconds(coarse.bin_s)}: rates, ratios and medians are means, p95 is the maximum, "
            "counts are the last value.",
        )
    return Table(
        key="rows",
        title="Timeline as a table",
        columns=(Column(label="At"), *(Column(label=label, numeric=True) for label, _ in fields)),
        rows=tuple(
            (Cell(text=fmt.clock(at)), *(Cell(text=texts[i]) for _, texts in fields)) for i, at in enumerate(coarse.t_s)
        ),
        notes=note,
    )


def _numbers(series: Sequence[float]) -> list[str]:
    return [fmt.number(value) for value in series]


def _bounded(lower: Sequence[float], upper: Sequence[float]) -> list[str]:
    return [fmt.bounded(low, high) for low, high in zip(lower, upper, strict=True)]
