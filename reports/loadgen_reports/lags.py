"""Scaling events as tables and bars: the chain of steps from the load step to recovery."""

from dataclasses import dataclass

from loadgen.analyze.results import Analysis, ScalingEvent
from loadgen_reports import format as fmt
from loadgen_reports.finding_text import sentence
from loadgen_reports.lag_text import event_name
from loadgen_reports.tables import MOST_ROWS, Cell, Column, Table, capped

_UP = (
    ("trigger_s", "Load step"),
    ("over_target_s", "Over target"),
    ("decided_s", "Decided"),
    ("created_s", "Created"),
    ("scheduled_s", "Scheduled"),
    ("started_s", "Started"),
    ("ready_s", "Ready"),
    ("serving_s", "Serving"),
    ("recovered_s", "Recovered"),
)
_DOWN = (
    ("decided_s", "Decided"),
    ("created_s", "Terminating"),
    ("ready_s", "Terminated"),
)


def scale_ups(analysis: Analysis) -> Table:
    """The lag chain of every scale-up: the time of each step, and its difference to the step before."""
    return _lag_table(analysis, "up", "Scale-ups", _UP)


def scale_downs(analysis: Analysis) -> Table:
    """Every scale-down: decided, terminating, terminated."""
    return _lag_table(analysis, "down", "Scale-downs", _DOWN)


def _lag_table(analysis: Analysis, direction: str, title: str, links: tuple[tuple[str, str], ...]) -> Table:
    events = [(i, event) for i, event in enumerate(analysis.scaling) if event.direction == direction]
    rows = [_lag_row(number, event, links) for number, event in events]
    shown, more = capped(rows, "events")
    columns = [Column(label="Event"), *(Column(label=label, numeric=True) for _, label in links)]
    if direction == "up":
        columns.append(Column(label="Lag", numeric=True, term="lag"))
    columns.append(Column(label="Reason"))
    return Table(
        key=f"scale-{direction}s",
        title=title,
        columns=tuple(columns),
        rows=shown,
        notes=(*more, *_missing(events[:MOST_ROWS])),
    )


def _missing(events: list[tuple[int, ScalingEvent]]) -> list[str]:
    """Why steps are missing; a reason that several events share is given once."""
    reasons: dict[str, list[str]] = {}
    for index, event in events:
        for reason in event.missing:
            reasons.setdefault(sentence(reason), []).append(str(index + 1))
    return [f"{', '.join(numbers)}: {reason}" for reason, numbers in reasons.items()][:MOST_ROWS]


def _lag_row(index: int, event: ScalingEvent, links: tuple[tuple[str, str], ...]) -> tuple[Cell, ...]:
    cells = [Cell(text=f"{index + 1}: {event_name(event)}")]
    before: float | None = None
    for attribute, _ in links:
        at: float | None = getattr(event, attribute)
        if attribute == "recovered_s" and fmt.known(at) and event.broke_limit is False:
            cells.append(Cell(text="limit never exceeded", mood="muted"))
            continue
        if not fmt.known(at):
            cells.append(Cell(text=fmt.MISSING, mood="muted"))
            continue
        cells.append(Cell(text=fmt.clock(at), note=fmt.later(at - before) if before is not None else None))
        before = at
    if event.direction == "up":
        lag = event_lag(event)
        cells.append(Cell(text=fmt.lag(lag)) if fmt.known(lag) else Cell(text=fmt.MISSING, mood="muted"))
    cells.append(Cell(text=event.reason))
    return tuple(cells)


def event_lag(event: ScalingEvent) -> float | None:
    """Seconds from the load step to the first answer of the last new replica; None if either was not observed."""
    if not fmt.known(event.trigger_s) or not fmt.known(event.serving_s):
        return None
    return event.serving_s - event.trigger_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a lag bar between two observed steps: seconds after the bar's own start."""

    name: str
    colour: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One scale-up as a stacked bar; 0 is its load step, or its first observed step."""

    name: str
    starts: str
    segments: tuple[Segment, ...]
    lag: str


# More bars are hard to read; the table has every event.
MOST_BARS = 12
SEGMENTS = (
    ("over_target_s", "signal crosses its target", "grey"),
    ("decided_s", "next HPA sync", "orange"),
    ("created_s", "replica created", "purple"),
    ("scheduled_s", "scheduled", "vermillion"),
    ("started_s", "pull and load", "blue"),
    ("ready_s", "start to ready", "navy"),
    ("serving_s", "traffic arrives", "green"),
    ("recovered_s", "latency recovers", "none"),
)


def bars(analysis: Analysis) -> tuple[Bar, ...]:
    """Bars of the scale-ups, in order; of many, those with the longest chains.

    A step that was not observed is part of the segment of its neighbour.
    """
    ups = ((i, event) for i, event in enumerate(analysis.scaling) if event.direction == "up")
    found = [bar for i, event in ups if (bar := _bar(i, event)) is not None]
    longest = sorted(found, key=lambda bar: -bar.segments[-1].end_s)[:MOST_BARS]
    return tuple(bar for bar in found if bar in longest)


def _bar(index: int, event: ScalingEvent) -> Bar | None:
    times: list[float] = [at for attribute, _ in _UP if fmt.known(at := getattr(event, attribute))]
    zero = event.trigger_s if fmt.known(event.trigger_s) else min(times)
    previous = zero
    segments: list[Segment] = []
    for attribute, name, colour in SEGMENTS:
        end: float | None = getattr(event, attribute)
        # A step before its cause, such as a signal that was already over its target, takes no time of this event.
        if fmt.known(end) and end > previous:
            segments.append(Segment(name=name, colour=colour, start_s=previous - zero, end_s=end - zero))
            previous = end
    if not segments:
        return None
    lag = event_lag(event)
    return Bar(
        name=f"{index + 1}: {event_name(event)}",
        starts=fmt.clock(zero),
        segments=tuple(segments),
        lag=fmt.lag(lag) if fmt.known(lag) else fmt.MISSING,
    )
