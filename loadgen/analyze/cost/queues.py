"""The queues of a number of replicas that requests take turns among; numbers change, queues stay."""

import math
from typing import Self

import numpy as np

from loadgen.analyze.cost.load import Load
from loadgen.analyze.demand.replay import queue
from loadgen.analyze.observed import Floats


class Queues:
    """Replicas that requests take turns among; each has a heap of the times at which its slots are free."""

    def __init__(self, slots: int, count: int = 0, at_s: float = -math.inf) -> None:
        self.slots = slots
        self.free: list[list[float]] = [[at_s] * slots for _ in range(count)]
        self.turn = 0
        self.drained_s = 0.0

    def copy(self) -> Self:
        """Return an independent copy."""
        other = type(self)(self.slots)
        other.free, other.turn, other.drained_s = [each.copy() for each in self.free], self.turn, self.drained_s
        return other

    def resize(self, count: int, at_s: float) -> None:
        """Add free replicas, or take away the newest, which finish their queues."""
        for free in self.free[count:]:
            self.drained_s += max(max(free) - at_s, 0.0)
        del self.free[count:]
        self.free += [[at_s] * self.slots for _ in range(count - len(self.free))]

    def serve(self, load: Load, low: int, high: int) -> Floats:
        """Serve a range of requests; returns when each starts."""
        start_s, count = np.empty(high - low), len(self.free)
        for place in range(min(count, high - low)):
            free = self.free[(self.turn + 1 + place) % count]
            mine = slice(low + place, high, count)
            start_s[place::count] = queue(load.arrival_s[mine], load.service_s[mine], self.slots, free)
        self.turn += high - low
        return start_s
