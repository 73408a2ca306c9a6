"""Warnings: findings that do not affect the verdict."""

from loadgen.analyze.findings.warnings import warnings
from loadgen.analyze.queueing import mean_over_pods, ratio_by_pod, stale_s
from loadgen.analyze.results import Window
from loadgen.analyze.scaling.events import scaling_events
from loadgen.analyze.scaling.replicas import fleet
from support.runs.needs import demand, needed
from support.runs.tables import SCALER, by_code, event, info, life, observed, request, rescale, series

REQUESTS = [request(n, float(n)) for n in range(60)]
READY = life("a", -9, -5)


def found(run, per_s=1.0):
    replicas = fleet(run)
    ratio = mean_over_pods(ratio_by_pod(run, replicas), stale_s(run))
    findings = warnings(
        run, replicas, ratio, scaling_events(run, replicas, ratio, needed(run, per_s)), demand(run, per_s)
    )
    assert all(each.severity == "warning" and not each.passed for each in findings)
    return findings


def codes(run):
    return [each.code for each in found(run)]


def constant(value, pod="a", signal="ratio", until=60):
    return series(signal, pod, {float(t): value for t in range(until)})


def counters(ratio, pod="a"):
    """One second of compute a second, and `ratio` times as much queue."""
    return series("raw_compute_us", pod, {float(t): t * 1e6 for t in range(60)}) + series(
        "raw_queue_us", pod, {float(t): ratio * t * 1e6 for t in range(60)}
    )


def test_an_ordinary_run_has_no_warning():
    """The ratio crossed its target, agrees with the counters, and there was no incident."""
    samples = series("ratio", "a", {float(t): (2.0 if t > 30 else 0.2) for t in range(60)})
    assert codes(observed(requests=REQUESTS, samples=samples, events=READY)) == []


def test_a_ratio_below_its_target_does_not_test_scaling():
    """At most 0.4 of 1.1."""
    each = by_code(found(observed(requests=REQUESTS, samples=constant(0.4), events=READY)), "signal.never_crossed")
    assert (each.measured, each.limit) == (0.4, 1.1)
    assert "does not test scaling" in each.advice


def test_a_wrong_recording_rule_is_distinguished_from_a_low_load():
    """The ratio is read as 0 throughout, but the counters give 3: the rule is wrong and not the load low."""
    run = observed(requests=REQUESTS, samples=constant(0.0) + counters(3.0), events=READY)
    assert "which the HPA metric does not show" in by_code(found(run), "signal.never_crossed").advice
    each = by_code(found(run), "signal.untrue")
    assert each.measured == 1.0  # |0 − 3| / 3


def test_a_signal_that_agrees_with_the_counters_is_true():
    """Read 3, true 3."""
    assert "signal.untrue" not in codes(observed(requests=REQUESTS, samples=constant(3.0) + counters(3.0)))


def test_a_fixed_fleet_is_not_expected_to_cross():
    """Fewest and most replicas are the same."""
    fixed = info(autoscaler=SCALER.model_copy(update={"max_replicas": 1}))
    assert "signal.never_crossed" not in codes(observed(fixed, requests=REQUESTS, samples=constant(0.4)))


def test_a_scale_up_that_the_load_never_outgrew_is_needless():
    """1/s comes and one replica carries 2/s: 1 → 2 at 30 s had no need."""
    samples = series("ratio", "a", {float(t): (2.0 if t > 25 else 0.2) for t in range(60)})
    run = observed(requests=REQUESTS, samples=samples, events=[*READY, rescale(30, 1, 2), *life("b", 31, 40)])
    each = by_code(found(run, 2.0), "scaling.needless")
    assert (each.measured, each.limit, each.window) == (1.0, 0.0, Window(30.0))
    assert "1 → 2 at 0:30, while the load did not exceed the capacity of 2/s" in each.advice
    assert "raise the target" in each.advice


def test_a_second_step_on_the_queue_of_the_first_is_told_apart():
    """2/s come, 1.5/s are carried: 1 → 2 was needed, 2 → 3 a pass later followed the same crossing."""
    twice = [request(n, n / 2) for n in range(120)]
    samples = series("ratio", "a", {float(t): (2.0 if t > 12 else 0.2) for t in range(60)})
    run = observed(requests=twice, samples=samples, events=[*READY, rescale(15, 1, 2), rescale(30, 2, 3)])
    each = by_code(found(run, 1.5), "scaling.needless")
    assert (each.measured, each.window) == (1.0, Window(30.0))
    assert "a longer rate window only prolongs that" in each.advice


def test_a_step_that_the_load_outgrew_later_was_not_needless():
    """1/s until 40 s, then 5/s, and 2/s are carried: the decision at 30 s was early, but right."""
    rising = [request(n, float(n)) for n in range(40)] + [request(40 + n, 40 + n / 5) for n in range(100)]
    samples = series("ratio", "a", {float(t): (2.0 if 10 < t < 20 or t > 40 else 0.2) for t in range(60)})
    run = observed(requests=rising, samples=samples, events=[*READY, rescale(30, 1, 2)])
    assert "scaling.needless" not in [each.code for each in found(run, 2.0)]


def test_nothing_is_needless_where_what_a_replica_carries_is_not_known():
    """Without a capacity nobody can say."""
    run = observed(requests=REQUESTS, events=[*READY, rescale(30, 1, 2)])
    assert "scaling.needless" not in [each.code for each in found(run, None)]


def test_up_down_and_up_again_in_a_short_time_is_flapping():
    """Up at 5 s, down at 25 s, up at 45 s: 40 s, less than twice 30 + 15 s."""
    run = observed(requests=REQUESTS, events=[*READY, rescale(5, 1, 2), rescale(25, 2, 1), rescale(45, 1, 2)])
    each = by_code(found(run), "scaling.flapping")
    assert (each.measured, each.limit, each.window) == (40.0, 90.0, Window(5.0, 45.0))


def test_two_waves_are_no_flapping():
    """The same three decisions 100 s apart follow the load."""
    long = info(length_s=300.0, stages=(("all", 0.0, 300.0),))
    run = observed(long, events=[*READY, rescale(5, 1, 2), rescale(60, 2, 1), rescale(105, 1, 2)])
    assert "scaling.flapping" not in codes(run)


def test_a_replica_that_was_ready_but_answered_nothing_is_named():
    """b was ready from 20 s to the end at 60 s, its counter stayed at 0."""
    run = observed(
        requests=REQUESTS,
        samples=constant(5.0, "a", "raw_success") + constant(0.0, "b", "raw_success"),
        events=READY + life("b", 10, 20),
    )
    each = by_code(found(run), "replica.unused")
    assert each.measured == 40.0
    assert each.advice.startswith("b was ready but answered no request")


def test_streams_that_break_while_a_replica_stops_are_counted():
    """b drains from 20 to 25 s: of three broken streams, two ended in that time (or within a second after)."""
    broken = [
        request(60, 15.0, 0.5, 1.0, "cut_off", "reset", ended_s=16.0),
        request(61, 19.0, 0.5, 2.0, "cut_off", "reset", ended_s=21.0),
        request(62, 24.0, None, None, "error", "reset", ended_s=25.5),
    ]
    run = observed(requests=REQUESTS + broken, events=READY + life("b", -9, -5, 20, 25) + [rescale(19.5, 2, 1)])
    each = by_code(found(run), "drain.broken")
    assert (each.measured, each.window) == (2.0, Window(21.0, 25.5))


def test_a_gap_of_one_replica_is_reported():
    """b was ready from 10 s on and sampled until 20 s; a was sampled throughout."""
    samples = constant(2.0) + series("ratio", "b", {float(t): 2.0 for t in range(10, 21)})
    run = observed(requests=REQUESTS, samples=samples, events=READY + life("b", 5, 10))
    each = by_code(found(run), "signal.replica_gap")
    assert each.measured == 39.0  # from 20 s to the last due request at 59 s
    assert each.advice.startswith("b was ready")


def test_incidents_are_counted_and_named():
    """Crashes, kills, exited processes and collection gaps have one finding each."""
    run = observed(
        requests=REQUESTS,
        events=[
            *READY,
            event(10, "replica_crashed", "a", exit_code=-9),
            event(20, "replica_crashed", "a", exit_code=-9),
            event(30, "replica_killed", "b"),
            event(40, "part_died", part="gateway", exit_code=1),
            event(50, "collect_gap", source="prometheus", from_s=114, to_s=117.5),
        ],
    )
    findings = found(run)
    crashed = by_code(findings, "replica.crashed")
    assert (crashed.measured, crashed.window) == (2.0, Window(10.0, 20.0))
    assert crashed.advice.startswith("a: ")
    assert by_code(findings, "replica.killed").window == Window(30.0)
    assert by_code(findings, "part.died").advice.startswith("gateway: ")
    gap = by_code(findings, "collect.gap")
    assert gap.advice.startswith("prometheus: ")
    assert gap.window == Window(50.0, 53.5)


def test_gaps_of_several_sources_have_their_own_windows():
    """Prometheus from 20 to 30 s, and the metrics API, which reads it, from 25 to 45 s."""
    gaps = [
        event(20, "collect_gap", source="prometheus", from_s=84, to_s=94),
        event(25, "collect_gap", source="custom-metrics", from_s=89, to_s=109),
    ]
    gap = by_code(found(observed(requests=REQUESTS, events=[*READY, *gaps])), "collect.gap")
    assert (gap.measured, gap.window) == (2.0, Window(20.0, 45.0))
    assert gap.advice.startswith("custom-metrics (from 0:25 to 0:45), prometheus (from 0:20 to 0:30): ")


def test_watches_of_one_api_that_break_together_are_one_gap():
    """The API server is away: pods from 20 to 30 s, nodes from 22 to 31 s; later pods alone, from 40 to 42 s."""
    gaps = [
        event(start, "collect_gap", source="kubernetes", watch=name, from_s=64 + start, to_s=64 + end)
        for name, start, end in (("pods", 20, 30), ("nodes", 22, 31), ("pods", 40, 42))
    ]
    gap = by_code(found(observed(requests=REQUESTS, events=[*READY, *gaps])), "collect.gap")
    assert (gap.measured, gap.window) == (2.0, Window(20.0, 42.0))
    assert gap.advice.startswith("kubernetes (nodes, pods): ")


def test_rescales_by_others_are_reported_and_not_judged():
    """A user scales 1 → 2 → 1 → 2 in 20 s: the autoscaler neither flaps nor scales up unnecessarily."""
    changes = [rescale(10, 1, 2), rescale(20, 2, 1), rescale(30, 1, 2)]
    by_others = [{**each, "reason": "NotByAutoscaler"} for each in changes]
    each = by_code(found(observed(requests=REQUESTS, events=[*READY, *by_others])), "scaling.by_others")
    assert (each.measured, each.window) == (3.0, Window(10.0, 30.0))
    assert each.advice.startswith("1 → 2 at 0:10; 2 → 1 at 0:20; 1 → 2 at 0:30: something other than")
    assert not {"scaling.flapping", "scaling.needless"} & set(
        codes(observed(requests=REQUESTS, events=[*READY, *by_others]))
    )
    assert "scaling.flapping" in codes(observed(requests=REQUESTS, events=[*READY, *changes]))


def test_no_table_at_all_has_no_warning():
    """Missing data causes no warnings."""
    assert codes(observed()) == []


def test_an_autoscaler_without_its_metric_is_reported_with_the_window():
    """Passes at −5 (no metric), 10, 20 (none), 30 (none) and 40 s: blind for 10 s of the load, then for 20 s."""
    reasons = {-5.0: "FailedGetPodsMetric", 10.0: "ValidMetricFound", 20.0: "FailedGetPodsMetric"}
    reasons |= {30.0: "FailedGetPodsMetric", 40.0: "ValidMetricFound"}
    passes = [{**event(at, "hpa_sync", current=1, desired=1), "reason": reason} for at, reason in reasons.items()]
    samples = series("ratio", "a", {float(t): (2.0 if t > 30 else 0.2) for t in range(60)})
    run = observed(requests=REQUESTS, samples=samples, events=[*READY, *passes])
    blind = next(each for each in found(run) if each.code == "autoscaler.blind")
    assert blind.measured == 10.0 + 20.0
    assert blind.window == Window(0.0, 40.0)
    assert "FailedGetPodsMetric" in blind.advice


def test_a_workload_scaled_to_zero_is_not_reported():
    """KEDA or a user has scaled it to zero: the autoscaler is disabled and needs no metric."""
    reasons = {-5.0: "ScalingDisabled", 10.0: "ValidMetricFound", 20.0: "ScalingDisabled", 30.0: "ValidMetricFound"}
    passes = [{**event(at, "hpa_sync", current=0, desired=0), "reason": reason} for at, reason in reasons.items()]
    assert "autoscaler.blind" not in codes(observed(requests=REQUESTS, events=[*READY, *passes]))


def test_a_disk_that_was_full_is_a_warning():
    """The longest time without a write of any process, and the window of all of them."""
    events = [
        event(10.0, "recording_delayed", source="disk", from_s=74.0, to_s=82.0),
        event(11.0, "recording_delayed", source="disk", from_s=75.0, to_s=81.5),
    ]
    run = observed(requests=REQUESTS, samples=constant(1.2) + counters(1.2), events=[*READY, *events])
    assert by_code(found(run), "recording.delayed").measured == 8.0
    assert "Every row stayed in memory" in by_code(found(run), "recording.delayed").advice
