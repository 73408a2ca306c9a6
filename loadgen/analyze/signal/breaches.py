"""Finds the spans in which requests exceeded the limit on latency, and when the first of them was too late."""

from dataclasses import dataclass

import numpy as np

from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.scaling.recovery import WINDOW_S, recovery_limit
from loadgen.analyze.stats import QUANTILES, quantile
from loadgen.analyze.steps import runs

MIN_SLOW = 5
"""Fewer slow requests are stragglers."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A span in which a limit on latency was broken.

    Attributes:
        start_s: Start of its first window of due time.
        end_s: End of its last window of due time.
        broke_s: When the first request exceeded the limit: its due time and the limit.
        until_s: When the last of its requests ended.
    """

    start_s: float
    end_s: float
    broke_s: float
    until_s: float


def breaches(run: Observed) -> tuple[Breach, ...]:
    """The spans in which the limited percentile exceeded its limit in two windows of 5 s in a row.

    One good window between two broken ones does not end a span. Only waiting breaks a limit here: a request that failed
    counts with its age.
    """
    limit = recovery_limit(run.info.limits)
    if limit is None or not run.end_s:
        return ()
    requests = run.requests
    latency = requests.ttft_s if limit.metric == "ttft" else requests.e2e_s
    values = np.where(np.isfinite(latency), latency, requests.age_s)
    use = np.isfinite(values) & requests.due & ~requests.by_generator
    due, values = requests.scheduled_s[use], values[use]
    ended = requests.ended_s[use]
    edges = np.searchsorted(due, np.arange(0.0, run.end_s + WINDOW_S, WINDOW_S), side="left")
    filled = np.flatnonzero(np.diff(edges) > 0)  # windows with requests
    share = QUANTILES[limit.statistic]
    broken = np.array([quantile(values[edges[i] : edges[i + 1]], share) > limit.limit for i in filled], dtype=np.bool_)
    single = ~broken
    single[1:-1] &= broken[:-2] & broken[2:]
    single[[0, -1] if len(single) else []] = False
    found = []
    for first, last in runs(broken | single):
        low, high = edges[filled[first]], edges[filled[last] + 1]
        slow = values[low:high] > limit.limit
        if last > first and slow.sum() >= MIN_SLOW:
            found.append(
                Breach(
                    start_s=float(filled[first] * WINDOW_S),
                    end_s=float((filled[last] + 1) * WINDOW_S),
                    broke_s=float(due[low:high][slow].min() + limit.limit),
                    until_s=_last(ended[low:high], run.end_s),
                )
            )
    return tuple(found)


def _last(ended: Floats, end_s: float) -> float:
    return float(np.nanmax(np.where(np.isnan(ended), end_s, ended)))
