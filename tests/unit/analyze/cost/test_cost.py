"""Replica-seconds against static peak, and against the smallest fleet that can serve the load."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.cost.cost import cost
from loadgen.analyze.results import Demand, SmallestFleet
from loadgen.analyze.scaling.replicas import fleet
from support.runs.tables import event, info, life, observed, request, rescale

UNKNOWN = Demand(why_missing="not collected")


def of(run, demand=UNKNOWN):
    return cost(run, fleet(run), demand)


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


def test_the_cost_is_compared_with_the_smallest_fleet():
    """The fleet of 2, then 4 replicas used 60 + 60 + 2 · 10 = 140 s of 2 · 60 s = 120 s."""
    events = [*life("a", -9, -5), *life("b", -9, -5), rescale(45, 2, 4), *life("c", 50, 55), *life("d", 50, 55)]
    made = of(observed(events=events), Demand(smallest=SmallestFleet(replicas=2, low=2, high=3)))
    assert (made.replica_seconds, made.needed_replicas, made.needed_replica_seconds) == (140.0, 2, 120.0)
    assert made.of_needed_ratio == pytest.approx(140 / 120)
    assert made.of_static_ratio == pytest.approx(140 / 240)
    assert made.needed_why_missing is None


def test_the_smallest_fleet_is_unknown_without_the_demand():
    """The reason is that of the demand, or that no fleet keeps the limits."""
    run = observed(requests=[request(0, 1.0)], events=life("a", -9, -5))
    assert (of(run).needed_replicas, of(run).needed_why_missing) == (None, "not collected")
    assert of(run, Demand()).needed_why_missing == "no fixed fleet keeps the limits"


@given(st.lists(st.tuples(st.integers(-20, 80), st.integers(0, 60)), min_size=1, max_size=8))
def test_cost_is_at_most_all_replicas_all_the_time(lives):
    """0 ≤ replica-seconds ≤ replicas × length, and the sum of what each one was there."""
    events = [e for n, (t, d) in enumerate(lives) for e in life(f"p{n}", t, t + 1, t + d, t + d)]
    made = of(observed(events=sorted(events, key=lambda e: e["t_s"])))
    assert made.replica_seconds == pytest.approx(sum(max(min(t + d, 60) - max(t, 0), 0) for t, d in lives))
    assert 0 <= made.replica_seconds <= len(lives) * 60
