"""The need of hand-made runs whose replicas carry a known rate, without limits on latency."""

import numpy as np

from loadgen.analyze.demand.capacity import Rates, Work
from loadgen.analyze.demand.need import Need, need
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Demand, Estimate

UNKNOWN = "the replicas were not observed"


def needed(run: Observed, per_s: float | None) -> Need | str:
    """What the load of a run needs of replicas that carry `per_s` each; None: unknown."""
    if per_s is None:
        return UNKNOWN
    work = Work(service_s=np.array([1 / per_s]), prefill_s=np.zeros(1))
    exact = Estimate(value=per_s, low=per_s, high=per_s)
    return need(run, Rates(work=work, capacity=exact, slots=1, policy="round_robin", limits=()))


def demand(run: Observed, per_s: float | None) -> Demand:
    """The demand of the same run, without lags and causes."""
    found = needed(run, per_s)
    if isinstance(found, str) or per_s is None:
        return Demand(why_missing=str(found))
    return Demand(capacity=Estimate(value=per_s, low=per_s, high=per_s), rates=found.rates, needed=found.spans)
