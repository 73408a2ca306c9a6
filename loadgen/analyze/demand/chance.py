"""Determines what another draw of the same load could have given: intervals of the limited percentiles.

The load plan is fixed and the arrivals are not, so a run shows one draw of many. The interval is a parametric
bootstrap: arrivals are drawn again from the offered rate, services from those of the run, and a replay through the
replicas as they served gives the percentile of each draw. Order statistics of one run would not do: requests that share
a queue are not independent, and in an overload all of them depend on a few bursts.

It holds for the replicas as they were: an autoscaler may have decided differently for other arrivals.
"""

import math
from collections.abc import Callable

import numpy as np

from loadgen.analyze.bounds import e2e_bounds, ttft_bounds
from loadgen.analyze.demand.capacity import SEED, LatencyLimit, Work, latency_s
from loadgen.analyze.demand.demand import Planned
from loadgen.analyze.demand.intensity import Intensity
from loadgen.analyze.demand.replay import Supply, replay
from loadgen.analyze.demand.sampled import SAMPLED, ArrivalsWithin, poisson, sampled_interval
from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.results.demand import PercentileInterval
from loadgen.analyze.stats import QUANTILES, quantile

FITS_RATIO = 0.2
"""The replay of the run itself must give its percentile to this share, or to `FITS_S`."""
FITS_S = 0.05
_DRAWS = 200
_FEWEST_DRAWS = 40
_REPLAYED = 100_000
"""Requests of all draws together: a run of many requests has fewer draws, at least `_FEWEST_DRAWS`."""
_MOST_REPEATS = 1000

_OUTSIDE = 0.025
"""Chance of another run beyond either end of an interval."""

Arrivals = Callable[[np.random.Generator], Floats]
"""Draws due times, in order."""


def percentile_intervals(
    run: Observed, due_s: Floats, work: Work, supply: Supply, rate: Planned | Intensity
) -> tuple[PercentileInterval, ...]:
    """The interval of every limited percentile of TTFT and E2E, or the reason why it is not known.

    Args:
        run: The run.
        due_s: When its requests were due, in order; at least one.
        work: Their services.
        supply: Its replicas as they served.
        rate: The offered rate.
    """
    limits = [each for each in run.info.limits if each.metric in ("ttft", "e2e") and each.statistic in QUANTILES]
    if not limits:
        return ()
    again_s = replay(due_s, work.service_s, supply)
    arrivals, within = _arrivals(run, due_s, rate)
    made = []
    for each in limits:
        values = ttft_bounds(run) if each.metric == "ttft" else e2e_bounds(run)
        values = values.where(run.warm[values.row])
        limit = LatencyLimit(metric=each.metric, share=QUANTILES[each.statistic], limit_s=each.limit)
        low, high = (quantile(bound, limit.share) for bound in (values.lower_s, values.upper_s))
        found = _unsuited(due_s, work, again_s, limit, (low, high), run.warm_up_s)
        sample = None
        if found is None and len(due_s) > SAMPLED:
            sampled = sampled_interval(due_s, work, supply, again_s, limit, within, run.warm_up_s)
            if isinstance(sampled, str):
                found = sampled
            else:
                interval, sample = (sampled.low_s, sampled.high_s), sampled.sample
        elif found is None:
            draws = max(_FEWEST_DRAWS, min(_DRAWS, _REPLAYED // len(due_s)))
            interval = drawn_interval(arrivals, work, supply, limit, draws, run.warm_up_s)
            found = "no other draw of the load has a request that counts" if math.isnan(interval[0]) else None
        if found is not None:
            made.append(PercentileInterval(metric=each.metric, statistic=each.statistic, why_missing=found))
            continue
        close = interval[0] <= each.limit <= interval[1]
        made.append(
            PercentileInterval(
                metric=each.metric,
                statistic=each.statistic,
                low_s=interval[0],
                high_s=interval[1],
                close=close,
                repeats=repeats(interval, low, each.limit) if close else None,
                sampled=sample.requests if sample else None,
                windows=len(sample) if sample else None,
            )
        )
    return tuple(made)


def _unsuited(
    due_s: Floats,
    work: Work,
    start_s: Floats,
    limit: LatencyLimit,
    measured: tuple[float, float],
    warm_up_s: float,
) -> str | None:
    """Why replays do not tell of this percentile, if they do not."""
    if not measured[1] < math.inf:
        return "the percentile itself has no value"
    again = quantile(latency_s(limit.metric, due_s, start_s, work)[due_s >= warm_up_s], limit.share)
    if not abs(again - measured[0]) <= max(FITS_RATIO * measured[0], FITS_S):
        return f"a replay of the run gives {again:.3g} s instead of {measured[0]:.3g} s"
    return None


def drawn_interval(
    arrivals: Arrivals, work: Work, supply: Supply, limit: LatencyLimit, draws: int, warm_up_s: float = 0.0
) -> tuple[float, float]:
    """The range that holds the percentile of another run with a chance of 95 %, seconds.

    The other run is as likely to take any place among the draws, so k draws of n on either side leave
    (n + 1 − 2k) / (n + 1) for the range. The quantiles of the draws themselves would be too narrow: of 80 draws, they
    hold another one with a chance of 93.8 %.

    Args:
        arrivals: Draws due times.
        work: Services from which those of a draw are taken.
        supply: The replicas.
        limit: The metric and its percentile.
        draws: Number of draws.
        warm_up_s: Requests that are due earlier do not count.

    Returns:
        Both ends; NaN if no draw has a request that counts.
    """
    random = np.random.default_rng([SEED, draws])
    values = []
    count = len(work.service_s)
    for _ in range(draws):
        due_s = arrivals(random)
        if len(due_s):
            # Twice: the services of the run are a sample themselves, and another run has another one.
            of_run = random.integers(0, count, count)
            rows = of_run[random.integers(0, count, len(due_s))]
            values.append(_percentile(due_s, work.rows(rows), supply, limit, warm_up_s))
    values = sorted(value for value in values if not math.isnan(value))
    if not values:
        return math.nan, math.nan
    outside = max(1, math.floor(_OUTSIDE * (len(values) + 1)))
    return values[outside - 1], values[-outside]


def _percentile(due_s: Floats, work: Work, supply: Supply, limit: LatencyLimit, warm_up_s: float) -> float:
    values = latency_s(limit.metric, due_s, replay(due_s, work.service_s, supply), work)
    return quantile(values[due_s >= warm_up_s], limit.share)


def _arrivals(run: Observed, due_s: Floats, rate: Planned | Intensity) -> tuple[Arrivals, ArrivalsWithin]:
    """How the load of a run is drawn again, in all and within spans: by its offered rate; evenly spaced ones stay."""
    if run.info.settings.get("arrivals") == "even":
        return lambda random: due_s, lambda random, start_s, end_s: due_s[(due_s >= start_s) & (due_s < end_s)]
    # The plan has no rate at its end, and the load lasts until the last response.
    last_s = float(rate.edges_s[-1]) if isinstance(rate, Planned) else run.end_s
    highest = rate.highest()
    return from_rate(rate.at, highest, last_s), poisson(rate.at, highest)


def from_rate(rate: Callable[[Floats], Floats], highest: float, length_s: float) -> Arrivals:
    """Poisson arrivals of a rate in [0, length_s)."""
    within = poisson(rate, highest)
    return lambda random: within(random, 0.0, length_s)


def repeats(interval: tuple[float, float], value: float, limit: float) -> int | None:
    """How many runs would decide: the mean of that many is the limit's distance from the value exact.

    None if no practical number would.
    """
    distance = abs(value - limit)
    half = (interval[1] - interval[0]) / 2
    if not half < math.inf or distance * math.sqrt(_MOST_REPEATS) < half:
        return None
    return max(2, math.ceil((half / distance) ** 2))
