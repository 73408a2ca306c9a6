"""Correlates pairs of series at the lag with the highest correlation."""

from dataclasses import replace

import numpy as np

from loadgen.analyze.observed import Floats
from loadgen.analyze.results import Correlation, Timeline

MAX_LAG_S = 120
MIN_PAIRS = 30


def correlations(timeline: Timeline, end_s: float) -> tuple[Correlation, ...]:
    """The correlations that a working autoscaler produces, during the load."""
    start = np.asarray(timeline.t_s)
    load = (start >= 0) & (start < end_s)

    def pick(values: tuple[float, ...]) -> Floats:
        return np.asarray(values, dtype=np.float64)[load]

    offered, ratio = pick(timeline.offered_per_s), pick(timeline.ratio)
    found = (
        correlate("offered rate", offered, "ratio", ratio),
        correlate("ratio", ratio, "TTFT p95", pick(timeline.ttft_p95_s)),
        correlate("ratio", ratio, "ready replicas", pick(timeline.ready)),
    )
    # a lag is counted in bins, which are wider than a second in a very long run
    return tuple(each if each.lag_s is None else replace(each, lag_s=each.lag_s * timeline.bin_s) for each in found)


def correlate(leader: str, x: Floats, follower: str, y: Floats) -> Correlation:
    """Pearson's r of x(t) and y(t + lag), at the lag of 0 … 120 s with the greatest r; the shortest of equal lags.

    Pairs with a missing value are dropped. A lag may not drop more than half of the series, as short remainders
    correlate by chance.
    """
    best: tuple[float, int, int] | None = None
    enough = False
    for lag in range(0, min(MAX_LAG_S, len(x) // 2) + 1):
        a, b = x[: len(x) - lag], y[lag:]
        known = np.isfinite(a) & np.isfinite(b)
        pairs = int(known.sum())
        if pairs < MIN_PAIRS:
            continue
        enough = True
        r = _pearson(a[known], b[known])
        if r is not None and (best is None or r > best[0] + 1e-12):
            best = (r, lag, pairs)
    if best is not None:
        return Correlation(leader=leader, follower=follower, coefficient=best[0], lag_s=float(best[1]), samples=best[2])
    pairs = int((np.isfinite(x) & np.isfinite(y)).sum())
    why = (
        "one of the two never changed"
        if enough
        else f"only {pairs} seconds have both values, at least {MIN_PAIRS} are needed"
    )
    return Correlation(leader=leader, follower=follower, coefficient=None, lag_s=None, samples=pairs, why_missing=why)


def _pearson(a: Floats, b: Floats) -> float | None:
    da, db = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((da @ da) * (db @ db)))
    # The computed variance of a constant is a rounding error and not exactly 0.
    if scale <= 1e-12 * max(float(np.abs(a).max() * np.abs(b).max()), 1e-300) * len(a):
        return None
    return float(np.clip((da @ db) / scale, -1.0, 1.0))
