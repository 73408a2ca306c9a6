"""Presents failed requests by cause, inside and outside the windows of scaling events, as a table."""

from loadgen.analyze.results import Analysis, FailedWindow
from loadgen.dataset.names import FailureCause
from loadgen_reports import format as fmt
from loadgen_reports.lag_sentences import event_name
from loadgen_reports.tables import Cell, Column, Table, capped


def failure_table(analysis: Analysis) -> Table:
    """Failed requests by window and cause; empty without any. Only causes that occur have a column."""
    found = analysis.failures
    causes = [] if found is None else [each for each in FailureCause if found.causes[each]]
    rows, notes = capped([] if found is None else [_row(analysis, each, causes) for each in found.windows], "windows")
    if found is not None and len(found.windows) > 1:
        whole = FailedWindow(event=None, start_s=None, end_s=None, failed=found.failed, causes=found.causes)
        rows = (*rows, _cells("all", "", whole, causes))
    named = 0 if found is None else found.named
    if rows:
        notes += (
            f"{fmt.count(named)} of {fmt.count(found.failed if found else 0)} name the replica that they reached.",
        )
        notes += tuple(f"{each.label.capitalize()}: {each.meaning}" for each in causes)
    return Table(
        key="failures",
        title="Failed requests by scaling event and cause",
        columns=(
            Column(label="Scaling event"),
            Column(label="Window"),
            Column(label="Failed", numeric=True),
            *(Column(label=each.label.capitalize(), numeric=True) for each in causes),
        ),
        rows=tuple(rows),
        notes=notes,
        group_starts=(len(rows) - 1,) if len(rows) > 1 else (),
    )


def _row(analysis: Analysis, window: FailedWindow, causes: list[FailureCause]) -> tuple[Cell, ...]:
    if window.event is None or window.event >= len(analysis.scaling):
        return _cells("none", "other times", window, causes)
    name = f"{window.event + 1}: {event_name(analysis.scaling[window.event])}"
    return _cells(name, fmt.time_span(window.start_s, window.end_s), window, causes)


def _cells(name: str, span: str, window: FailedWindow, causes: list[FailureCause]) -> tuple[Cell, ...]:
    return (
        Cell(text=name),
        Cell(text=span),
        Cell(text=fmt.count(window.failed)),
        *(Cell(text=fmt.count(window.causes[each])) for each in causes),
    )
