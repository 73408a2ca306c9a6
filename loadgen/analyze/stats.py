"""Computes percentiles by nearest rank, and latency distributions."""

import math

import numpy as np

from loadgen.analyze.observed import Floats
from loadgen.analyze.results import Stats

QUANTILES: dict[str, float] = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "max": 1.0}


def rank(count: int, share: float) -> int:
    """Index of a percentile in sorted values: of the smallest value that at least this share does not exceed."""
    return min(max(math.ceil(share * count), 1), count) - 1


def quantile(values: Floats, share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed; NaN without values.

    It is a measured value and never an interpolation, so values may be +inf.
    """
    if not len(values):
        return math.nan
    index = rank(len(values), share)
    return float(np.partition(values, index)[index])


def stats(values: Floats) -> Stats:
    """The distribution of the values; NaN means not measured and is skipped."""
    values = values[~np.isnan(values)]
    if not len(values):
        return Stats(count=0, mean=None, p50=None, p90=None, p95=None, p99=None, max=None)
    ranks = {name: rank(len(values), share) for name, share in QUANTILES.items()}
    ordered = np.partition(values, sorted(set(ranks.values())))
    return Stats(
        count=len(values),
        mean=float(values.mean()),
        p50=float(ordered[ranks["p50"]]),
        p90=float(ordered[ranks["p90"]]),
        p95=float(ordered[ranks["p95"]]),
        p99=float(ordered[ranks["p99"]]),
        max=float(ordered[ranks["max"]]),
    )
