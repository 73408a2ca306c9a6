"""Windows of findings about events."""

from collections.abc import Sequence

from loadgen.analyze.observed import Event
from loadgen.analyze.results import Window


def window_of(events: Sequence[Event]) -> Window:
    """The window of events, from the first to the end of the last."""
    start, end = events[0].t_s, max(event.until_s for event in events)
    return Window(start, end if end > start else None)
