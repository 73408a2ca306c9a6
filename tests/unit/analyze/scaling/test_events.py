"""The chain of steps of every scaling event."""

import numpy as np
import pytest

from loadgen.analyze.queueing import mean_over_pods, ratio_by_pod, stale_s
from loadgen.analyze.scaling.events import lag_windows, scaling_events
from loadgen.analyze.scaling.replicas import fleet
from support.runs.needs import needed
from support.runs.tables import event, info, life, observed, request, rescale, series

STEP = [request(n, float(n)) for n in range(20)] + [request(20 + n, 20 + n / 4) for n in range(160)]
"""1/s until 20 s, then 4/s until 60 s."""


def ratio(low_until, high_until, end=60):
    """0 until one moment, 3 until another, then 0: sampled every second."""
    return series("ratio", "a", {float(t): (3.0 if low_until <= t < high_until else 0.0) for t in range(end)})


def serving(pod, first_s, end=60):
    return series("raw_success", pod, {float(t): (5.0 if t >= first_s else 0.0) for t in range(end)})


def chain(run, per_s=2.0):
    replicas = fleet(run)
    ratio = mean_over_pods(ratio_by_pod(run, replicas), stale_s(run))
    return scaling_events(run, replicas, ratio, needed(run, per_s))


def test_every_step_of_a_scale_up_has_its_time():
    """2/s are carried, 4/s come from 20 s on; ratio over target at 23 s, decided 30 s, ready 40 s, answered 42 s."""
    run = observed(
        info(limits=(("ttft", "p95", 1.0),)),
        requests=STEP,
        samples=ratio(23, 50) + serving("b", 42),
        events=[*life("a", -9, -5), rescale(30, 1, 2), *life("b", 30.5, 40)],
    )
    (up,) = chain(run)
    assert (up.direction, up.before, up.after, up.pods) == ("up", 1, 2, ("b",))
    assert (up.trigger_s, up.over_target_s, up.decided_s) == (20.0, 23.0, 30.0)
    assert (up.created_s, up.scheduled_s, up.started_s) == (30.5, 30.75, 31.5)
    assert (up.ready_s, up.serving_s) == (40.0, 42.0)
    assert up.recovered_s == 42.0  # TTFT never broke its limit: it had recovered when it was first looked at
    assert (up.broke_limit, up.needless) == (False, False)
    assert up.complete
    assert up.missing == ()
    (window,) = lag_windows(run, [up])
    assert (window.start_s, window.end_s) == (20.0, 42.0)


def test_without_a_known_metric_over_target_is_missing_with_a_reason():
    """The ratio is sampled, but the metric of the autoscaler is unknown."""
    run = observed(
        info(autoscaler=None),
        requests=STEP,
        samples=ratio(23, 50) + serving("b", 42),
        events=[*life("a", -9, -5), rescale(30, 1, 2), *life("b", 30.5, 40)],
    )
    (up,) = chain(run)
    assert up.over_target_s is None
    assert up.missing[0] == "over target: the run has no autoscaler whose metric is known"


def test_every_time_is_that_of_the_last_new_replica():
    """1 → 3: c is created, ready and answers later than b."""
    run = observed(
        requests=STEP,
        samples=ratio(23, 50) + serving("b", 41) + serving("c", 47),
        events=[*life("a", -9, -5), rescale(30, 1, 3), *life("b", 30.5, 40), *life("c", 31.5, 45)],
    )
    (up,) = chain(run)
    assert up.pods == ("b", "c")
    assert (up.created_s, up.scheduled_s, up.started_s, up.ready_s, up.serving_s) == (31.5, 31.75, 32.5, 45, 47)


def test_overlapping_scale_ups_have_their_own_replicas():
    """b belongs to the decision at 24 s, c to that at 39 s, though b is ready after the second decision."""
    run = observed(
        requests=STEP,
        samples=ratio(22, 60) + serving("b", 47) + serving("c", 55),
        events=[*life("a", -9, -5), rescale(24, 1, 2), *life("b", 24.5, 45), rescale(39, 2, 3), *life("c", 39.5, 54)],
    )
    first, second = chain(run, 1.5)
    assert (first.pods, first.ready_s, first.serving_s) == (("b",), 45.0, 47.0)
    assert (second.pods, second.ready_s, second.serving_s) == (("c",), 54.0, 55.0)
    # The ratio never fell in between, so for the second decision it counts anew from the first.
    assert (first.over_target_s, second.over_target_s) == (22.0, 24.0)


def test_a_replica_created_after_the_next_decision_belongs_to_that():
    """1 → 3 gets only b before 3 → 4 is decided; c, created then, belongs to the second."""
    run = observed(
        requests=STEP,
        samples=ratio(22, 60),
        events=[*life("a", -9, -5), rescale(24, 1, 3), *life("b", 24.5, 45), rescale(39, 3, 4), *life("c", 39.5, 54)],
    )
    assert [each.pods for each in chain(run)] == [("b",), ("c",)]


def test_a_replica_belongs_to_one_decision_only():
    """b was created late, half a second before the second decision, and was taken by the first."""
    run = observed(
        requests=STEP,
        samples=ratio(22, 60),
        events=[*life("a", -9, -5), rescale(24, 1, 2), *life("b", 38.5, 45), rescale(39, 2, 3), *life("c", 39.5, 54)],
    )
    assert [each.pods for each in chain(run)] == [("b",), ("c",)]


def test_a_replacement_does_not_belong_to_the_decision():
    """1 → 2 creates b; c is created later, after an eviction: one replica was asked for, one is taken."""
    run = observed(
        requests=STEP,
        samples=ratio(23, 50) + serving("b", 42),
        events=[*life("a", -9, -5), rescale(30, 1, 2), *life("b", 30.5, 40), *life("c", 50, 55)],
    )
    assert chain(run)[0].pods == ("b",)


def test_a_replica_stamped_in_whole_seconds_belongs_to_the_decision_just_before():
    """Kubernetes stamps 30 s, the decision was at 30.4 s."""
    run = observed(requests=STEP, events=[*life("a", -9, -5), rescale(30.5, 1, 2), *life("b", 30, 40)])
    assert chain(run)[0].pods == ("b",)


def test_unknown_times_are_missing_with_a_reason_each():
    """b is stopped before it is ready; there are no samples at all; no load step can be known."""
    started = life("b", 30.5, 99, draining=38, stopped=39)
    run = observed(
        info(limits=(("ttft", "p95", 1.0),)),
        requests=STEP,
        events=[*life("a", -9, -5), rescale(30, 1, 2), *[e for e in started if e["kind"] != "replica_ready"]],
    )
    (up,) = chain(run, None)
    assert (up.trigger_s, up.over_target_s, up.ready_s, up.serving_s, up.recovered_s) == (None,) * 5
    assert up.created_s == 30.5
    assert not up.complete
    text = " ".join(up.missing)
    assert "load step: the replicas were not observed" in text
    assert "over target: there is no ratio sample" in text
    assert "ready: b was not observed ready before it began to terminate at 0:38" in text
    assert "serving: b was not observed serving" in text
    assert "recovered" in text


def test_a_scale_up_without_new_replicas_says_so():
    """The decision was made, but nothing was created (a quota, say)."""
    run = observed(requests=STEP, samples=ratio(23, 50), events=[*life("a", -9, -5), rescale(30, 1, 2)])
    (up,) = chain(run)
    assert up.pods == ()
    assert up.created_s is None
    assert any("0 of 1 new replicas were created" in reason for reason in up.missing)
    (window,) = lag_windows(run, [up])
    assert (window.start_s, window.end_s) == (20.0, 60.0)  # until the end: nothing ever answered


def test_a_scale_up_ahead_of_the_load_has_no_load_step():
    """The load is 1/s and the capacity 2/s: the load was not the reason to scale."""
    run = observed(
        requests=[request(n, float(n)) for n in range(60)],
        samples=ratio(23, 50) + serving("b", 42),
        events=[*life("a", -9, -5), rescale(30, 1, 2), *life("b", 30.5, 40)],
    )
    (up,) = chain(run)
    assert up.trigger_s is None
    assert any("did not exceed the capacity of 1 replica (2/s)" in reason for reason in up.missing)
    assert lag_windows(run, [up])[0].start_s == 23.0


def test_an_early_scale_up_has_a_negative_lag():
    """1/s until 20 s, then 2/s of the 2.5/s that are carried; decided at 20 s, served at 30 s; 4/s from 44 s on."""
    due = [*np.arange(0, 20, 1.0), *np.arange(20, 44, 0.5), *np.arange(44, 90, 0.25)]
    events = [*life("a", -9, -5), rescale(20, 1, 2), *life("b", 20.5, 28)]
    parts = {
        "requests": [request(n, t) for n, t in enumerate(due)],
        "samples": ratio(13, 50) + serving("b", 30),
    }
    run = observed(info(length_s=90.0), events=events, **parts)
    (up,) = chain(run, 2.5)
    assert (up.trigger_s, up.over_target_s, up.serving_s) == (44.0, 13.0, 30.0)
    assert up.lag_s == -14.0
    assert not up.needless
    assert up.complete
    assert lag_windows(run, [up]) == ()
    # Had the fleet been made smaller before, the rise would belong to the next scale-up.
    earlier = observed(info(length_s=90.0), events=[*events, rescale(40, 2, 1)], **parts)
    assert chain(earlier, 2.5)[0].trigger_s is None
    assert chain(earlier, 2.5)[0].needless


def test_each_level_of_a_scale_up_has_its_lag_and_the_longest_counts():
    """2/s for a replica: 3/s from 40 s needs two, 5.5/s from 80 s three; the new replicas serve at 55 and 57 s.

    The second was needed 15 s before it served, the third served before it was needed. Two rises in a row may be a
    ramp, so each need is interpolated between the middles of the spans: the first one at 40 s.
    """
    due = [*np.arange(0, 40, 1.0), *(40 + np.arange(120) / 3), *(80 + np.arange(220) / 5.5)]
    run = observed(
        info(length_s=120.0),
        requests=[request(n, t) for n, t in enumerate(due)],
        samples=ratio(43, 70) + serving("b", 55) + serving("c", 57),
        events=[*life("a", -9, -5), rescale(45, 1, 3), *life("b", 45.5, 53), *life("c", 45.5, 54)],
    )
    (up,) = chain(run)
    assert up.trigger_s == pytest.approx(40.0, abs=1.0)
    assert up.lag_s == pytest.approx(55.0 - up.trigger_s)
    assert up.serving_s == 57.0


def test_only_the_last_span_over_the_target_counts():
    """Over at 10 … 12 s and again from 25 s: the decision at 30 s answers the second. 1.1 is inside the tolerance."""
    values = {float(t): (3.0 if 10 <= t < 13 or t >= 26 else 1.1) for t in range(60)}
    run = observed(
        requests=STEP,
        samples=series("ratio", "a", values),
        events=[*life("a", -9, -5), rescale(30, 1, 2), *life("b", 30.5, 40)],
    )
    assert chain(run)[0].over_target_s == 26.0


def test_a_span_that_ended_long_before_the_decision_is_ignored():
    """Over until 12 s, decided 30 s, a pass every 15 s: not seen."""
    run = observed(
        requests=STEP,
        samples=ratio(5, 13),
        events=[*life("a", -9, -5), rescale(30, 1, 2), *life("b", 30.5, 40)],
    )
    assert chain(run)[0].over_target_s is None


def test_a_scale_down_has_its_own_chain_without_start_and_recovery():
    """4/s until 20 s, then 1/s, 2/s carried by one; ratio low from 22 s, decided 50 s, b stops 50.5 … 53 s."""
    requests = [request(n, n / 4) for n in range(80)] + [request(80 + n, 20.0 + n) for n in range(40)]
    run = observed(
        requests=requests,
        samples=series("ratio", "a", {float(t): (3.0 if t < 22 else 0.0) for t in range(60)}),
        events=[*life("a", -9, -5), *life("b", -9, -5, 50.5, 53.0), rescale(50, 2, 1)],
    )
    (down,) = chain(run)
    assert (down.direction, down.pods) == ("down", ("b",))
    assert down.trigger_s == pytest.approx(20.0, abs=0.3)
    assert (down.over_target_s, down.decided_s, down.created_s, down.ready_s) == (22.0, 50.0, 50.5, 53.0)
    assert (down.scheduled_s, down.started_s, down.serving_s, down.recovered_s) == (None,) * 4
    assert down.complete
    assert lag_windows(run, [down]) == ()


def test_a_replica_that_terminates_at_the_end_of_the_run_is_not_observed_terminated():
    """b begins to terminate at 40 s; it has not stopped when the run ends."""
    events = [*life("a", -9, -5), *life("b", -9, -5, draining=40), rescale(40, 2, 1)]
    (down,) = chain(observed(requests=STEP, samples=ratio(0, 50), events=events))
    assert "terminated: b was not observed terminated before the end of the run" in down.missing


def test_a_rescale_without_counts_is_ignored():
    """An event that says nothing about before and after cannot be followed."""
    assert chain(observed(requests=STEP, events=[event(30, "hpa_rescale"), rescale(31, 2, 2)])) == ()


def test_timestamps_in_whole_seconds_are_not_before_the_decision():
    """Decided at 30.75 s by what was seen; the API says that b was created at 30 s and placed at 30.25 s."""
    events = [*life("a", -9, -5), rescale(30.75, 1, 2), *life("b", 30, 40)]
    (up,) = chain(observed(requests=STEP, samples=ratio(23, 50) + serving("b", 42), events=events))
    assert (up.created_s, up.scheduled_s, up.started_s) == (30.75, 30.75, 31.0)


def test_reused_pod_names_belong_to_the_later_scale_up():
    """A LeaderWorkerSet at 1 → 2 → 1 → 2: llm-1 is created at 10.25 s, and again at 40.25 s."""
    run = observed(
        requests=STEP,
        samples=ratio(5, 50) + serving("llm-1", 15),
        events=[
            *life("llm-0", -9, -5),
            *(rescale(at, before, 3 - before) for at, before in ((10, 1), (20, 2), (40, 1))),
            *life("llm-1", 10.25, 13, 20.25, 24),
            *life("llm-1", 40.25, 45),
        ],
    )
    first, down, second = chain(run)
    assert (first.pods, first.ready_s) == (("llm-1",), 13.0)
    assert (down.pods, down.ready_s) == (("llm-1",), 24.0)
    assert (second.pods, second.created_s, second.ready_s, second.serving_s) == (("llm-1 (2)",), 40.25, 45.0, 45.0)


def by_others(t_s, before, after):
    return {**rescale(t_s, before, after), "reason": "NotByAutoscaler"}


def test_rescales_by_others_are_not_decisions():
    """Somebody sets 1 → 2 at 35 s, while the replica of the autoscaler's own 1 → 2 at 30 s is still missing.

    The second change has a replica of its own, c: the decision before gets none of it.
    """
    run = observed(
        requests=STEP,
        samples=ratio(23, 50) + serving("c", 45),
        events=[*life("a", -9, -5), rescale(30, 1, 2), by_others(35, 2, 3), *life("c", 35.5, 44)],
    )
    (up,) = chain(run)
    assert (up.decided_s, up.after, up.pods) == (30.0, 2, ())
    assert chain(observed(requests=STEP, events=[*life("a", -9, -5), by_others(30, 1, 2)])) == ()


def test_a_rescale_that_was_observed_late_is_before_its_replicas():
    """Seen at 45 s, 20 s late at most: b was created at 30.5 s, so it was decided by then; a change without such
    a replica is as late as it was seen."""
    late = event(45, "hpa_rescale", before=1, after=2, late_s=20.0)
    run = observed(
        requests=STEP,
        samples=ratio(23, 50) + serving("b", 47),
        events=[*life("a", -9, -5), *life("b", 30.5, 46), late],
    )
    (up,) = chain(run)
    assert (up.decided_s, up.created_s, up.pods) == (30.5, 30.5, ("b",))
    assert up.over_target_s == 23.0
    (up,) = chain(observed(requests=STEP, events=[*life("a", -9, -5), late]))
    assert up.decided_s == 45.0


def test_a_decision_before_the_load_has_no_load_step():
    """The fleet was brought to its minimum while the stack came up."""
    run = observed(requests=STEP, events=[rescale(-20, 1, 2), *life("b", -19, -5)])
    assert any("came before the load" in reason for reason in chain(run)[0].missing)


@pytest.mark.parametrize("seed", range(20))
def test_the_times_of_a_chain_are_in_order(seed):
    """For any load and samples: over target ≤ decided, created ≤ … ≤ serving ≤ recovered; a load step may be later."""
    rng = np.random.default_rng(seed)
    due = np.sort(rng.uniform(0, 60, 150))
    values = {float(t): float(rng.choice([0.0, 3.0], p=[0.3, 0.7])) for t in range(60)}
    events = [*life("a", -9, -5)]
    samples = series("ratio", "a", values)
    for number, decided in enumerate((15.0, 30.0)):
        ready = decided + float(rng.uniform(2, 12))
        events += [rescale(decided, number + 1, number + 2), *life(f"p{number}", decided + 0.5, ready)]
        samples += serving(f"p{number}", ready + float(rng.integers(0, 5)))
    run = observed(
        info(limits=(("ttft", "p95", 1.0),)),
        requests=[request(n, float(t), float(rng.uniform(0, 1.5))) for n, t in enumerate(due)],
        samples=samples,
        events=events,
    )
    for up in chain(run, float(rng.uniform(0.5, 3))):
        links = [up.over_target_s, up.decided_s, up.created_s, up.scheduled_s, up.started_s]
        links += [up.ready_s, up.serving_s, up.recovered_s]
        seen = [link for link in links if link is not None]
        assert seen == sorted(seen)
