"""What the lag did, and the smallest fixed fleet, by replays of runs whose truth is known."""

import numpy as np
import pytest

from loadgen.analyze.demand.attribution import attribution, following, shortages, smallest_fleet
from loadgen.analyze.demand.capacity import LatencyLimit, Work, filled
from loadgen.analyze.demand.replay import Supply, fixed, replay
from loadgen.analyze.steps import Step

LIMIT = (LatencyLimit(metric="ttft", share=0.95, limit_s=2.0),)


def supply(*lives, slots=1):
    return Supply(
        from_s=np.array([s for s, _ in lives], dtype=float),
        until_s=np.array([u for _, u in lives], dtype=float),
        slots=slots,
        policy="one_queue",
    )


def equal(count, service=0.25, prefill=0.05):
    return Work(service_s=np.full(count, service), prefill_s=np.full(count, prefill))


STEP = np.concatenate((np.arange(120) / 2, 60 + np.arange(360) / 6, 120 + np.arange(60.0)))
"""2/s, 6/s from 60 s and 1/s from 120 s; a replica serves 4/s."""
NEEDED = Step(np.array([0.0, 60.0, 120.0]), np.array([1.0, 2.0, 1.0]))


def attributed(due, work, slow, limits, served, ideal):
    starts = [replay(due, work.service_s, each) for each in (served, ideal)]
    return attribution(due, work, slow, limits, *starts, replicas=len(served.from_s))


def ttft(due, work, fleet):
    return replay(due, work.service_s, fleet) - due + work.prefill_s


def test_a_long_backlog_after_a_step_is_the_lags():
    """The second replica serves 29 s late; its backlog breaks the limit long after it serves, all due to the lag."""
    work = equal(len(STEP))
    served = supply((-np.inf, np.inf), (89.0, np.inf))
    slow = ttft(STEP, work, served) > 2.0
    after = slow & (STEP > 89.0)
    assert after.sum() > 50
    made, by_lag = attributed(STEP, work, slow, LIMIT, served, following(NEEDED, 1, 4, 1, "one_queue"))
    assert (made.slow, made.by_lag, made.otherwise, made.unexplained) == (slow.sum(), slow.sum(), 0, 0)
    assert np.array_equal(by_lag, slow)
    assert made.conclusive


@pytest.mark.parametrize(
    ("lives", "spans"),
    [
        (((-np.inf, np.inf), (89.0, np.inf)), [(60.0, 89.0)]),
        (((-np.inf, np.inf), (50.0, np.inf)), []),
        (((-np.inf, np.inf), (89.0, 100.0)), [(60.0, 89.0), (100.0, 120.0)]),
        (((30.0, np.inf),), [(-np.inf, 30.0), (60.0, 120.0)]),
    ],
)
def test_a_shortage_lasts_while_fewer_serve_than_needed(lives, spans):
    """Two are needed from 60 to 120 s, one at other times; late, early, gone too soon, and none at the start."""
    assert shortages(supply(*lives), following(NEEDED, 1, 4, 1, "one_queue")) == spans


def test_only_the_requests_of_a_shortage_are_the_lags():
    """Two replicas throughout were enough; the replays differ in 40 requests before and 30 in the shortage: 30 count.

    The shortage begins and ends with blocks of 20 requests, by which requests are compared.
    """
    due, work = np.arange(200.0), equal(200)
    slow = np.zeros(200, dtype=bool)
    slow[20:60] = slow[100:130] = True
    late = due + np.where(slow, 3.0, 0.0)
    made, mask = attribution(due, work, slow, LIMIT, late, due, 2, [(100.0, 139.0)])
    assert (made.slow, made.by_lag, made.otherwise, made.unexplained) == (70, 30, 40, 0)
    assert np.array_equal(np.flatnonzero(mask), np.arange(100, 130))


def test_a_fleet_that_is_too_small_at_its_maximum_is_not_the_lags():
    """At most one replica: it is slow with and without lag."""
    work = equal(len(STEP))
    served = supply((-np.inf, np.inf))
    slow = ttft(STEP, work, served) > 2.0
    made, _ = attributed(STEP, work, slow, LIMIT, served, following(NEEDED, 1, 1, 1, "one_queue"))
    assert (made.by_lag, made.otherwise) == (0, slow.sum())


def test_slow_requests_without_a_queue_are_unexplained():
    """Two replicas throughout, and yet 30 requests were slow: nothing in arrivals and services explains that."""
    work = equal(len(STEP))
    slow = np.zeros(len(STEP), dtype=bool)
    slow[200:230] = True
    made, _ = attributed(STEP, work, slow, LIMIT, fixed(2, 1, "one_queue"), following(NEEDED, 1, 4, 1, "one_queue"))
    assert (made.slow, made.unexplained, made.by_lag, made.conclusive) == (30, 30, 0, False)


def test_nothing_was_slow():
    """No slow request, nothing to attribute, and that is certain."""
    work = equal(len(STEP))
    none = np.zeros(len(STEP), dtype=bool)
    made, _ = attributed(STEP, work, none, LIMIT, fixed(2, 1, "one_queue"), fixed(2, 1, "one_queue"))
    assert (made.slow, made.conclusive) == (0, True)


def test_replicas_that_follow_the_need_come_and_go_with_it():
    """1, 2 from 60 s, 1 from 120 s, 3 from 200 s; at least 1 and at most 2."""
    needed = Step(np.array([0.0, 60.0, 120.0, 200.0]), np.array([1.0, 2.0, 1.0, 3.0]))
    made = following(needed, 1, 2, 1, "round_robin")
    lives = sorted(zip(made.from_s.tolist(), made.until_s.tolist(), strict=True))
    assert lives == [(-np.inf, np.inf), (60.0, 120.0), (200.0, np.inf)]
    assert len(following(needed, 3, None, 1, "round_robin").from_s) == 3


def poisson_work(seed, count=600, rate=8.0):
    random = np.random.default_rng(seed)
    return np.cumsum(random.exponential(1 / rate, count)), Work(
        service_s=random.exponential(0.5, count), prefill_s=np.full(count, 0.02)
    )


@pytest.mark.parametrize("policy", ["round_robin", "least_requests", "one_queue"])
def test_the_smallest_fleet_keeps_the_limit_and_one_replica_fewer_does_not(policy):
    """8/s of 0.5 s each are four busy slots; the percentile of the limit is computed here by sorting."""
    due, work = poisson_work(3)
    limits = (LatencyLimit(metric="ttft", share=0.95, limit_s=1.0),)
    made = smallest_fleet(due, work, limits, 1, policy)
    assert made is not None

    def p95(replicas):
        return sorted(ttft(due, work, fixed(replicas, 1, policy)))[-(-len(due) * 95 // 100) - 1]

    assert p95(made.replicas) <= 1.0 < p95(made.replicas - 1)
    assert made.low <= made.replicas <= made.high <= made.low + 3


def test_a_limit_below_the_service_needs_no_fleet_at_all():
    """E2E p50 ≤ 0.1 s cannot be kept by services of 0.25 s."""
    limits = (LatencyLimit(metric="e2e", share=0.5, limit_s=0.1),)
    assert smallest_fleet(STEP, equal(len(STEP)), limits, 1, "one_queue") is None


def test_a_fixed_fleet_of_one_serves_what_never_waits():
    """One request each 10 s."""
    made = smallest_fleet(np.arange(50) * 10.0, equal(50), LIMIT, 1, "round_robin")
    assert made is not None
    assert (made.replicas, made.low, made.high) == (1, 1, 1)


def test_unknown_services_are_drawn_from_the_known_ones():
    """Requests that were not answered occupied a slot as well: they get the service of some other request."""
    work = Work(service_s=np.array([1.0, np.nan, 2.0, np.nan]), prefill_s=np.array([0.1, np.nan, 0.2, np.nan]))
    made = filled(work, np.isfinite(work.service_s))
    assert made.service_s[[0, 2]].tolist() == [1.0, 2.0]
    assert set(made.service_s) == {1.0, 2.0}
    assert np.array_equal(made.prefill_s, made.service_s / 10)
