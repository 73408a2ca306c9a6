"""Fits the model of one replica to a run: service times, slots, capacity, and the rates that fleets carry."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from loadgen.analyze.demand.capacity import MIN_SERVICES, LatencyLimit, Rates, Work, filled, sustained
from loadgen.analyze.demand.served import gateway_policy, supply
from loadgen.analyze.demand.services import MIN_FULL, Services, in_full_batch, measured, modelled, most_at_once, slots
from loadgen.analyze.demand.unstreamed import unstreamed
from loadgen.analyze.observed import Bools, Floats, Observed
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.stats import QUANTILES
from loadgen.dataset.run_info import Limit

_ROUNDS = 4
"""Slots and prefill are determined from each other until the slots no longer change, at most this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaModel:
    """What is known about the replicas of a run.

    Attributes:
        services: Services of all requests of the run.
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
    last_s = np.where(requests.ok, requests.last_s, np.nan)
    replicas = np.maximum(supply(fleet).at(requests.sent_s), 1.0)
    slot_count: int | None = None
    for _ in range(_ROUNDS):
        # With k slots, requests that find at most half as many others in flight find a free one at every replica.
        services = _services(run, last_s, service_s, few=(slot_count or 0) // 2)
        known = services.known
        if known.sum() < MIN_SERVICES:
            return f"fewer than {MIN_SERVICES} requests were answered with known times"
        mean_s = float(services.service_s[known].mean())
        before = slot_count
        slot_count = slots(requests.sent_s, _starts(run, services), requests.ended_s, replicas, mean_s)
        if slot_count in (None, before):
            break
    slots_known = slot_count is not None
    slot_count = slot_count or most_at_once(services.start_s[known], last_s[known], replicas[known])
    full = known & in_full_batch(services.start_s, last_s, replicas, slot_count)
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
    policy = gateway_policy(requests.scheduled_s[due], all_s.service_s, start_s, known[due], fleet, slot_count)
    rates = Rates(work=work, capacity=capacity, slots=slot_count, policy=policy, limits=limits)
    if limits and rates.of(1).value == 0:
        # Requests break a limit without waiting: no fleet keeps it, so the throughput alone tells what is needed.
        rates = replace(rates, limits=())
    return ReplicaModel(services=services, rates=rates, full_batch=full_batch, slots_known=slots_known)


def latency_limits(limits: Sequence[Limit]) -> tuple[LatencyLimit, ...]:
    """The limits that waiting can break: those on TTFT and E2E."""
    return tuple(
        LatencyLimit(metric=each.metric, share=QUANTILES[each.statistic], limit_s=each.limit)
        for each in limits
        if each.metric in ("ttft", "e2e")
    )


def _services(run: Observed, last_s: Floats, service_s: Floats | None, *, few: int) -> Services:
    requests = run.requests
    if service_s is not None and _mostly(np.isfinite(service_s), requests.ok):
        return measured(requests.first_s, last_s, service_s)
    first_s = np.where(np.isnan(requests.first_s), last_s, requests.first_s)
    if not (first_s < last_s).any():
        return unstreamed(requests.sent_s, last_s, requests.ended_s, requests.output_tokens, few)
    return modelled(requests.sent_s, first_s, last_s, requests.ended_s, few)


def _mostly(reported: Bools, ok: Bools) -> bool:
    """Whether most answered requests have a reported service: the others are then taken to be like them."""
    return bool((reported & ok).sum() >= max(MIN_SERVICES, ok.sum() / 2))


def _starts(run: Observed, services: Services) -> Floats:
    """Starts of all services, also of those that were cut after their first token."""
    begun = run.requests.first_s - np.nanmedian(services.prefill_s)
    return np.where(services.known, services.start_s, begun)
