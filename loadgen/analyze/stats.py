"""Computes percentiles by nearest rank, and latency distributions."""

import math
from dataclasses import replace

import numpy as np

from loadgen.analyze.observed import Floats
from loadgen.analyze.results import FEWEST_VALUES, Percentiles, Stats

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


def percentiles(values: Floats) -> Percentiles:
    """The percentiles of at least one value."""
    ranks = {name: rank(len(values), share) for name, share in QUANTILES.items()}
    ordered = np.partition(values, sorted(set(ranks.values())))
    return Percentiles(**{name: float(ordered[number]) for name, number in ranks.items()})


def stats(values: Floats) -> Stats:
    """The distribution of the values; NaN means not measured and is skipped."""
    values = values[~np.isnan(values)]
    if not len(values):
        return Stats(count=0, mean=None, p50=None, p90=None, p95=None, p99=None, max=None)
    found = percentiles(values)
    return Stats(
        count=len(values),
        mean=float(values.mean()),
        p50=found.p50,
        p90=found.p90,
        p95=found.p95,
        p99=found.p99,
        max=found.max,
        due=len(values),
        p50_is_max=len(values) < FEWEST_VALUES["p50"],
        p90_is_max=len(values) < FEWEST_VALUES["p90"],
        p95_is_max=len(values) < FEWEST_VALUES["p95"],
        p99_is_max=len(values) < FEWEST_VALUES["p99"],
    )


def bounded_stats(measured: Floats, lower: Floats, upper: Floats) -> Stats:
    """The distribution of the measured values, with its bounds over all values that were due.

    Args:
        measured: The measured values; NaN is skipped.
        lower: Lower bounds of all values, +inf for what never arrived.
        upper: Upper bounds of the same values, +inf also for what was open when the run was stopped.
    """
    known = stats(measured)
    if not len(lower):
        return known
    missing = int((~np.isfinite(upper)).sum())
    if not missing:
        both = percentiles(upper)
        return replace(known, lower=both, upper=both)
    never = int((~np.isfinite(lower)).sum())
    return replace(
        known,
        covers="answered",
        due=len(lower),
        never=never,
        unknown=missing - never,
        lower=percentiles(lower),
        upper=percentiles(upper),
    )
