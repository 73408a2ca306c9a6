"""The fewest replicas of a perfect autoscaler, against every possible schedule and against arithmetic."""

import itertools
import math

import numpy as np
import pytest

from loadgen.analyze.cost.load import Load
from loadgen.analyze.cost.oracle import Goal, fixed_fleet, perfect

PERIOD_S = 10.0


def every(load: Load, limit_s: float, share: float = 1.0, window_s: float = PERIOD_S) -> Goal:
    """A goal with windows of one length."""
    edges = np.searchsorted(load.arrival_s, np.arange(0.0, load.arrival_s[-1] + 2 * window_s, window_s)).tolist()
    return Goal(limit_s=limit_s, share=share, windows=list(itertools.pairwise(edges)))


def steps(rates_per_s: list[float], service_s: float = 0.5) -> Load:
    """Even arrivals at one rate for each period."""
    arrivals = [
        number * PERIOD_S + np.arange(0.0, PERIOD_S, 1 / rate) for number, rate in enumerate(rates_per_s) if rate
    ]
    arrival_s = np.concatenate(arrivals)
    services = np.full(len(arrival_s), service_s)
    return Load(arrival_s=arrival_s, service_s=services, first_token_s=services * 0.1)


def reference_cost(load: Load, slots: int, goal: Goal, replicas: tuple[int, ...], start_up_s: float) -> float:
    """Replica-seconds of a schedule, infinite if it does not keep the goal; an obvious loop over all requests."""
    free: list[list[float]] = []
    drained_s, period = 0.0, -1
    ttft = []
    rows = zip(load.arrival_s, load.service_s, load.first_token_s, strict=True)
    for turn, (arrival_s, service_s, first_s) in enumerate(rows, start=1):
        while period < min(int(arrival_s // PERIOD_S), len(replicas) - 1):
            period += 1
            while len(free) > replicas[period]:
                drained_s += max(0.0, max(free.pop()) - period * PERIOD_S)
            while len(free) < replicas[period]:
                free.append([-math.inf] * slots)
        queue = free[turn % len(free)]
        slot = queue.index(min(queue))
        start_s = max(queue[slot], arrival_s)
        queue[slot] = start_s + service_s
        ttft.append(start_s - arrival_s + first_s)
    for later in range(period + 1, len(replicas)):
        while len(free) > replicas[later]:
            drained_s += max(0.0, max(free.pop()) - later * PERIOD_S)
        while len(free) < replicas[later]:
            free.append([-math.inf] * slots)
    for low, high in goal.windows:
        if sum(value <= goal.limit_s for value in ttft[low:high]) < goal.share * (high - low):
            return math.inf
    added = sum(max(0, after - before) for before, after in itertools.pairwise(replicas))
    return sum(replicas) * PERIOD_S + drained_s + added * start_up_s


@pytest.mark.parametrize("start_up_s", [0.0, 15.0])
@pytest.mark.parametrize("seed", range(8))
def test_against_every_schedule(seed: int, start_up_s: float) -> None:
    """Five periods, up to three replicas: the schedule keeps the goal, and costs at most a tenth more than the best."""
    rng = np.random.default_rng(seed)
    periods = 5
    arrival_s = np.sort(rng.uniform(0.0, periods * PERIOD_S, int(rng.integers(30, 110))))
    services = rng.exponential(0.6, len(arrival_s))
    load = Load(arrival_s=arrival_s, service_s=services, first_token_s=services * 0.05)
    goal = every(load, limit_s=3.0, share=0.9)
    costs = {
        replicas: reference_cost(load, 1, goal, replicas, start_up_s)
        for replicas in itertools.product((1, 2, 3), repeat=periods)
    }
    best_s = min(costs.values())
    found = perfect(
        load, 1, goal, begin_s=0.0, end_s=periods * PERIOD_S, period_s=PERIOD_S, start_up_s=start_up_s, most=3
    )
    if found is None:
        assert best_s == math.inf
        return
    assert found.replica_seconds == pytest.approx(costs[found.replicas])
    assert found.least_replica_seconds <= best_s <= found.replica_seconds <= 1.1 * best_s


def test_replicas_follow_the_load() -> None:
    """A replica completes 2/s, and nothing may wait for long: 1.5/s, 3.5/s, 5.5/s and nothing need 1, 2, 3 and 1."""
    load = steps([1.5, 3.5, 5.5, 0.0, 1.5])
    found = perfect(load, 1, every(load, limit_s=0.6), begin_s=0.0, end_s=50.0, period_s=PERIOD_S)
    assert found is not None
    assert found.replicas == (1, 2, 3, 1, 1)
    assert found.least_replica_seconds <= found.replica_seconds <= 80.0 + 1.5


def test_a_dip_that_is_shorter_than_a_start_is_kept() -> None:
    """Starting two replicas again costs more than keeping them for one period."""
    load = steps([5.5, 1.5, 5.5])
    goal = every(load, limit_s=0.6)
    at_once = perfect(load, 1, goal, begin_s=0.0, end_s=30.0, period_s=PERIOD_S)
    slowly = perfect(load, 1, goal, begin_s=0.0, end_s=30.0, period_s=PERIOD_S, start_up_s=12.0)
    assert at_once is not None
    assert slowly is not None
    assert at_once.replicas == (3, 1, 3)
    assert slowly.replicas == (3, 3, 3)
    assert slowly.replica_seconds > at_once.replica_seconds


def test_services_that_are_too_long_cannot_be_helped() -> None:
    """A request whose first token takes longer than the limit attains with no number of replicas."""
    load = steps([1.0], service_s=20.0)
    goal = every(load, limit_s=1.0)
    assert perfect(load, 4, goal, begin_s=0.0, end_s=10.0, period_s=PERIOD_S, most=8) is None
    assert fixed_fleet(load, 4, goal, most=8) is None


@pytest.mark.parametrize(("rate_per_s", "slots", "expected"), [(1.9, 1, 1), (2.1, 1, 2), (7.9, 4, 1), (8.1, 4, 2)])
def test_a_fixed_fleet_is_the_load_over_the_capacity(rate_per_s: float, slots: int, expected: int) -> None:
    """Even arrivals and equal services of 0.5 s: a replica completes two requests per second and slot."""
    load = steps([rate_per_s] * 30)
    assert fixed_fleet(load, slots, every(load, limit_s=0.5, share=0.95)) == expected


def test_an_empty_load_needs_the_minimum() -> None:
    """Nothing arrives."""
    empty = Load(arrival_s=np.empty(0), service_s=np.empty(0), first_token_s=np.empty(0))
    found = perfect(
        empty, 1, Goal(limit_s=1.0, share=0.95, windows=[]), begin_s=0.0, end_s=30.0, period_s=10.0, minimum=2
    )
    assert found is not None
    assert (found.replicas, found.replica_seconds, found.least_replica_seconds) == ((2, 2, 2), 60.0, 60.0)
