"""What the fleet cost, in replica-seconds, against a fleet of the peak size throughout."""

import numpy as np

from loadgen.analyze.observed import Observed
from loadgen.analyze.replicas import Fleet
from loadgen.analyze.results import Cost

_UNKNOWN = Cost(
    replica_seconds=None,
    static_replicas=None,
    static_replica_seconds=None,
    of_static_ratio=None,
    mean_replicas=None,
)


def cost(run: Observed, fleet: Fleet) -> Cost:
    """Replica-seconds within the load; unknown without a load or without replica events.

    The static fleet has the most replicas that were desired at once while the load ran; without an autoscaler, the
    most that existed.
    """
    length = run.end_s
    if length <= 0 or not fleet.pods:
        return _UNKNOWN
    replicas, seconds = fleet.billed.within(0.0, length)
    used = float(np.nansum(replicas * seconds))
    wanted, _ = fleet.desired.within(0.0, length)
    peak = wanted if np.isfinite(wanted).any() else replicas
    static = int(np.nanmax(peak)) if np.isfinite(peak).any() else 0
    return Cost(
        replica_seconds=used,
        static_replicas=static,
        static_replica_seconds=static * length,
        of_static_ratio=used / (static * length) if static else None,
        mean_replicas=used / length,
    )
