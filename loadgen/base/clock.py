"""Measures the time of a run: seconds since one wall-clock anchor, by the monotonic clock.

Every time in a run folder is `t_s`, seconds since the anchor. It comes from the monotonic clock, so a step of the wall
clock during the run does not change it. Processes of one host share the monotonic clock and therefore the anchor; a
process on another host uses the wall-clock time of the anchor instead.
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
        """Return a time axis that starts now."""
        return cls(anchor_unix_s=time.time(), anchor_monotonic_s=time.monotonic())

    def elsewhere(self) -> "Clock":
        """Return this time axis on another host, by the wall clock; it is off by the difference of the two clocks."""
        since_s = time.time() - self.anchor_unix_s
        return Clock(anchor_unix_s=self.anchor_unix_s, anchor_monotonic_s=time.monotonic() - since_s)

    def now_s(self) -> float:
        """Return seconds since the anchor, by the monotonic clock."""
        return time.monotonic() - self.anchor_monotonic_s

    def at_monotonic(self, monotonic_s: float) -> float:
        """Convert a reading of the monotonic clock to run time."""
        return monotonic_s - self.anchor_monotonic_s

    def at_unix(self, unix_s: float) -> float:
        """Convert a wall-clock time, such as the timestamp of a Prometheus sample, to run time."""
        return unix_s - self.anchor_unix_s

    def to_unix(self, t_s: float) -> float:
        """Convert run time to wall-clock time."""
        return self.anchor_unix_s + t_s

    def to_monotonic(self, t_s: float) -> float:
        """Convert run time to a reading of the monotonic clock."""
        return self.anchor_monotonic_s + t_s
