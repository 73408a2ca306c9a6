"""Defines step functions, such as counts of replicas over time."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from loadgen.analyze.observed import Bools, Floats

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Step:
    """The value is `value[i]` from `t_s[i]` to `t_s[i + 1]`, constant after the last and NaN before the first."""

    t_s: Floats
    value: Floats

    def at(self, t_s: Floats) -> Floats:
        """The values at these times."""
        if not len(self.t_s):
            return np.full(len(t_s), np.nan)
        index = np.searchsorted(self.t_s, t_s, side="right") - 1
        return np.where(index >= 0, self.value[np.maximum(index, 0)], np.nan)

    def within(self, start_s: float, end_s: float) -> tuple[Floats, Floats]:
        """The values in [start_s, end_s] with their durations; an empty span has its first value."""
        edges = np.concatenate(([start_s], self.t_s[(self.t_s > start_s) & (self.t_s < end_s)], [max(start_s, end_s)]))
        return self.at(edges[:-1]), np.diff(edges)


def count(intervals: Iterable[Interval], since_s: float) -> Step:
    """The number of half-open intervals [start, end) at each time, known from `since_s` on."""
    changes = [(since_s, 0.0)]
    for start, end in intervals:
        if end > start:
            changes += [(max(start, since_s), 1.0), (max(end, since_s), -1.0)]
    times = np.array([t for t, _ in changes])
    order = np.argsort(times, kind="stable")
    times, total = times[order], np.cumsum(np.array([change for _, change in changes])[order])
    last_of_time = np.append(times[1:] > times[:-1], True) & np.isfinite(times)
    return Step(times[last_of_time], total[last_of_time])


def runs(flags: Bools) -> list[tuple[int, int]]:
    """The maximal runs of True as index pairs [first, last]."""
    padded = np.concatenate(([False], flags, [False])).astype(np.int8)
    change = np.diff(padded)
    return list(zip(np.flatnonzero(change == 1).tolist(), (np.flatnonzero(change == -1) - 1).tolist(), strict=True))
