"""Presents scaling events as tables and bars: the steps from the load step to the recovery."""

from dataclasses import dataclass

from loadgen.analyze.results import Analysis, ScalingEvent
from loadgen_reports import format as fmt
from loadgen_reports.finding_text import sentence
from loadgen_reports.lag_sentences import event_name
from loadgen_reports.tables import MAX_ROWS, Cell, Column, Table, capped

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
    """The steps of every scale-up: the time of each, and the time since the step before."""
    return _lag_table(analysis, "up", "Scale-ups", _UP)


def scale_downs(analysis: Analysis) -> Table:
    """Every scale-down: decided, terminating, terminated."""
    return _lag_table(analysis, "down", "Scale-downs", _DOWN)


def _lag_table(analysis: Analysis, direction: str, title: str, steps: tuple[tuple[str, str], ...]) -> Table:
    events = [(i, event) for i, event in enumerate(analysis.scaling) if event.direction == direction]
    rows, more = capped([_lag_row(number, event, steps) for number, event in events], "events")
    columns = [Column(label="Event"), *(Column(label=label, numeric=True) for _, label in steps)]
    if direction == "up":
        columns.append(Column(label="Lag", numeric=True, term="lag"))
    columns.append(Column(label="Reason"))
    return Table(
        key=f"scale-{direction}s",
        title=title,
        columns=tuple(columns),
        rows=rows,
        notes=(*more, *_missing_notes(events[:MAX_ROWS])),
    )


def _missing_notes(events: list[tuple[int, ScalingEvent]]) -> list[str]:
    """Why steps are missing; a reason shared by several events is listed once."""
    reasons: dict[str, list[str]] = {}
    for index, event in events:
        for reason in (*event.missing, *event.gaps):
            reasons.setdefault(sentence(reason), []).append(str(index + 1))
    return [f"{', '.join(numbers)}: {reason}" for reason, numbers in reasons.items()][:MAX_ROWS]


def _lag_row(index: int, event: ScalingEvent, steps: tuple[tuple[str, str], ...]) -> tuple[Cell, ...]:
    cells = [Cell(text=f"{index + 1}: {event_name(event)}")]
    previous_s: float | None = None
    for attribute, _ in steps:
        at: float | None = getattr(event, attribute)
        if attribute == "recovered_s" and fmt.known(at) and event.broke_limit is False:
            cells.append(Cell(text="limit never exceeded", style="muted"))
            continue
        if not fmt.known(at):
            cells.append(Cell(text=fmt.MISSING, style="muted"))
            continue
        cells.append(
            Cell(text=fmt.clock(at), note=fmt.time_difference(at - previous_s) if previous_s is not None else None)
        )
        previous_s = at
    if event.direction == "up":
        cells.append(Cell(text=lag_text(event), style="" if fmt.known(event_lag(event)) else "muted"))
    cells.append(Cell(text=event.reason))
    return tuple(cells)


def event_lag(event: ScalingEvent) -> float | None:
    """Seconds from the need until the new replicas served, negative if they were early; None if not observed.

    Of replicas that did not serve while they were needed, it is how long they were needed: the lag is at least that.
    """
    if event.lag_s is not None:
        return event.lag_s
    if event.lag_at_least_s is not None:
        return event.lag_at_least_s
    if not fmt.known(event.trigger_s) or not fmt.known(event.serving_s):
        return None
    return event.serving_s - event.trigger_s


def lag_text(event: ScalingEvent) -> str:
    """The lag of a scale-up in words."""
    lag = event_lag(event)
    if not fmt.known(lag):
        return fmt.MISSING
    return fmt.tenths(lag) if event.lag_at_least_s is None else f"at least {fmt.tenths(lag)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A segment of a lag bar, between two observed steps; times are seconds from the start of the bar."""

    name: str
    colour: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One scale-up as a stacked bar; time 0 is its load step, or else its first observed step."""

    name: str
    start: str
    segments: tuple[Segment, ...]
    lag: str


MAX_BARS = 12
"""More bars are hard to read; the table has every event."""
SEGMENTS = (
    ("over_target_s", "signal crosses its target", "grey"),
    ("decided_s", "HPA decides", "orange"),
    ("created_s", "replica created", "purple"),
    ("scheduled_s", "scheduled", "vermillion"),
    ("started_s", "pull and load", "blue"),
    ("ready_s", "start to ready", "navy"),
    ("serving_s", "traffic arrives", "green"),
    ("recovered_s", "latency recovers", "none"),
)


def bars(analysis: Analysis) -> tuple[Bar, ...]:
    """Bars of the scale-ups in order; at most `MAX_BARS`, those with the longest chains.

    A step that was not observed is part of the next segment.
    """
    ups = ((i, event) for i, event in enumerate(analysis.scaling) if event.direction == "up")
    drawn = [bar for i, event in ups if (bar := _bar(i, event)) is not None]
    longest = sorted(drawn, key=lambda bar: -bar.segments[-1].end_s)[:MAX_BARS]
    return tuple(bar for bar in drawn if bar in longest)


def _bar(index: int, event: ScalingEvent) -> Bar | None:
    times: list[float] = [at for attribute, _ in _UP if fmt.known(at := getattr(event, attribute))]
    zero_s = event.trigger_s if fmt.known(event.trigger_s) else min(times)
    previous_s = zero_s
    segments: list[Segment] = []
    for attribute, name, colour in SEGMENTS:
        end_s: float | None = getattr(event, attribute)
        # A step before its cause, such as a signal that was already over its target, takes no time of this event.
        if fmt.known(end_s) and end_s > previous_s:
            segments.append(Segment(name=name, colour=colour, start_s=previous_s - zero_s, end_s=end_s - zero_s))
            previous_s = end_s
    if not segments:
        return None
    return Bar(
        name=f"{index + 1}: {event_name(event)}",
        start=fmt.clock(zero_s),
        segments=tuple(segments),
        lag=lag_text(event),
    )
