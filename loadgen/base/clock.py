"""One wall-clock anchor, then monotonic offsets.

Every time in a run folder is `t_s`: seconds since the anchor, taken from the monotonic clock, so a step of the
wall clock during the run moves nothing. Processes of one host share the monotonic clock, hence the anchor; a process
on another host takes the anchor's wall-clock time instead.
"""

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The run's time axis.

    Attributes:
        anchor_unix_s: Wall clock at t = 0, seconds since the Unix epoch.
        anchor_monotonic_s: Monotonic clock at the same moment, seconds.
    """

    anchor_unix_s: float
    anchor_monotonic_s: float

    @classmethod
    def start(cls) -> "Clock":
        """Anchor a new time axis at this moment."""
        return cls(anchor_unix_s=time.time(), anchor_monotonic_s=time.monotonic())

    def elsewhere(self) -> "Clock":
        """The same time axis on another host, by its wall clock: as true as the two wall clocks agree."""
        since_s = time.time() - self.anchor_unix_s
        return Clock(anchor_unix_s=self.anchor_unix_s, anchor_monotonic_s=time.monotonic() - since_s)

    def now_s(self) -> float:
        """Seconds since the anchor, by the monotonic clock."""
        return time.monotonic() - self.anchor_monotonic_s

    def at_monotonic(self, monotonic_s: float) -> float:
        """Run time of a reading of the monotonic clock."""
        return monotonic_s - self.anchor_monotonic_s

    def at_unix(self, unix_s: float) -> float:
        """Run time of a wall-clock time, such as the time stamp of a Prometheus sample."""
        return unix_s - self.anchor_unix_s

    def to_unix(self, t_s: float) -> float:
        """Wall-clock time of a run time."""
        return self.anchor_unix_s + t_s

    def to_monotonic(self, t_s: float) -> float:
        """Reading of the monotonic clock at a run time."""
        return self.anchor_monotonic_s + t_s
