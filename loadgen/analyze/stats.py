"""Computes percentiles by nearest rank, and latency distributions."""

import math
from dataclasses import dataclass, replace

import numpy as np

from loadgen.analyze.observed import Floats, Ints
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """A distribution of values of which many are equal, or taken as equal.

    Attributes:
        value: Values in ascending order, seconds.
        count: How many times each value occurs.
        mean: Mean of all; NaN without any.
    """

    value: Floats
    count: Ints
    mean: float

    def __len__(self) -> int:
        return int(self.count.sum())

    def quantile(self, share: float) -> float:
        """The smallest value that at least `share` of all values do not exceed; NaN without values."""
        total = len(self)
        if not total:
            return float("nan")
        return float(self.value[np.searchsorted(np.cumsum(self.count), rank(total, share), side="right")])

    def percentiles(self) -> Percentiles:
        """The percentiles of at least one value."""
        return Percentiles(**{name: self.quantile(share) for name, share in QUANTILES.items()})

    def joined(self, more: Floats) -> "Values":
        """With more values, each of which counts once; they may be infinite."""
        if not len(more):
            return self
        value = np.concatenate((self.value, more))
        count = np.concatenate((self.count, np.ones(len(more), dtype=np.int64)))
        order = np.argsort(value, kind="stable")
        return Values(value=value[order], count=count[order], mean=self.mean)


def percentiles(values: Floats) -> Percentiles:
    """The percentiles of at least one value."""
    ranks = {name: rank(len(values), share) for name, share in QUANTILES.items()}
    ordered = np.partition(values, sorted(set(ranks.values())))
    return Percentiles(**{name: float(ordered[number]) for name, number in ranks.items()})


def stats(values: Floats) -> Stats:
    """The distribution of the values; NaN means not measured and is skipped."""
    missing = np.isnan(values)
    if missing.any():
        values = values[~missing]
    if not len(values):
        return Stats(count=0, mean=None, p50=None, p90=None, p95=None, p99=None, max=None)
    return _stats(len(values), float(values.mean()), percentiles(values))


def _stats(count: int, mean: float, found: Percentiles) -> Stats:
    return Stats(
        count=count,
        mean=mean,
        p50=found.p50,
        p90=found.p90,
        p95=found.p95,
        p99=found.p99,
        max=found.max,
        due=count,
        p50_is_max=count < FEWEST_VALUES["p50"],
        p90_is_max=count < FEWEST_VALUES["p90"],
        p95_is_max=count < FEWEST_VALUES["p95"],
        p99_is_max=count < FEWEST_VALUES["p99"],
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
    missing = len(upper) - int(np.isfinite(upper).sum())
    both = percentiles(upper)
    if not missing:
        return replace(known, lower=both, upper=both)
    never = missing if upper is lower else len(lower) - int(np.isfinite(lower).sum())
    return replace(
        known,
        covers="answered",
        due=len(lower),
        never=never,
        unknown=missing - never,
        lower=both if upper is lower else percentiles(lower),
        upper=both,
    )


def weighted_stats(measured: Values, lower: Floats, upper: Floats) -> Stats:
    """The same as `bounded_stats` for measured values of which many are equal.

    Args:
        measured: The measured values.
        lower: Lower bounds of the values that were due besides, +inf for what never arrived.
        upper: Upper bounds of the same values, which are all +inf.
    """
    count = len(measured)
    found = _stats(count, measured.mean, measured.percentiles()) if count else stats(np.empty(0))
    if not len(lower):
        both = measured.percentiles() if count else None
        return replace(found, lower=both, upper=both)
    never = int((~np.isfinite(lower)).sum())
    return replace(
        found,
        covers="answered",
        due=count + len(lower),
        never=never,
        unknown=len(lower) - never,
        lower=measured.joined(lower).percentiles(),
        upper=measured.joined(upper).percentiles(),
    )
