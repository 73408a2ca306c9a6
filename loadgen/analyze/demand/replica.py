"""Fits the model of one replica to a run: service times, slots, capacity, and the rates that fleets carry."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from loadgen.analyze.demand.capacity import LatencyLimit, Rates, Work, filled, sustained
from loadgen.analyze.demand.occupancy import occupancy
from loadgen.analyze.demand.served import gateway_policy
from loadgen.analyze.demand.services import MIN_FULL, Services, in_full_batch
from loadgen.analyze.observed import Floats, Observed
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.stats import QUANTILES
from loadgen.dataset.run_info import Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaModel:
    """What is known about the replicas of a run.

    Attributes:
        services: How long all requests of the run occupied a slot.
        rates: Rates that fleets carry, with the capacity and the slots of one replica.
        full_batch: Whether the capacity is that of services which started in a full batch.
        slots_known: Whether requests waited, which shows the slots; otherwise slots and rates are lower bounds.
    """

    services: Services
    rates: Rates
    full_batch: bool
    slots_known: bool


NO_WAITS = "requests hardly ever waited, so the number of requests that a replica serves at once is unknown"


def fit(run: Observed, fleet: Fleet, service_s: Floats | None = None) -> ReplicaModel | str:
    """Fit the model; a text says why it is not possible, as the end of a sentence after "because".

    Args:
        run: The run.
        fleet: Its replicas.
        service_s: Service times that the engine reported, NaN where it did not; None if it reports none.
    """
    if not fleet.pods:
        return "the replicas were not observed"
    requests = run.requests
    if not requests.due.any():
        return "no request was due"
    occupied = occupancy(run, fleet, service_s)
    if isinstance(occupied, str):
        return occupied
    services, slot_count = occupied.services, occupied.slots
    known = services.known
    last_s = np.where(requests.ok, requests.last_s, np.nan)
    full = known & in_full_batch(services.start_s, last_s, occupied.replicas, slot_count)
    full_batch = bool(full.sum() >= MIN_FULL)
    use = full if full_batch else known
    error_s = services.error_s if services.method == "modelled" else None
    capacity = sustained(services.service_s[use], slot_count, model_error_s=error_s)
    work = Work(service_s=services.service_s[use], prefill_s=services.prefill_s[use])
    limits = latency_limits(run.info.limits)
    due = requests.due
    all_s = filled(
        Work(service_s=services.service_s, prefill_s=services.prefill_s).rows(np.flatnonzero(due)), known[due]
    )
    start_s = services.start_s[due]
    policy = gateway_policy(run, requests.scheduled_s[due], all_s.service_s, start_s, known[due], fleet, slot_count)
    rates = Rates(work=work, capacity=capacity, slots=slot_count, policy=policy, limits=limits)
    if limits and rates.of(1).value == 0:
        # Requests break a limit without waiting: no fleet keeps it, so the throughput alone tells what is needed.
        rates = replace(rates, limits=())
    return ReplicaModel(services=services, rates=rates, full_batch=full_batch, slots_known=occupied.slots_known)


def latency_limits(limits: Sequence[Limit]) -> tuple[LatencyLimit, ...]:
    """The limits that waiting can break: those on TTFT and E2E."""
    return tuple(
        LatencyLimit(metric=each.metric, share=QUANTILES[each.statistic], limit_s=each.limit)
        for each in limits
        if each.metric in ("ttft", "e2e")
    )
