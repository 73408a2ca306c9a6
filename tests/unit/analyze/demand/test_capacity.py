"""Capacity of a replica and of fleets, against queues whose truth is known."""

import math

import numpy as np
import pytest

from loadgen.analyze.demand.capacity import LatencyLimit, Rates, Work, mean_interval, sustained, within
from loadgen.analyze.demand.services import in_full_batch, measured, modelled, slots
from loadgen.analyze.results.demand import Estimate

TRUE_PER_S = 5.0
PREFILL_SHARE = 0.1


def services(kind, mean, count, random):
    if kind == "equal":
        return np.full(count, mean)
    if kind == "exponential":
        return random.exponential(mean, count)
    return random.lognormal(math.log(mean) - 0.5, 1.0, count)  # mean · e^(−1/2) · e^(1/2)


def queue(kind, load, seed, slot_count=1, count=1500):
    """One replica that serves 5/s: due times, first tokens and last tokens as a client sees them."""
    random = np.random.default_rng(seed)
    due = np.cumsum(random.exponential(1 / (load * TRUE_PER_S), count))
    service = services(kind, slot_count / TRUE_PER_S, count, random)
    free, start = [-math.inf] * slot_count, np.empty(count)
    for number, (at, takes) in enumerate(zip(due, service, strict=True)):
        free.sort()
        start[number] = max(at, free[0])
        free[0] = start[number] + takes
    return due, start + PREFILL_SHARE * service, start + service, service


def seen_capacity(kind, load, seed, slot_count=1):
    due, first, last, _ = queue(kind, load, seed, slot_count)
    made = modelled(due, first, last, last)
    known = made.known
    count = slots(due, made.start_s, last, np.ones(len(due)), made.service_s[known].mean())
    assert count == slot_count
    return sustained(made.service_s[known], count, model_error_s=made.error_s)


@pytest.mark.parametrize("kind", ["equal", "exponential", "lognormal"])
@pytest.mark.parametrize("load", [0.3, 0.9])
def test_a_capacity_of_five_a_second_comes_out_as_five(kind, load):
    """At 30 % and at 90 % load, whatever the distribution: idle time and slow services have no influence.

    1,500 services with a coefficient of variation of at most 1.31 have a standard error of 3.4 %. The mean of eight
    runs is within four of its standard errors, 5 %, and at least six of the eight intervals contain the truth (with a
    coverage of 95 %, fewer do in 0.6 % of such tests).
    """
    made = [seen_capacity(kind, load, seed) for seed in range(8)]
    assert np.mean([each.value for each in made]) == pytest.approx(TRUE_PER_S, rel=0.05)
    assert sum(each.low <= TRUE_PER_S <= each.high for each in made) >= 6
    assert all(each.high - each.low < 0.25 * TRUE_PER_S for each in made)


@pytest.mark.parametrize("kind", ["equal", "exponential"])
def test_slots_are_told_from_the_time_in_which_requests_wait(kind):
    """Four slots of 0.8 s each serve 5/s; at 90 % load requests wait, and then four are in service."""
    made = seen_capacity(kind, 0.9, 1, slot_count=4)
    assert made.low <= TRUE_PER_S <= made.high
    assert made.value == pytest.approx(TRUE_PER_S, rel=0.1)


def test_measured_services_are_used_as_they_are():
    """The engine says how long each request was in service, so nothing is modelled and the interval is not widened."""
    _, first, last, service = queue("exponential", 0.9, 3)
    reported = service.copy()
    reported[::10] = np.nan
    made = measured(first, last, reported)
    assert made.method == "measured"
    assert made.known.sum() == 1350
    assert made.prefill_s[made.known] == pytest.approx(PREFILL_SHARE * service[made.known])
    exact = sustained(made.service_s[made.known], 1)
    assert exact.value == pytest.approx(1 / service[made.known].mean())
    assert exact.low < TRUE_PER_S < exact.high


def test_too_few_waits_do_not_tell_the_slots():
    """At 2 % load hardly any request waits."""
    due, first, last, _ = queue("equal", 0.02, 1, count=150)
    made = modelled(due, first, last, last)
    assert slots(due, made.start_s, last, np.ones(len(due)), made.service_s.mean()) is None


def test_services_in_a_full_batch_are_known_at_their_start():
    """Two slots: the second of two services at once starts in a full batch, a lone one does not."""
    start, end = np.array([0.0, 1.0, 10.0, np.nan]), np.array([4.0, 5.0, 11.0, np.nan])
    assert in_full_batch(start, end, np.ones(4), 2).tolist() == [False, True, False, False]


def test_requests_that_were_never_answered_have_no_service():
    """One is not sent, one is not answered, one gets a first token only."""
    sent, first = np.array([0.0, np.nan, 2.0, 3.0]), np.array([0.5, np.nan, np.nan, 3.5])
    last, ended = np.array([1.0, np.nan, np.nan, np.nan]), np.array([1.0, np.nan, 9.0, 9.0])
    assert modelled(sent, first, last, ended).known.tolist() == [True, False, False, False]
    nothing = modelled(sent, np.full(4, np.nan), np.full(4, np.nan), ended)
    assert not nothing.known.any()


@pytest.mark.parametrize(("kind", "least"), [("exponential", 180), ("lognormal", 176)])
def test_the_interval_of_a_mean_covers_it(kind, least):
    """200 samples of 100 values: 95 % coverage would be 190 ± 3.1; skewed services lose some of it at this size."""
    random = np.random.default_rng(7)
    made = [mean_interval(services(kind, 1.0, 100, random)) for _ in range(200)]
    assert sum(each.low <= 1.0 <= each.high for each in made) >= least


def test_equal_services_have_an_exact_mean():
    """No variation, no interval; a single value has none either."""
    assert mean_interval(np.full(50, 0.25)) == Estimate(value=0.25, low=0.25, high=0.25)
    assert mean_interval(np.array([0.25])) == Estimate(value=0.25, low=0.25, high=0.25)


def mm1(limit_s, share=0.95, mu=1.0):
    """The rate at which the wait of M/M/1 has this percentile: ρ · e^(−μ(1−ρ)t) = 1 − share, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        rho = (low + high) / 2
        low, high = (rho, high) if rho * math.exp(-mu * (1 - rho) * limit_s) < 1 - share else (low, rho)
    return low * mu


def rates(work, limits, slot_count=1, policy="one_queue"):
    capacity = sustained(work.service_s, slot_count)
    return Rates(work=work, capacity=capacity, slots=slot_count, policy=policy, limits=limits)


def exponential_work(count=4000):
    # The quantiles of the distribution instead of a sample: no sampling error.
    service = -np.log1p(-(np.arange(count) + 0.5) / count)
    return Work(service_s=service, prefill_s=np.zeros(count))


@pytest.mark.parametrize("limit_s", [0.5, 2.0, 8.0])
def test_the_rate_of_one_replica_is_that_of_mm1(limit_s):
    """Wait p95 ≤ limit with one slot and exponential services of 1 s; replays of 3,600 requests are within 7 %."""
    made = rates(exponential_work(), (LatencyLimit(metric="ttft", share=0.95, limit_s=limit_s),)).of(1)
    truth = mm1(limit_s)
    assert made.value == pytest.approx(truth, rel=0.07)
    assert made.low <= truth <= made.high


def test_four_replicas_with_one_queue_carry_more_than_four_times_one():
    """M/M/n with wait p95 ≤ one service: 4 replicas carry 2.33/s, not 4 · 0.12/s; with a queue each it is less.

    Erlang's C of 2.33 with four servers is 0.265, and 0.265 · e^(−(4 − 2.33)) = 0.05.
    """
    limits = (LatencyLimit(metric="ttft", share=0.95, limit_s=1.0),)
    shared = rates(exponential_work(), limits)
    load = 2.33
    last = load**4 / 24 * 4 / (4 - load)
    assert last / (1 + load + load**2 / 2 + load**3 / 6 + last) * math.exp(load - 4) == pytest.approx(0.05, rel=0.02)
    assert shared.of(4).value == pytest.approx(load, rel=0.07)
    assert shared.of(1).value == pytest.approx(mm1(1.0), rel=0.1)
    in_turn = rates(exponential_work(), limits, policy="round_robin")
    assert in_turn.of(1).value == shared.of(1).value
    assert in_turn.of(4).value < shared.of(4).value


def test_without_a_limit_fleets_are_proportional():
    """n · C, interval included; 11/s of 5/s each need three replicas, and a rate of exactly n · C needs one more."""
    made = Rates(
        work=exponential_work(20),
        capacity=Estimate(value=5.0, low=4.0, high=6.0),
        slots=1,
        policy="round_robin",
        limits=(),
    )
    assert made.of(3) == Estimate(value=15.0, low=12.0, high=18.0)
    assert [made.needed(rate) for rate in (0.0, 4.9, 5.0, 11.0, 400.0)] == [1, 1, 2, 3, 81]


def test_a_limit_that_no_request_keeps_without_waiting_has_no_rate():
    """Services of 1 s and E2E p50 ≤ 0.5 s: no fleet is large enough."""
    work = Work(service_s=np.ones(30), prefill_s=np.full(30, 0.1))
    made = rates(work, (LatencyLimit(metric="e2e", share=0.5, limit_s=0.5),))
    assert made.of(1).value == 0.0
    assert made.needed(0.1) is None


def test_sizes_that_are_not_replayed_lie_between():
    """5 replicas carry between 4 and 6, each between theirs; 128 carry twice what 64 do."""
    made = rates(exponential_work(50), (LatencyLimit(metric="ttft", share=0.5, limit_s=1.0),))
    each = {count: made.of(count).value / count for count in (4, 5, 6)}
    assert each[4] <= each[5] <= each[6]
    assert made.of(4).value < made.of(5).value < made.of(6).value


def test_limits_are_those_of_each_metric():
    """TTFT = start + prefill − due, E2E = start + service − due; a value equal to the limit keeps it."""
    work = Work(service_s=np.array([1.0, 2.0]), prefill_s=np.array([0.25, 0.25]))
    due, start = np.array([0.0, 1.0]), np.array([0.0, 2.0])
    assert within([LatencyLimit(metric="ttft", share=1.0, limit_s=1.25)], due, start, work)
    assert not within([LatencyLimit(metric="ttft", share=1.0, limit_s=1.2)], due, start, work)
    assert within([LatencyLimit(metric="e2e", share=0.5, limit_s=1.0)], due, start, work)
    assert not within([LatencyLimit(metric="e2e", share=1.0, limit_s=2.9)], due, start, work)
