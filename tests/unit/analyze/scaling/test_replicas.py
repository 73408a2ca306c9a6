"""The phases of each replica and the counts over time."""

import numpy as np

from loadgen.analyze.scaling.replicas import fleet
from support.runs.tables import event, info, life, observed, rescale, series


def test_ready_follows_ready_draining_and_crash():
    """a crashes at 20 s and is back at 30 s; b is ready from 10 s and drains at 40 s."""
    run = observed(
        events=[
            *life("a", -9, -5),
            *life("b", 2, 10, 40, 45),
            event(20, "replica_crashed", "a", exit_code=-11),
            event(30, "replica_ready", "a"),
        ]
    )
    ready = fleet(run).ready.at(np.array([-6.0, -5.0, 10.0, 20.0, 30.0, 40.0, 59.0]))
    assert ready.tolist() == [0, 1, 2, 1, 2, 1, 1]


def test_a_replica_serves_from_its_first_answer_on_and_again_after_a_restart():
    """Ready 0 s, answered 3 s; crashed 20 s, ready 30 s with its counter at 0, answered again 34 s."""
    counted = {1.0: 0.0, 3.0: 2.0, 19.0: 9.0, 31.0: 0.0, 34.0: 1.0}
    run = observed(
        samples=series("raw_success", "a", counted),
        events=[*life("a", -5, 0), event(20, "replica_crashed", "a"), event(30, "replica_ready", "a")],
    )
    found = fleet(run)
    assert found.pods["a"].answered_s == 3.0
    assert found.serving.at(np.array([2.0, 3.0, 19.0, 20.0, 33.0, 34.0])).tolist() == [0, 1, 1, 0, 0, 1]


def test_serving_is_unknown_without_counters_and_ready_without_events():
    """They are missing and not 0: an unobserved server may serve requests."""
    at = np.array([5.0])
    assert np.isnan(fleet(observed(events=life("a", -9, -5))).serving.at(at)).all()
    assert np.isnan(fleet(observed()).ready.at(at)).all()
    assert np.isnan(fleet(observed()).desired.at(at)).all()


def test_desired_begins_with_the_count_before_the_first_evaluation():
    """The first pass found 2; it wanted 3 from 15 s on."""
    run = observed(
        events=[event(15, "hpa_sync", current=2, desired=3), rescale(15, 2, 3), event(30, "hpa_sync", desired=3)]
    )
    assert fleet(run).desired.at(np.array([0.0, 14.9, 15.0, 40.0])).tolist() == [2, 2, 3, 3]


def test_the_shutdown_of_the_stack_is_not_a_scale_down():
    """b was given up at 40 s; that a stops at 70 s, after the load of 60 s, is the end of the observation."""
    run = observed(
        info(),
        events=[*life("a", -9, -5, 70, 71), *life("b", -9, -5, 40.5, 42), rescale(40, 2, 1)],
    )
    assert fleet(run).end_s == 70.0


def test_a_scale_down_after_the_load_is_not_the_shutdown():
    """b is given up at 80 s, in the time that the run goes on watching."""
    run = observed(
        info(),
        events=[*life("a", -9, -5), *life("b", -9, -5, 80.5, 82), rescale(80, 2, 1), event(90, "hpa_sync")],
    )
    assert fleet(run).end_s == 90.0


def test_a_reused_name_is_another_replica():
    """A LeaderWorkerSet at 1 → 2 → 1 → 2: llm-1 lives from 10 to 25 s, and again from 40 s; both are billed."""
    counted = {12.0: 0.0, 15.0: 4.0, 24.0: 9.0, 46.0: 0.0, 48.0: 3.0}
    run = observed(
        samples=series("raw_success", "llm-1", counted) + series("raw_success", "llm-0", {1.0: 1.0}),
        events=[*life("llm-0", -9, -5), *life("llm-1", 10, 12, 20, 25), *life("llm-1", 40, 45)],
    )
    found = fleet(run)
    assert list(found.pods) == ["llm-0", "llm-1", "llm-1 (2)"]
    first, second = found.pods["llm-1"], found.pods["llm-1 (2)"]
    assert (first.created_s, first.ready_s, first.answered_s, first.stopped_s) == (10.0, 12.0, 15.0, 25.0)
    assert (second.created_s, second.ready_s, second.answered_s, second.stopped_s) == (40.0, 45.0, 48.0, None)
    at = np.array([15.0, 22.0, 30.0, 42.0, 50.0])
    assert found.billed.at(at).tolist() == [2, 2, 1, 2, 2]
    assert found.ready.at(at).tolist() == [2, 1, 1, 1, 2]
    assert list(run.signals["raw_success"]) == ["llm-0", "llm-1", "llm-1 (2)"]


def test_a_name_reused_at_the_same_time_is_another_replica():
    """The stop of the one and the creation of the other bear the same time."""
    run = observed(events=[*life("llm-1", 10, 12, 20, 25), *life("llm-1", 25, 30)])
    assert [(each.created_s, each.stopped_s) for each in fleet(run).pods.values()] == [(10.0, 25.0), (25.0, None)]
