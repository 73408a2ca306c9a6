"""Computes the cost in replica-seconds and compares it with fleets of a fixed size."""

from dataclasses import replace

import numpy as np

from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Cost
from loadgen.analyze.results.demand import Demand
from loadgen.analyze.scaling.replicas import Fleet

_UNKNOWN = Cost(
    replica_seconds=None,
    static_replicas=None,
    static_replica_seconds=None,
    of_static_ratio=None,
    mean_replicas=None,
)


def cost(run: Observed, fleet: Fleet, demand: Demand) -> Cost:
    """Compute the replica-seconds during the load; unknown without a load or without replica events.

    The static peak has the most replicas that were desired at once during the load; without an autoscaler, the most
    that existed. The needed fleet is the smallest fixed one of the demand.
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
    if demand.smallest is None:
        return replace(known, needed_why_missing=demand.why_missing or "no fixed fleet keeps the limits")
    needed = demand.smallest.replicas
    return replace(
        known,
        needed_replicas=needed,
        needed_replica_seconds=needed * length,
        of_needed_ratio=used / (needed * length),
    )
