"""Replays of arrivals and services, against queueing theory and against a slow simulation step by step."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.demand.replay import Supply, fixed, replay

POLICIES = ("round_robin", "least_requests", "one_queue")


def slow(due, service, since, until, slots, policy):
    """The starts of all requests, found by looking at every replica for every request."""
    n = len(since)
    taken = [[] for _ in range(n)]  # (start, end) of what each replica serves
    starts, given_to = [], [0] * n
    for number, (arrival, takes) in enumerate(zip(due, service, strict=True)):
        there = [r for r in range(n) if since[r] <= arrival < until[r]]
        at = arrival
        if policy == "one_queue":
            slots_free = []
            for r in range(n):
                ends = sorted((end for _, end in taken[r]), reverse=True)
                free = max(since[r], ends[slots - 1]) if len(ends) >= slots else since[r]
                if max(arrival, free) < until[r]:
                    slots_free.append((free, until[r], r))
            if not slots_free:
                starts.append(math.inf)
                continue
            free, _, chosen = min(slots_free)  # the slot that has been free for the longest time
            starts.append(max(arrival, free))
            taken[chosen].append((starts[-1], starts[-1] + takes))
            continue
        if not there:
            later = sorted(s for s, u in zip(since, until, strict=True) if s > arrival and u > s)
            if not later:
                starts.append(math.inf)
                continue
            at = later[0]
            there = [r for r in range(n) if since[r] <= at < until[r]]
        if policy == "round_robin":
            chosen = there[number % len(there)]
        else:
            busy = [sum(end > at for _, end in taken[r]) for r in range(n)]
            chosen = min(there, key=lambda r: (busy[r], given_to[r], r))
        given_to[chosen] += 1
        ends = sorted((end for _, end in taken[chosen]), reverse=True)
        start = max(at, ends[slots - 1]) if len(ends) >= slots else at
        taken[chosen].append((start, start + takes))
        starts.append(start)
    return starts


def poisson(rate, count, seed):
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))


def erlang_c(servers, load):
    """The chance to wait in M/M/n, from its definition."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.8), (4, 2.8), (16, 12.8)])
@pytest.mark.parametrize("shape", ["slots", "replicas"])
def test_waits_of_one_queue_are_those_of_mmn(servers, load, shape):
    """M/M/n: the chance to wait is Erlang's C, the mean wait C / (n·μ − λ).

    200,000 waits; the bounds are about four standard errors, which correlation makes larger at high load.
    """
    due, service = poisson(load, 200_000, 1), np.random.default_rng(2).exponential(1.0, 200_000)
    supply = fixed(1, servers, "one_queue") if shape == "slots" else fixed(servers, 1, "one_queue")
    wait = replay(due, service, supply) - due
    chance = erlang_c(servers, load)
    assert (wait > 1e-9).mean() == pytest.approx(chance, rel=0.06)
    assert wait.mean() == pytest.approx(chance / (servers - load), rel=0.12)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_waits_of_one_server_with_equal_services_are_those_of_md1(load):
    """M/D/1: mean wait = ρ · S / (2 · (1 − ρ))."""
    due = poisson(load, 100_000, 3)
    for policy in POLICIES:
        wait = replay(due, np.ones(len(due)), fixed(1, 1, policy)) - due
        assert wait.mean() == pytest.approx(load / (2 * (1 - load)), rel=0.1)


def test_two_replicas_in_turn_are_two_queues_with_erlang_arrivals():
    """Two replicas in turn are two queues E2/M/1, whose mean wait is σ / (1 − σ) for μ = 1.

    Gaps at each replica are Erlang-2 with rate 1 a stage, so σ solves σ = (1 / (1 + 1 − σ))²: σ = (3 − √5) / 2.
    """
    due, service = poisson(1.0, 300_000, 5), np.random.default_rng(6).exponential(1.0, 300_000)
    wait = replay(due, service, fixed(2, 1, "round_robin")) - due
    sigma = (3 - math.sqrt(5)) / 2
    assert sigma == pytest.approx((1 / (2 - sigma)) ** 2)
    assert wait.mean() == pytest.approx(sigma / (1 - sigma), rel=0.05)


@given(
    gaps=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    services=st.lists(st.integers(1, 25), min_size=40, max_size=40),
    lives=st.lists(st.tuples(st.integers(-2, 60), st.integers(1, 80)), min_size=1, max_size=4),
    slots=st.integers(1, 3),
    policy=st.sampled_from(POLICIES),
)
def test_a_changing_fleet_gives_the_same_starts_as_a_slow_simulation(gaps, services, lives, slots, policy):
    """Whole numbers make all sums exact, and no two replicas share an end, so that ties cannot be told apart."""
    due = np.cumsum(np.array(gaps, dtype=float))
    service = np.array(services[: len(gaps)], dtype=float)
    since = [float(s) for s, _ in lives]
    until = [float(s + lasts) + 0.25 * number for number, (s, lasts) in enumerate(lives)]
    made = replay(due, service, Supply(from_s=np.array(since), until_s=np.array(until), slots=slots, policy=policy))
    assert made.tolist() == slow(due.tolist(), service.tolist(), since, until, slots, policy)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("replicas", [1, 2, 7])
def test_a_fleet_that_changes_after_the_last_request_is_a_fixed_one(replicas, slots):
    """The same starts, to the last bit."""
    random = np.random.default_rng(1)
    due, service = np.sort(random.uniform(0, 100, 400)), random.exponential(1.0, 400)
    supply = fixed(replicas, slots, "round_robin")
    later = replace(supply, until_s=np.full(replicas, 1e6))
    assert replay(due, service, supply).tolist() == replay(due, service, later).tolist()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_request_that_finds_no_replica_waits_for_the_next(policy):
    """One replica from 10 to 20 s and one from 30 s: due at 5, 15, 25 s; the last replica is gone at 40 s."""
    supply = Supply(from_s=np.array([10.0, 30.0]), until_s=np.array([20.0, 40.0]), slots=1, policy=policy)
    starts = replay(np.array([5.0, 15.0, 25.0, 45.0]), np.full(4, 1.0), supply)
    assert starts.tolist() == [10.0, 15.0, 30.0, math.inf]


def test_a_replica_that_drains_serves_its_own_queue_but_no_common_one():
    """Three requests at 0 s of 10 s each on one slot until 15 s, with another replica from 100 s."""
    due, service = np.zeros(3), np.full(3, 10.0)
    lives = {"from_s": np.array([0.0, 100.0]), "until_s": np.array([15.0, np.inf]), "slots": 1}
    own = replay(due, service, Supply(**lives, policy="round_robin"))
    common = replay(due, service, Supply(**lives, policy="one_queue"))
    assert own.tolist() == [0.0, 10.0, 20.0]
    assert common.tolist() == [0.0, 10.0, 100.0]


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_to_replay(policy):
    """No request gives no start."""
    assert len(replay(np.empty(0), np.empty(0), fixed(2, 2, policy))) == 0
