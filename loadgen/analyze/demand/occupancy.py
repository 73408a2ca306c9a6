"""Determines how long each request occupies a slot of a replica, and how many slots a replica has.

A slot is whatever requests wait for. Where they wait in Triton's queue, it is an instance of Triton's model, which also
hands the request to the engine, waits for the engine's next step and sends the responses: it is taken for longer than
the engine works on the request. Where they wait inside the engine, it is a place in the engine's batch.

    wait in Triton's queue | instance of Triton's model                                   |
                           | hand-over | service: prefill and decode in the engine | rest |
"""

from dataclasses import dataclass

import numpy as np

from loadgen.analyze.demand.capacity import MIN_SERVICES
from loadgen.analyze.demand.served import supply
from loadgen.analyze.demand.services import CLEAR_WAIT, MIN_ALONE, Services, measured, modelled, most_at_once, slots
from loadgen.analyze.demand.unstreamed import unstreamed
from loadgen.analyze.observed import Bools, Floats, Observed
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.dataset.names import SignalName

_ROUNDS = 4
"""Slots and prefill are determined from each other until the slots no longer change, at most this often."""
_MOST_HELD = 0.2
"""Share of a mean service for which a request may hold its slot besides."""
_SAME = 0.1
"""Share by which the successes that Triton counted may differ from the answered requests."""
_SAME_OF_POD = 0.02
NOT_FOR_A_SLOT = (
    "some requests waited while their replica served fewer others than at other times, so what they waited for is "
    "unknown"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """The slots of the replicas of a run, and how long each request occupied one.

    Attributes:
        services: From when a slot took each request until it was free again.
        slots: Slots of a replica.
        slots_known: Whether requests waited, which shows the slots; otherwise their number is a lower bound.
        replicas: Serving replicas when each request was sent, at least one.
    """

    services: Services
    slots: int
    slots_known: bool
    replicas: Floats


def occupancy(run: Observed, fleet: Fleet, service_s: Floats | None = None) -> Occupancy | str:
    """Determine both; a text says why it is not possible, as the end of a sentence after "because".

    Args:
        run: The run.
        fleet: Its replicas.
        service_s: Service times that the engine reported, NaN where it did not; None if it reports none.
    """
    requests = run.requests
    last_s = np.where(requests.ok, requests.last_s, np.nan)
    replicas = np.maximum(supply(fleet).at(requests.sent_s), 1.0)
    slot_count: int | None = None
    reported = _reported(run, last_s, service_s)
    for _ in range(_ROUNDS):
        # With k slots, requests that find at most half as many others in flight find a free one at every replica.
        services = reported or _modelled(run, last_s, few=(slot_count or 0) // 2)
        known = services.known
        if known.sum() < MIN_SERVICES:
            return f"fewer than {MIN_SERVICES} requests were answered with known times"
        mean_s = float(services.service_s[known].mean())
        before = slot_count
        slot_count = slots(requests.sent_s, _starts(run, services), requests.ended_s, replicas, mean_s)
        if slot_count == 0:
            return NOT_FOR_A_SLOT
        if slot_count in (None, before):
            break
    return Occupancy(
        services=services,
        slots=slot_count or most_at_once(services.start_s[known], last_s[known], replicas[known]),
        slots_known=slot_count is not None,
        replicas=replicas,
    )


def _reported(run: Observed, last_s: Floats, service_s: Floats | None) -> Services | None:
    requests = run.requests
    if service_s is None or not _mostly(np.isfinite(service_s), requests.ok):
        return None
    first_s = _first_s(run, last_s)
    return measured(first_s, last_s, service_s + held_s(run, measured(first_s, last_s, service_s)))


def _modelled(run: Observed, last_s: Floats, *, few: int) -> Services:
    requests = run.requests
    first_s = _first_s(run, last_s)
    if not (first_s < last_s).any():
        return unstreamed(requests.sent_s, last_s, requests.ended_s, requests.output_tokens, few)
    return modelled(requests.sent_s, first_s, last_s, requests.ended_s, few)


def _first_s(run: Observed, last_s: Floats) -> Floats:
    """When the first token arrived: with the last one, if the answer came in one piece."""
    return np.where(np.isnan(run.requests.first_s), last_s, run.requests.first_s)


def _mostly(reported: Bools, ok: Bools) -> bool:
    """Whether most answered requests have a reported service: the others are then taken to be like them."""
    return bool((reported & ok).sum() >= max(MIN_SERVICES, ok.sum() / 2))


def _starts(run: Observed, services: Services) -> Floats:
    """Starts of all services, also of those that were cut after their first token."""
    begun = run.requests.first_s - np.nanmedian(services.prefill_s)
    return np.where(services.known, services.start_s, begun)


def held_s(run: Observed, services: Services) -> Floats:
    """For how long each request holds its slot besides its service, seconds; 0 where the slot is the engine's.

    It is the mean by which Triton's compute counter exceeds the services, of the replica that answered where that is
    known and answered enough, otherwise of the fleet. If the excess is more than a share of
    a service, the counter includes the wait inside the engine, and nothing is added.

    Args:
        run: The run.
        services: The services that the engine reported.
    """
    held = np.zeros(len(services.service_s))
    known = np.flatnonzero(services.known)
    if not len(known) or _waits_inside_engine(run, services):
        return held
    answered, compute_s = _increases(run, SignalName.RAW_SUCCESS), _increases(run, SignalName.RAW_COMPUTE_US, 1e-6)
    taken_s = services.service_s[known]
    all_s = _excess_s(sum(answered.values()), sum(compute_s.values()), len(known), float(taken_s.sum()), _SAME)
    held[known] = all_s
    pods = run.requests.pod[known]
    codes, size = pods.code[pods.known], len(pods.names)
    counts, sums = np.bincount(codes, minlength=size), np.bincount(codes, taken_s[pods.known], size)
    own = [
        _excess_s(answered[pod], compute_s[pod], count, total_s, _SAME_OF_POD)
        if pod in answered and pod in compute_s and count >= MIN_ALONE
        else 0.0
        for pod, count, total_s in zip(pods.names, counts.tolist(), sums.tolist(), strict=True)
    ]
    own_s = np.array([*own, 0.0])[pods.code]  # the last one is that of requests without a known replica
    held[known] = np.where(own_s > 0, own_s, all_s)
    return held


def _excess_s(answered: float, compute_s: float, count: int, service_s: float, same: float) -> float:
    """Mean compute time of requests by Triton, beyond their services; 0 if the counters are of other requests.

    Args:
        answered: Requests that Triton counted.
        compute_s: Their compute time.
        count: Requests with known services.
        service_s: Sum of these.
        same: Share by which the two numbers of requests may differ.
    """
    if not abs(answered / count - 1) <= same:
        return 0.0
    excess_s = compute_s / answered - service_s / count
    return excess_s if 0 < excess_s <= _MOST_HELD * service_s / count else 0.0


def _increases(run: Observed, counter: str, unit: float = 1.0) -> dict[str, float]:
    """The increase of a counter of each replica."""
    series = run.signals.get(counter, {})
    return {pod: unit * float(np.clip(np.diff(each.value), 0.0, None).sum()) for pod, each in series.items()}


def _waits_inside_engine(run: Observed, services: Services) -> bool:
    """Whether most requests that waited did so inside the engine, so that its batch has the slots."""
    requests, known = run.requests, services.known
    clear_s = CLEAR_WAIT * float(services.service_s[known].mean()) if known.any() else 0.0
    waited = known & (services.start_s - requests.sent_s > clear_s)
    inside = known & (requests.engine_queue_s > clear_s)
    return bool(inside.sum() > waited.sum() / 2)
