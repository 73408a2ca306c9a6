"""Buffers samples and events in memory until they are written, also while the disk is full."""

import logging
from typing import NamedTuple

from loadgen.base.errors import DatasetError
from loadgen.dataset.events import Event
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.names import EventKind, GapSource

WRITER = "collect"
HOST = "host"
"""Source of a clock step of this machine."""
_log = logging.getLogger(__name__)


class Sample(NamedTuple):
    """A row of `samples/`."""

    t_s: float
    signal: str
    pod: str | None
    value: float


def gap(source: str, pod: str | None, from_s: float, to_s: float, message: str) -> Event:
    """Make the event of a span in which no data was collected from a source."""
    data = {"source": source, "from_s": round(from_s, 3), "to_s": round(to_s, 3)}
    return Event(from_s, EventKind.COLLECT_GAP, pod, None, message, data)


def clock_step(source: str, t_s: float, step_s: float) -> Event:
    """Make the event of a wall clock that is off by `step_s` seconds since `t_s`; positive is ahead."""
    whose = "this machine's clock was set" if source == HOST else f"the clock of {source} is"
    direction = "forward" if step_s > 0 else "backward"
    if source != HOST:
        direction = "ahead" if step_s > 0 else "behind"
    message = f"{whose} {abs(step_s):,.0f} s {direction}"
    return Event(t_s, EventKind.CLOCK_STEP, None, None, message, {"source": source, "step_s": round(step_s, 3)})


class Rows:
    """Rows that are not yet in a part; beyond `max_rows` samples the oldest are dropped and recorded as a gap."""

    def __init__(self, folder: RunFolder, max_rows: int = 200_000) -> None:
        self.samples: list[Sample] = []
        self.events: list[Event] = []
        self._folder, self._max_rows = folder, max_rows
        self._dropped: tuple[float, float] | None = None
        self._failing = False

    def close_parts(self) -> bool:
        """Write the buffered rows; False when some could not be written and stay buffered."""
        try:
            self._folder.append("samples", WRITER, (row._asdict() for row in self.samples))
            self.samples.clear()
            self._folder.append("events", WRITER, (event.row() for event in [*self.events, *self._gap()]))
            self.events.clear()
            self._dropped = None
        except DatasetError as error:
            if not self._failing:
                _log.error("%s (new data is buffered in memory until it can be written)", error)
            self._failing = True
            self._drop_oldest()
            return False
        if self._failing:
            _log.info("recording resumed")
        self._failing = False
        return True

    def _drop_oldest(self) -> None:
        excess = len(self.samples) - self._max_rows
        if excess > 0:
            times_s = [row.t_s for row in self.samples[:excess]] + list(self._dropped or ())
            self._dropped = (min(times_s), max(times_s))
            del self.samples[:excess]
        # Nearly all events are copies of stack/journal.jsonl, where they stay.
        del self.events[: max(0, len(self.events) - self._max_rows)]

    def _gap(self) -> list[Event]:
        message = "the disk was full for so long that the oldest samples in memory were dropped"
        return [gap(GapSource.DISK, None, *self._dropped, message)] if self._dropped else []
