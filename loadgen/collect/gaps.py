"""Detects collection gaps: one `collect_gap` for every span without data from a source.

Gaps follow from the timestamps of the data and not from errors: data that is fetched later leaves no gap.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from loadgen.collect.rows import gap
from loadgen.dataset.events import Event


class Source(NamedTuple):
    """A source from which data is expected; `pod` is None for a source of the whole fleet."""

    name: str
    pod: str | None = None


@dataclass(slots=True)
class _Watch:
    since_s: float
    last_s: float
    """Timestamp of the latest data."""
    attempt_s: float
    """Time of the latest attempt; missing data after it is not yet a gap."""
    has_data: bool = False
    """Whether the source has returned any data."""


class Gaps:
    """Watches the sources from which data is expected and collects the events of their gaps."""

    def __init__(self, shortest_s: dict[str, float]) -> None:
        """Start without sources.

        Args:
            shortest_s: Shortest span that counts as a gap, by the name of the source.
        """
        self._shortest_s = shortest_s
        self._watched: dict[Source, _Watch] = {}
        self._events: list[Event] = []

    @property
    def watched(self) -> set[Source]:
        """The sources from which data is currently expected."""
        return set(self._watched)

    def expect(self, source: Source, t_s: float) -> None:
        """Expect data from now on; does nothing for a source that is watched already."""
        self._watched.setdefault(source, _Watch(t_s, t_s, t_s))

    def add_data(self, source: Source, times_s: Iterable[float]) -> None:
        """Record the timestamps of received data, in any order; a long interval between two of them is a gap, too."""
        watch = self._watched.get(source)
        if watch:
            for t_s in sorted(set(times_s)):
                watch.has_data = True
                self._close(source, watch, t_s)
                watch.last_s = max(watch.last_s, t_s)

    def add_empty(self, source: Source, t_s: float) -> None:
        """Record an answer without data: before the first data it moves the start of a possible gap."""
        watch = self._watched.get(source)
        if watch and not watch.has_data:
            watch.last_s = t_s

    def add_attempt(self, source: Source, t_s: float) -> None:
        """Record an attempt to read the source, successful or not."""
        watch = self._watched.get(source)
        if watch:
            watch.attempt_s = max(watch.attempt_s, t_s)

    def forget(self, source: Source) -> None:
        """Stop watching a source, as when its replica has stopped."""
        watch = self._watched.pop(source, None)
        if watch:
            if not watch.has_data:
                watch.last_s = watch.since_s
            self._close(source, watch, watch.attempt_s)

    def take(self) -> list[Event]:
        """Return the events of the gaps that ended since the last call."""
        events, self._events = self._events, []
        return events

    def _close(self, source: Source, watch: _Watch, to_s: float) -> None:
        length_s = to_s - watch.last_s
        if length_s >= self._shortest_s[source.name]:
            message = f"no data was collected from {source.name}{f' of {source.pod}' if source.pod else ''}"
            self._events.append(gap(source.name, source.pod, watch.last_s, to_s, f"{message} for {length_s:.1f} s"))
