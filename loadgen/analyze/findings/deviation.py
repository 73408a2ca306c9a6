"""Measures how much one series of ratios deviates from another."""

from collections.abc import Callable

import numpy as np

from loadgen.analyze.observed import Floats

_MIN_SAMPLES = 10


def median_deviation(
    values: Floats, reference: Callable[[int], Floats], *, target: float, max_lag_s: int
) -> tuple[float, int] | None:
    """The median of abs(values − reference) / max(reference, target), at the lag of 0 … `max_lag_s` that fits best.

    Only samples in which either is above half the target count: below it, the ratio decides nothing.

    Args:
        values: The values to check.
        reference: Returns the reference at the same times, delayed by a lag in seconds.
        target: Target of the autoscaler.
        max_lag_s: Longest lag.

    Returns:
        The deviation and the number of samples; None with fewer than 10 samples.
    """
    best: tuple[float, int] | None = None
    for lag_s in range(max_lag_s + 1):
        expected = reference(lag_s)
        use = np.isfinite(values) & np.isfinite(expected)
        use &= np.maximum(values, expected) > target / 2
        if use.sum() < _MIN_SAMPLES:
            continue
        deviation = float(np.median(np.abs(values[use] - expected[use]) / np.maximum(expected[use], target)))
        if best is None or deviation < best[0]:
            best = (deviation, int(use.sum()))
    return best
