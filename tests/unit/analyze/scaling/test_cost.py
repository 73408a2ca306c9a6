"""Replica-seconds against static peak, and against the smallest fleet that can serve the load."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.queueing import Capacity
from loadgen.analyze.scaling.cost import cost, needed_replicas
from loadgen.analyze.scaling.replicas import fleet
from support.runs.tables import event, info, life, observed, request, rescale

UNKNOWN = Capacity(None, "not collected")


def of(run, capacity=UNKNOWN):
    return cost(run, fleet(run), capacity)


def test_a_replica_costs_from_created_to_stopped_within_the_load():
    """a: all 60 s; b: created 20 s, gone 50 s: 30 s. Peak 2 desired: 120 s. 90/120 = 75 %."""
    run = observed(events=[*life("a", -9, -5), rescale(20, 1, 2), *life("b", 20, 25, 45, 50)])
    made = of(run)
    assert made.replica_seconds == 90.0
    assert (made.static_replicas, made.static_replica_seconds) == (2, 120.0)
    assert made.of_static_ratio == 0.75
    assert made.mean_replicas == 1.5


def test_start_up_and_termination_cost():
    """10 s of start-up and 5 s of termination count."""
    run = observed(events=life("a", 10, 20, 40, 45))
    assert of(run).replica_seconds == 35.0


def test_a_crashed_replica_costs():
    """The pod stays while its process is started again."""
    run = observed(events=[*life("a", -9, -5), event(30, "replica_crashed", "a"), event(40, "replica_ready", "a")])
    assert of(run).replica_seconds == 60.0


def test_static_peak_is_the_most_desired_during_the_load():
    """4 were desired only after the load: the static fleet has 2."""
    run = observed(events=[*life("a", -9, -5), rescale(10, 1, 2), rescale(20, 2, 1), rescale(70, 1, 4)])
    assert of(run).static_replicas == 2


def test_without_an_autoscaler_the_fleet_is_its_own_static_peak():
    """Two replicas throughout cost what two replicas cost."""
    run = observed(info(autoscaler=None), events=life("a", -9, -5) + life("b", -9, -5))
    assert of(run).of_static_ratio == 1.0


def test_an_interrupted_run_costs_until_its_last_record():
    """Without an end of the load the last record counts."""
    run = observed(info(length_s=None, state="loading"), events=[*life("a", -9, -5), event(25, "hpa_sync")])
    assert of(run).replica_seconds == 25.0


def test_cost_is_unknown_without_replicas_and_without_a_load():
    """The cost is missing and not 0."""
    assert of(observed()).replica_seconds is None
    assert of(observed(info(zero_s=None, state="starting"), events=life("a", 1, 2))).replica_seconds is None


def test_the_needed_fleet_is_the_smallest_that_keeps_requests_from_waiting_too_long():
    """2/s for 60 s, 1.5/s a replica: one falls behind by 0.5/s · 59.5 s = 29.75, a wait of 20 s; two carry 3/s.

    The fleet of 2, then 4 replicas used 60 + 60 + 2 · 10 = 140 s of 2 · 60 s = 120 s.
    """
    rows = [request(n, n / 2) for n in range(120)]
    events = [*life("a", -9, -5), *life("b", -9, -5), rescale(45, 2, 4), *life("c", 50, 55), *life("d", 50, 55)]
    made = of(observed(info(limits=(("ttft", "p95", 8.0),)), requests=rows, events=events), Capacity(1.5))
    assert (made.replica_seconds, made.needed_replicas, made.needed_replica_seconds) == (140.0, 2, 120.0)
    assert made.of_needed_ratio == pytest.approx(140 / 120)
    assert made.of_static_ratio == pytest.approx(140 / 240)
    assert made.needed_why_missing is None


def test_a_limit_that_allows_the_wait_needs_fewer_replicas():
    """The last of 120 requests waits 119/1.5 − 59.5 s = 19.83 s for one replica: allowed by 20 s, not by 19 s."""
    due = np.arange(120) / 2
    assert (needed_replicas(due, 1.5, 20.0), needed_replicas(due, 1.5, 19.0)) == (1, 2)


def test_a_single_burst_does_not_need_a_replica():
    """5 requests at once are 0.8 s of work for a replica of 5/s, below the second that is always allowed."""
    assert needed_replicas(np.zeros(5), 5.0, 0.1) == 1
    assert needed_replicas(np.zeros(8), 5.0, 0.1) == 2  # the last of 8 waits 7/5 = 1.4 s


def test_without_a_limit_the_highest_ten_seconds_must_be_served():
    """1/s, with 31 requests in (20, 30]: 3.1/s, and 1.5/s a replica: 3 of them."""
    due = np.concatenate((np.arange(21.0), 20.5 + np.arange(31) * 0.3, np.arange(31.0, 60.0)))
    assert needed_replicas(due, 1.5, None) == 3


def test_the_needed_fleet_is_unknown_without_the_capacity():
    """The reason is that of the capacity, or that there was no load."""
    run = observed(requests=[request(0, 1.0)], events=life("a", -9, -5))
    assert of(run).needed_replicas is None
    assert of(run).needed_why_missing == "not collected"
    assert of(observed(events=life("a", -9, -5)), Capacity(1.0)).needed_why_missing == "no request was due"


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(0.1, 10), st.floats(0.1, 20))
def test_the_needed_fleet_is_enough_and_one_less_is_not(due, per_s, limit):
    """A simulated queue confirms it, request by request."""

    def longest(rate):
        free, worst = 0.0, 0.0
        for at in sorted(due):
            free = max(free, at)
            worst = max(worst, free - at)
            free += 1 / rate
        return worst

    needed = needed_replicas(np.array(sorted(due)), per_s, limit)
    assert longest(needed * per_s) <= max(limit, 1.0) + 1e-6
    assert needed == 1 or longest((needed - 1) * per_s) > max(limit, 1.0) - 1e-6


@given(st.lists(st.tuples(st.integers(-20, 80), st.integers(0, 60)), min_size=1, max_size=8))
def test_cost_is_at_most_all_replicas_all_the_time(lives):
    """0 ≤ replica-seconds ≤ replicas × length, and the sum of what each one was there."""
    events = [e for n, (t, d) in enumerate(lives) for e in life(f"p{n}", t, t + 1, t + d, t + d)]
    made = of(observed(events=sorted(events, key=lambda e: e["t_s"])))
    assert made.replica_seconds == pytest.approx(sum(max(min(t + d, 60) - max(t, 0), 0) for t, d in lives))
    assert 0 <= made.replica_seconds <= len(lives) * 60
