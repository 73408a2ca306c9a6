"""Defines the values of a run from which the groups of requests are selected."""

from dataclasses import dataclass

import numpy as np

from loadgen.analyze.observed import Floats, Ints


class RunningSum:
    """A running sum over time, for sums over spans."""

    def __init__(self, times: Floats, weights: Floats | None = None) -> None:
        if weights is None:
            self._times = np.sort(times[np.isfinite(times)])
            self._sums = np.arange(len(self._times) + 1, dtype=np.float64)
        else:
            use = np.isfinite(times) & np.isfinite(weights)
            order = np.argsort(times[use], kind="stable")
            self._times = times[use][order]
            self._sums = np.concatenate(([0.0], np.cumsum(weights[use][order])))

    def within(self, start_s: float, end_s: float, closed: bool) -> float:
        """The sum over [start, end), or over [start, end] when closed."""
        first = np.searchsorted(self._times, start_s, side="left")
        last = np.searchsorted(self._times, end_s, side="right" if closed else "left")
        return float(self._sums[last] - self._sums[first])


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Values from which the groups of requests are selected.

    Attributes:
        gap_s: Gaps between consecutive responses of one request.
        gap_row: Row of the request of each gap.
        tpot_s: (last − first token) / (output tokens − 1) of each request; NaN below two tokens or two responses.
        offered: Running count of due requests.
        completed: Running count of `ok` requests by the time at which they ended.
        tokens: Running sum of output tokens by the time of their arrival.
    """

    gap_s: Floats
    gap_row: Ints
    tpot_s: Floats
    offered: RunningSum
    completed: RunningSum
    tokens: RunningSum
