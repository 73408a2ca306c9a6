"""Measures TTFT by the age of the replica that answered, and whether cold replicas decide a limit on TTFT.

The age of a replica is the time since it got its first request of a ready span: a server that was ready for an hour and
never asked is as cold as a new one, and one that was started again is cold again.
"""

import numpy as np

from loadgen.analyze.balance.served import Served
from loadgen.analyze.bounds import ttft_bounds
from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.results.balance import AgeGroup, ReplicaAge
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.stats import QUANTILES, quantile
from loadgen.dataset.run_info import Limit

EDGES_S = (5.0, 15.0, 30.0, 60.0, 120.0)
"""Edges of the groups of ages."""
SLOWER = 2.0
"""Cold replicas are at least this much slower, by the median."""
MIN_WARM = 20
"""With fewer warm requests there is nothing to compare with."""


def replica_age(run: Observed, fleet: Fleet, by: Served) -> ReplicaAge:
    """TTFT by the age of the replica; the reason is given where that is not known."""
    requests = run.requests
    answered = int((requests.ok & requests.due).sum())
    if not np.isfinite(requests.ttft_s).any():
        return ReplicaAge(answered=answered, why_missing="no first token was timed")
    age_s = ages(run, fleet, by)
    known = requests.ok & requests.due & np.isfinite(age_s) & np.isfinite(requests.ttft_s)
    if not known.any():
        return ReplicaAge(answered=answered, why_missing="neither requests nor the fleet show which replica answered")
    edges = (0.0, *EDGES_S)
    groups = []
    for number, start in enumerate(edges):
        end = edges[number + 1] if number + 1 < len(edges) else None
        members = known & (age_s >= start) & (age_s < (np.inf if end is None else end))
        if members.any():
            groups.append(_group(start, end, requests.ttft_s[members]))
    cold_s = _cold_until(run, known, age_s)
    found = ReplicaAge(known=int(known.sum()), answered=answered, groups=tuple(groups))
    if cold_s is None:
        return found
    cold = known & (age_s < cold_s)
    return ReplicaAge(
        known=found.known,
        answered=answered,
        groups=found.groups,
        cold_s=cold_s,
        cold_requests=int(cold.sum()),
        cold_p95_s=quantile(requests.ttft_s[cold], 0.95),
        warm_p95_s=quantile(_without(run, cold), 0.95),
    )


def ages(run: Observed, fleet: Fleet, by: Served) -> Floats:
    """The age of the replica of each request, when it was sent; NaN where it is not known."""
    sent_s = run.requests.sent_s
    age_s = np.full(len(sent_s), np.nan)
    for name in by.names:
        rows = np.flatnonzero(by.of(name))
        if not len(rows):
            continue
        pod = fleet.pods.get(name)
        starts = np.array([start for start, _ in pod.ready] if pod is not None and pod.ready else [-np.inf])
        span = np.maximum(np.searchsorted(starts, sent_s[rows], side="right") - 1, 0)
        first_s = np.full(len(starts), np.inf)
        np.minimum.at(first_s, span, sent_s[rows])
        age_s[rows] = sent_s[rows] - first_s[span]
    return age_s


def _group(start_s: float, end_s: float | None, ttft_s: Floats) -> AgeGroup:
    return AgeGroup(
        from_s=start_s,
        to_s=end_s,
        requests=len(ttft_s),
        ttft_p50_s=quantile(ttft_s, 0.50),
        ttft_p95_s=quantile(ttft_s, 0.95),
        ttft_p99_s=quantile(ttft_s, 0.99),
        ttft_max_s=float(ttft_s.max()),
    )


def ttft_limits(run: Observed) -> list[Limit]:
    """The limits on percentiles of TTFT."""
    return [each for each in run.info.limits if each.metric == "ttft" and each.statistic in QUANTILES]


def _without(run: Observed, cold: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    """Upper bounds of TTFT of all judged requests but those of cold replicas."""
    every = ttft_bounds(run)
    return every.where((run.warm & ~cold)[every.row]).upper_s


def _cold_until(run: Observed, known: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], age_s: Floats) -> float | None:
    """The least age without whose requests every missed limit on TTFT is met; None if there is none."""
    every = ttft_bounds(run).where(run.warm[ttft_bounds(run).row])
    missed = [each for each in ttft_limits(run) if quantile(every.lower_s, QUANTILES[each.statistic]) > each.limit]
    if not missed:
        return None
    ttft_s = run.requests.ttft_s
    for edge in EDGES_S:
        cold = known & run.warm & (age_s < edge)
        rest = _without(run, cold)
        others = known & run.warm & ~cold
        if not cold.any() or others.sum() < MIN_WARM or cold.sum() > others.sum():
            continue
        slower = quantile(ttft_s[cold], 0.50) >= SLOWER * quantile(ttft_s[others], 0.50)
        if slower and all(quantile(rest, QUANTILES[each.statistic]) <= each.limit for each in missed):
            return edge
    return None
