"""Determines when the backlog of a lag was gone, by Newell's cumulative curves of two replays.

A replay with the replicas as they served, and one with replicas that follow the need, have the same arrivals and
services. What has departed in the second and not in the first is the backlog of the lag.
"""

from dataclasses import dataclass

import numpy as np

from loadgen.analyze.observed import Floats


@dataclass(frozen=True, slots=True)
class Backlog:
    """The departures of both replays, each in order.

    Attributes:
        served_s: With the replicas as they served.
        ideal_s: With replicas that follow the need.
    """

    served_s: Floats
    ideal_s: Floats

    def gone_s(self, since_s: float, replicas: int) -> float | None:
        """When the curves meet, at or after `since_s`: up to one request for each replica, as turns differ.

        None if they do not meet again before the last departure.
        """
        served = self.served_s[np.isfinite(self.served_s)]
        at = np.append(since_s, served[served > since_s])
        behind = np.searchsorted(self.ideal_s, at, side="right") - np.searchsorted(served, at, side="right")
        met = np.flatnonzero(behind <= replicas)
        return float(at[met[0]]) if len(met) else None


def backlog(served_start_s: Floats, ideal_start_s: Floats, service_s: Floats) -> Backlog:
    """The backlog of a lag, from the starts of the same services in two replays."""
    return Backlog(np.sort(served_start_s + service_s), np.sort(ideal_start_s + service_s))
