"""Bounds the time during which a process keeps in memory what it cannot write, as on a full disk."""

import time
from collections.abc import Callable
from pathlib import Path

from loadgen.base.clock import Clock
from loadgen.base.console import Say
from loadgen.base.errors import FolderGoneError, RecordError
from loadgen.dataset.events import Event
from loadgen.dataset.names import EventKind, GapSource

FULL_DISK_S = 30.0
"""How long a run goes on while its folder cannot be written; a disk that stays full for longer ends it."""

RETRY_S = 1.0


class Outage:
    """The time since the first of the failed writes of a process; it ends with a write that succeeds.

    Args:
        folder: The folder that is written to, for the sentence.
        clock: The run's time axis.
        say: Receives a sentence when an outage begins.
    """

    def __init__(self, folder: Path, clock: Clock, say: Say) -> None:
        self._folder = folder
        self._clock = clock
        self._say = say
        self._since: float | None = None

    def write(self, write: Callable[[], object]) -> None:
        """Write now, or wait until it succeeds.

        Raises:
            RecordError: as for `failed`.
        """
        while True:
            try:
                write()
            except RecordError as error:
                self.failed(error)
                time.sleep(RETRY_S)
            else:
                self.end()
                return

    def failed(self, error: RecordError) -> None:
        """Note a failed write; what was to be written stays in memory.

        Raises:
            RecordError: the error, if writes have failed for `FULL_DISK_S` or the folder is gone.
        """
        now = time.monotonic()
        since = now if self._since is None else self._since
        if isinstance(error, FolderGoneError) or now - since > FULL_DISK_S:
            raise error
        if self._since is None:
            self._since = now
            self._say(
                f"{self._folder} cannot be written ({error.__cause__ or error}): records stay in memory for up to "
                f"{FULL_DISK_S:g} s; free space there now, or make it writable"
            )

    def event(self) -> Event | None:
        """Return the event of the outage, which lasts until now; None without one."""
        if self._since is None:
            return None
        from_s, to_s = (self._clock.at_monotonic(at) for at in (self._since, time.monotonic()))
        data = {"source": GapSource.DISK, "from_s": round(from_s, 3), "to_s": round(to_s, 3)}
        message = f"{self._folder} could not be written for {to_s - from_s:.1f} s; no record was lost"
        return Event(from_s, EventKind.RECORDING_DELAYED, message=message, data=data)

    def end(self) -> None:
        """Note that everything is written."""
        self._since = None
