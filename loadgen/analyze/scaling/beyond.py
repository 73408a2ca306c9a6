"""Finds since when a series is beyond a threshold."""

import numpy as np

from loadgen.analyze.observed import Series
from loadgen.analyze.steps import runs


class Beyond:
    """The spans in which a series is beyond a threshold; samples that are not finite are skipped.

    Args:
        series: The series.
        threshold: The threshold.
        up: Whether values above it are beyond it; otherwise those below it are.
    """

    def __init__(self, series: Series, threshold: float, *, up: bool) -> None:
        known = np.isfinite(series.value)
        self._t_s, values = series.t_s[known], series.value[known]
        spans = np.array(runs(values > threshold if up else values < threshold), dtype=np.int64).reshape(-1, 2)
        self._first, self._last = spans[:, 0], spans[:, 1]

    def samples(self, until_s: float) -> int:
        """The number of samples until a time."""
        return int(np.searchsorted(self._t_s, until_s, side="right"))

    def since_s(self, until_s: float, within_s: float) -> float | None:
        """Start of the last span that contains `until_s`, or ends at most `within_s` before it."""
        count = self.samples(until_s)
        number = int(np.searchsorted(self._first, count)) - 1
        if number < 0 or self._t_s[min(int(self._last[number]), count - 1)] < until_s - within_s:
            return None
        return float(self._t_s[self._first[number]])
