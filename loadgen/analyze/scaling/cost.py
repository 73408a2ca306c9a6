"""Computes the cost in replica-seconds and compares it with fleets of a fixed size."""

import math
from dataclasses import replace

import numpy as np

from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.queueing import Capacity
from loadgen.analyze.results import Cost
from loadgen.analyze.scaling.recovery import request_limit
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.scaling.trigger import MIN_STEP_S, longest_wait_s

MEAN_S = 10.0
"""Without a limit on TTFT, a fixed fleet must serve the highest mean load over this time."""

_UNKNOWN = Cost(
    replica_seconds=None,
    static_replicas=None,
    static_replica_seconds=None,
    of_static_ratio=None,
    mean_replicas=None,
)


def cost(run: Observed, fleet: Fleet, capacity: Capacity) -> Cost:
    """Compute the replica-seconds during the load; unknown without a load or without replica events.

    The static peak has the most replicas that were desired at once during the load; without an autoscaler, the most
    that existed. The needed fleet has the fewest replicas that can serve the load.
    """
    length = run.end_s
    if length <= 0 or not fleet.pods:
        return _UNKNOWN
    replicas, seconds = fleet.billed.within(0.0, length)
    used = float(np.nansum(replicas * seconds))
    desired, _ = fleet.desired.within(0.0, length)
    peak = desired if np.isfinite(desired).any() else replicas
    static = int(np.nanmax(peak)) if np.isfinite(peak).any() else 0
    known = Cost(
        replica_seconds=used,
        static_replicas=static,
        static_replica_seconds=static * length,
        of_static_ratio=used / (static * length) if static else None,
        mean_replicas=used / length,
    )
    due = run.requests.scheduled_s[run.requests.due]
    if capacity.per_s is None:
        return replace(known, needed_why_missing=capacity.why_missing)
    if not len(due):
        return replace(known, needed_why_missing="no request was due")
    limit = request_limit(run.info.limits, "ttft")
    needed = needed_replicas(due, capacity.per_s, None if limit is None else limit.limit)
    return replace(
        known,
        needed_replicas=needed,
        needed_replica_seconds=needed * length,
        of_needed_ratio=used / (needed * length),
    )


def needed_replicas(due_s: Floats, per_s: float, ttft_limit_s: float | None) -> int:
    """The fewest replicas that can serve these requests.

    Args:
        due_s: When requests were due, in order; at least one.
        per_s: Capacity of one replica, requests per second.
        ttft_limit_s: Longest wait of a request in one queue for all replicas; at least one second is always allowed, so
            a single burst does not require a replica. Without it, the fleet serves the highest mean over `MEAN_S`.
    """
    if ttft_limit_s is None:
        since = np.searchsorted(due_s, due_s - MEAN_S, side="right")
        highest = float((np.arange(1, len(due_s) + 1) - since).max()) / MEAN_S
        return max(1, math.ceil(highest / per_s))
    allowed = max(ttft_limit_s, MIN_STEP_S)
    low, high = 1, 1
    while longest_wait_s(due_s, high * per_s) > allowed:
        low, high = high + 1, high * 2
    while low < high:
        middle = (low + high) // 2
        if longest_wait_s(due_s, middle * per_s) > allowed:
            low = middle + 1
        else:
            high = middle
    return high
