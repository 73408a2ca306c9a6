"""Formats the windows of findings."""

from collections.abc import Sequence

from loadgen.analyze.observed import Event


def span_text(start_s: float, end_s: float) -> str:
    """A span of time as `Finding.window` has it: `from 31.0 s to 58.0 s`."""
    return f"from {start_s:.1f} s to {end_s:.1f} s"


def window_of(events: Sequence[Event]) -> str:
    """The window of events, from the first to the end of the last."""
    start, end = events[0].t_s, max(event.until_s for event in events)
    return span_text(start, end) if end > start else f"at {start:.1f} s"
