"""The queues of a number of replicas that requests take turns among; numbers change, queues stay."""

import math
from heapq import heapreplace
from typing import Self

import numpy as np

from loadgen.analyze.cost.load import Load
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
        starts, count, turn = [], len(self.free), self.turn
        arrivals, services = load.arrival_s[low:high].tolist(), load.service_s[low:high].tolist()
        for arrival_s, service_s in zip(arrivals, services, strict=True):
            turn += 1
            free = self.free[turn % count]
            start_s = free[0] if free[0] > arrival_s else arrival_s
            heapreplace(free, start_s + service_s)
            starts.append(start_s)
        self.turn = turn
        return np.array(starts)
