"""Determines when latency was within the SLO again, by windows of due time."""

import math

import numpy as np

from loadgen.analyze.bounds import e2e_bounds, ttft_bounds
from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.stats import QUANTILES, quantile
from loadgen.dataset.run_info import Limit

WINDOW_S = 5.0
STABLE_S = 10.0
"""Two windows: one good window between two bursts is not a recovery."""
STEP_S = 1.0
_ORDER = ("p95", "p99", "p90", "p50", "max")


def request_limit(limits: tuple[Limit, ...], metric: str) -> Limit | None:
    """The limit that applies to single requests: of p95, or else of p99, p90, p50 or max."""
    by_statistic = {limit.statistic: limit for limit in limits if limit.metric == metric}
    return next((by_statistic[name] for name in _ORDER if name in by_statistic), None)


def recovery_limit(limits: tuple[Limit, ...]) -> Limit | None:
    """The limit that defines the recovery: that of TTFT, or else of E2E."""
    return request_limit(limits, "ttft") or request_limit(limits, "e2e")


def recovered_s(run: Observed, since_s: float) -> float | None:
    """The first time at or after `since_s` from which the SLO was met for `STABLE_S`; None when there is none.

    It is met when, in each `WINDOW_S` of due time, the limited percentile is within its limit; unanswered requests are
    slower than every limit, and those that a stop left unknown are left out. A window without requests is ignored, but
    at least one window must have some.
    """
    limit = recovery_limit(run.info.limits)
    if limit is None:
        return None
    due, values = _known(run, limit)
    if not len(due):
        return None
    start = since_s
    while start + STABLE_S <= due[-1]:
        windows = [start + WINDOW_S * number for number in range(int(STABLE_S / WINDOW_S))]
        worst = [_value(due, values, window_start, limit) for window_start in windows]
        if any(not math.isnan(value) for value in worst) and not any(value > limit.limit for value in worst):
            return start
        start += STEP_S
    return None


def broke_limit(run: Observed, start_s: float, recovered_at_s: float) -> bool | None:
    """Whether any request due from `start_s` until the SLO was met again exceeded the limit; None without a limit."""
    limit = recovery_limit(run.info.limits)
    if limit is None:
        return None
    due, values = _known(run, limit)
    return bool((values[(due >= start_s) & (due < recovered_at_s + STABLE_S)] > limit.limit).any())


def _known(run: Observed, limit: Limit) -> tuple[Floats, Floats]:
    """Due times, in order, and values of the requests of which it is known whether they exceeded the limit."""
    values = (ttft_bounds(run) if limit.metric == "ttft" else e2e_bounds(run)).known(limit.limit)
    return values.due_s, values.lower_s


def _value(due: Floats, values: Floats, start_s: float, limit: Limit) -> float:
    first, last = np.searchsorted(due, [start_s, start_s + WINDOW_S], side="left")
    return quantile(values[first:last], QUANTILES[limit.statistic])
