"""Book-keeping of what could not be collected: one `collect_gap` for every span without data from a source.

A gap is told by the data, not by the error: what was missed and could be fetched later leaves none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from loadgen.collect.rows import gap
from loadgen.dataset.events import Event


class Source(NamedTuple):
    """Where data is expected from; `pod` is None for a source of the fleet."""

    name: str
    pod: str | None = None


@dataclass(slots=True)
class _Watch:
    since_s: float
    last_s: float
    """End of what has been collected."""
    tried_s: float
    """Until when it has been looked at; beyond it nothing is known to be missing."""
    begun: bool = False
    """Whether there was any data yet."""


class Gaps:
    """Watches the sources from which data is expected, and keeps the events of their gaps until they are taken."""

    def __init__(self, shortest_s: dict[str, float]) -> None:
        """Start without a source.

        Args:
            shortest_s: For every source's name the shortest span that counts as a gap.
        """
        self._shortest_s = shortest_s
        self._watched: dict[Source, _Watch] = {}
        self._events: list[Event] = []

    @property
    def watched(self) -> set[Source]:
        """The sources from which data is expected now."""
        return set(self._watched)

    def expect(self, source: Source, t_s: float) -> None:
        """Data is due from now on, unless it was before."""
        self._watched.setdefault(source, _Watch(t_s, t_s, t_s))

    def got(self, source: Source, times_s: Iterable[float]) -> None:
        """Data came with these time stamps, in any order; a hole between two of them is a gap as well."""
        watch = self._watched.get(source)
        if watch:
            for t_s in sorted(set(times_s)):
                watch.begun = True
                self._close(source, watch, t_s)
                watch.last_s = max(watch.last_s, t_s)

    def quiet(self, source: Source, t_s: float) -> None:
        """It answered and has no data: a gap only once there was some, or when there never is any."""
        watch = self._watched.get(source)
        if watch and not watch.begun:
            watch.last_s = t_s

    def tried(self, source: Source, t_s: float) -> None:
        """All that the source has until now was asked for, in vain or not."""
        watch = self._watched.get(source)
        if watch:
            watch.tried_s = max(watch.tried_s, t_s)

    def release(self, source: Source) -> None:
        """No more data is expected, as its owner has gone."""
        watch = self._watched.pop(source, None)
        if watch:
            if not watch.begun:
                watch.last_s = watch.since_s
            self._close(source, watch, watch.tried_s)

    def take(self) -> list[Event]:
        """The gaps that ended since the last call."""
        events, self._events = self._events, []
        return events

    def _close(self, source: Source, watch: _Watch, to_s: float) -> None:
        length_s = to_s - watch.last_s
        if length_s >= self._shortest_s[source.name]:
            message = f"nothing was collected from {source.name}{f' of {source.pod}' if source.pod else ''}"
            self._events.append(gap(source.name, source.pod, watch.last_s, to_s, f"{message} for {length_s:.1f} s"))
