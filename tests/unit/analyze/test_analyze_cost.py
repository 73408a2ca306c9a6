"""Replica-seconds against static peak."""

import pytest
from analyze_tables import event, info, life, observed, rescale
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.cost import cost
from loadgen.analyze.replicas import fleet


def of(run):
    return cost(run, fleet(run))


def test_a_replica_is_billed_from_created_to_gone_within_the_load():
    """a: all 60 s; b: created 20 s, gone 50 s: 30 s. Peak 2 desired: 120 s. 90/120 = 75 %."""
    run = observed(events=[*life("a", -9, -5), rescale(20, 1, 2), *life("b", 20, 25, 45, 50)])
    made = of(run)
    assert made.replica_seconds == 90.0
    assert (made.static_replicas, made.static_replica_seconds) == (2, 120.0)
    assert made.of_static_ratio == 0.75
    assert made.mean_replicas == 1.5


def test_what_starts_is_billed_before_it_is_ready_and_what_drains_until_it_is_gone():
    """Money runs from the creation: 10 s of start-up and 5 s of draining count."""
    run = observed(events=life("a", 10, 20, 40, 45))
    assert of(run).replica_seconds == 35.0


def test_a_crash_does_not_stop_the_bill():
    """The pod stays while its process is started again."""
    run = observed(events=[*life("a", -9, -5), event(30, "replica_crashed", "a"), event(40, "replica_ready", "a")])
    assert of(run).replica_seconds == 60.0


def test_static_peak_is_what_was_desired_while_the_load_ran():
    """4 were wanted only after the load: the static fleet has 2."""
    run = observed(events=[*life("a", -9, -5), rescale(10, 1, 2), rescale(20, 2, 1), rescale(70, 1, 4)])
    assert of(run).static_replicas == 2


def test_without_an_autoscaler_the_fleet_is_its_own_static_peak():
    """Two replicas throughout cost what two replicas cost."""
    run = observed(info(autoscaler=None), events=life("a", -9, -5) + life("b", -9, -5))
    assert of(run).of_static_ratio == 1.0


def test_an_interrupted_run_is_billed_until_its_last_trace():
    """Without an end of the load its last sign of life counts."""
    run = observed(info(length_s=None, state="loading"), events=[*life("a", -9, -5), event(25, "hpa_sync")])
    assert of(run).replica_seconds == 25.0


def test_cost_is_unknown_without_replicas_and_without_a_load():
    """Not 0: nobody knows."""
    assert of(observed()).replica_seconds is None
    assert of(observed(info(zero_s=None, state="starting"), events=life("a", 1, 2))).replica_seconds is None


@given(st.lists(st.tuples(st.integers(-20, 80), st.integers(0, 60)), min_size=1, max_size=8))
def test_cost_is_at_most_all_replicas_all_the_time(lives):
    """0 ≤ replica-seconds ≤ replicas × length, and the sum of what each one was there."""
    events = [e for n, (t, d) in enumerate(lives) for e in life(f"p{n}", t, t + 1, t + d, t + d)]
    made = of(observed(events=sorted(events, key=lambda e: e["t_s"])))
    assert made.replica_seconds == pytest.approx(sum(max(min(t + d, 60) - max(t, 0), 0) for t, d in lives))
    assert 0 <= made.replica_seconds <= len(lives) * 60
