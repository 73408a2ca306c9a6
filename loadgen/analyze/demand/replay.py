"""Replays arrivals and service times through replicas with slots, first come, first served.

A replica serves as many requests at the same time as it has slots; the others wait in its queue, or in the one queue of
the gateway. The service time of a request does not depend on how many others run.
"""

import math
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from itertools import pairwise
from typing import Literal

import numpy as np

from loadgen.analyze.observed import Floats, Ints

Policy = Literal["round_robin", "least_requests", "one_queue"]
"""How the gateway distributes requests: in turn, to the replica with the fewest, or when a slot becomes free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """Replicas over time.

    Attributes:
        from_s: When each replica takes its first request; −inf for one that was always there.
        until_s: When it takes no further ones and starts to drain; +inf for never. With one queue for all it serves
            what it has begun, otherwise its own queue as well.
        slots: Requests that a replica serves at the same time.
        policy: How requests are distributed.
    """

    from_s: Floats
    until_s: Floats
    slots: int
    policy: Policy = "round_robin"


def fixed(replicas: int, slots: int, policy: Policy) -> Supply:
    """A fleet of a fixed size."""
    return Supply(from_s=np.full(replicas, -np.inf), until_s=np.full(replicas, np.inf), slots=slots, policy=policy)


def replay(due_s: Floats, service_s: Floats, supply: Supply) -> Floats:
    """When the service of each request starts.

    A request that finds no replica waits for the next one; it is +inf if there will be none.

    Args:
        due_s: When requests arrive, seconds, in order.
        service_s: How long each occupies a slot, seconds.
        supply: The replicas.
    """
    if supply.policy == "one_queue":
        return _one_queue(due_s, service_s, supply)
    if supply.policy == "round_robin" and _is_fixed(supply):
        return _each_in_turn(due_s, service_s, supply)
    at_s = _dispatched(due_s, supply)
    count = int(np.searchsorted(at_s, np.inf))
    start_s = np.full(len(due_s), np.inf)
    if supply.policy == "least_requests":
        start_s[:count] = _least_requests(at_s[:count], service_s[:count], supply)
        return start_s
    replica = _in_turn(at_s[:count], supply)
    for number in np.unique(replica):
        of = np.flatnonzero(replica == number)
        start_s[of] = queue(at_s[of], service_s[of], supply.slots)
    return start_s


def _is_fixed(supply: Supply) -> bool:
    return not (supply.until_s < np.inf).any() and not (supply.from_s > -np.inf).any()


def _each_in_turn(due_s: Floats, service_s: Floats, supply: Supply) -> Floats:
    """Starts in a fleet that does not change; most replays are of one."""
    replicas = len(supply.from_s)
    start_s = np.full(len(due_s), np.inf)
    for number in range(replicas):
        start_s[number::replicas] = queue(due_s[number::replicas], service_s[number::replicas], supply.slots)
    return start_s


def _active(supply: Supply, at_s: float) -> Ints:
    return np.flatnonzero((supply.from_s <= at_s) & (at_s < supply.until_s))


def _dispatched(due_s: Floats, supply: Supply) -> Floats:
    """When the gateway sends each request to a replica: at once, or when the next replica appears."""
    edges = np.unique(np.concatenate(([-np.inf], supply.from_s, supply.until_s[supply.until_s < np.inf])))
    served = np.array([len(_active(supply, edge)) > 0 for edge in edges])
    next_s = np.full(len(edges), np.inf)
    upcoming = np.inf
    for number in range(len(edges) - 1, -1, -1):
        upcoming = edges[number] if served[number] else upcoming
        next_s[number] = upcoming
    span = np.searchsorted(edges, due_s, side="right") - 1
    return np.where(served[span], due_s, next_s[span])


def _in_turn(at_s: Floats, supply: Supply) -> Ints:
    """The replica of each request, in turn over those that are there."""
    edges = np.unique(np.concatenate((supply.from_s, supply.until_s)))
    cuts = [0, *np.searchsorted(at_s, edges[np.isfinite(edges)], side="left").tolist(), len(at_s)]
    replica = np.zeros(len(at_s), dtype=np.int64)
    for first, last in pairwise(cuts):
        if last > first:
            active = _active(supply, float(at_s[first]))
            # The turn goes on over changes: request number i goes to place i modulo the number of replicas.
            replica[first:last] = active[np.arange(first, last) % len(active)]
    return replica


def queue(at_s: Floats, service_s: Floats, slots: int, free_s: list[float] | None = None) -> Floats:
    """Starts in one queue before a fixed number of slots, first come, first served.

    Args:
        at_s: When requests arrive, in order.
        service_s: How long each occupies a slot.
        slots: Number of slots.
        free_s: Heap of the times at which the slots become free, which is updated; None for slots that are all free.
    """
    if slots == 1 and free_s is None:
        # Lindley's recursion, D_i = max(A_i, D_{i−1}) + S_i, in closed form.
        total = np.cumsum(service_s)
        before = total - service_s
        return np.maximum(before + np.maximum.accumulate(at_s - before), at_s)
    free = [-math.inf] * slots if free_s is None else free_s
    starts = []
    for at, takes in zip(at_s.tolist(), service_s.tolist(), strict=True):
        start = free[0] if free[0] > at else at
        heapreplace(free, start + takes)
        starts.append(start)
    return np.array(starts, dtype=np.float64)


def _one_queue(due_s: Floats, service_s: Floats, supply: Supply) -> Floats:
    if _is_fixed(supply):
        return queue(due_s, service_s, supply.slots * len(supply.from_s))
    free = [
        (since, until)
        for since, until in zip(supply.from_s.tolist(), supply.until_s.tolist(), strict=True)
        for _ in range(supply.slots)
    ]
    heapify(free)
    starts = []
    for at, takes in zip(due_s.tolist(), service_s.tolist(), strict=True):
        while free and max(free[0][0], at) >= free[0][1]:
            heappop(free)
        if not free:
            starts.append(math.inf)
            continue
        since, until = free[0]
        start = max(since, at)
        heapreplace(free, (start + takes, until))
        starts.append(start)
    return np.array(starts, dtype=np.float64)


_REQUEST = 1 << 40
"""One request at a replica; the lower bits count all that it has had, so that of two equal ones the fewer decide."""


def _least_requests(at_s: Floats, service_s: Floats, supply: Supply) -> Floats:
    replicas = len(supply.from_s)
    load = [0] * replicas
    free = [[-math.inf] * supply.slots for _ in range(replicas)]
    edges = np.unique(np.concatenate((supply.from_s, supply.until_s)))
    cuts = [0, *np.searchsorted(at_s, edges[np.isfinite(edges)], side="left").tolist(), len(at_s)]
    ends: list[tuple[float, int]] = []
    starts = []
    for first, last in pairwise(cuts):
        if last <= first:
            continue
        active = _active(supply, float(at_s[first])).tolist()
        for at, takes in zip(at_s[first:last].tolist(), service_s[first:last].tolist(), strict=True):
            while ends and ends[0][0] <= at:
                load[heappop(ends)[1]] -= _REQUEST
            chosen = min(active, key=load.__getitem__)
            slots = free[chosen]
            start = slots[0] if slots[0] > at else at
            heapreplace(slots, start + takes)
            heappush(ends, (start + takes, chosen))
            load[chosen] += _REQUEST + 1
            starts.append(start)
    return np.array(starts, dtype=np.float64)
