"""The audit of hand-made runs: which rule determined each sync, and where a run differs from the algorithm."""

import json
from dataclasses import replace

import numpy as np
import pytest
from loadgen_reports.audit_text import rule_phrase

from loadgen.analyze.analysis import analyze
from loadgen.analyze.audit import syncs
from loadgen.analyze.audit.audit import audit
from loadgen.analyze.observed import Series
from loadgen.analyze.results import AuditSpan, Rule
from loadgen.analyze.scaling.replicas import fleet
from loadgen.autoscale.record import Inputs, inputs_data
from loadgen.autoscale.state import PodState, PodValues, ReadError, ScaleState
from loadgen.dataset.run_info import ClusterInfo
from support.runs.tables import SCALER, event, info, life, observed, request, rescale, series, tables

NO_RATIO = Series(np.empty(0), np.empty(0))
# SCALER: target 1, 1 to 4 replicas, a scale-down window of 30 s, a sync every 15 s.


def sync(t_s, current, desired, *milli, pending=0, missing=0, **more):
    """A sync of the local stack that read one value a pod (None: no answer)."""
    running = len(milli) + missing
    pods = [PodState(name=f"p{number}") for number in range(running)]
    pods += [PodState(name=f"p{running + number}", phase="Pending", ready="False") for number in range(pending)]
    values = {f"p{number}": value for number, value in enumerate(milli)}
    reading = ReadError(message="no answer") if None in milli else PodValues(milli=values)
    scale = ScaleState(spec_replicas=current, status_replicas=len(pods))
    inputs = inputs_data(Inputs(scale=scale, pods=tuple(pods), readings=(reading,)))
    return event(t_s, "hpa_sync", current=current, desired=desired, inputs=inputs, **more)


def audited(*events, **changes):
    run = observed(info(**changes), events=events)
    return audit(run, fleet(run), (), NO_RATIO)


def brief(spans):
    return [(each.from_s, each.syncs, each.before, each.after, each.rule) for each in spans]


CYCLE = (
    sync(0, 1, 1, 1050),
    sync(15, 1, 1, 1090),
    sync(30, 1, 3, 3000),
    sync(45, 3, 3, 3000, pending=2),  # 3 with two zeros: 1
    sync(60, 3, 3, 300, 300, 300),  # 3 · 0.3: one replica; the 3 of 45 s ago … 75 s applies
    sync(75, 3, 1, 300, 300, 300),  # the 3 is 30 s old: over
    sync(90, 1, 1, 0),  # the 1 of 75 s applies
    sync(105, 1, 1, 0),
    sync(120, 1, 4, 9000),  # 9 are proposed
    sync(135, 4, 4, 2000, 2000, 2000, 2000),
    sync(150, 4, 4, None),
)


def test_every_sync_of_a_cycle_has_its_rule():
    """Tolerance, value over target, pending pods, window, both bounds, and a metric that cannot be read."""
    result = audited(*CYCLE, length_s=200.0)
    assert brief(result.spans) == [
        (0, 2, 1, 1, Rule.TOLERANCE),
        (30, 1, 1, 3, Rule.RATIO),
        (45, 1, 3, 3, Rule.PODS),
        (60, 1, 3, 3, Rule.DOWN_WINDOW),
        (75, 1, 3, 1, Rule.RATIO),
        (90, 1, 1, 1, Rule.DOWN_WINDOW),
        (105, 1, 1, 1, Rule.MIN),
        (120, 1, 1, 4, Rule.MAX),
        (135, 1, 4, 4, Rule.MAX),
        (150, 1, 4, 4, Rule.METRIC_UNAVAILABLE),
    ]
    tolerance, _, pods, window, *_ = result.spans
    assert (tolerance.lowest, tolerance.highest, tolerance.edges) == (1050, 1090, (900, 1100))
    assert (pods.without_metric, pods.target) == (2, 1000)
    assert (window.until_s, window.proposed) == (75.0, 1)
    assert (result.source, result.syncs, result.inferred, result.undetermined) == ("inputs", 11, 0, 0)
    assert (result.mismatches, result.mismatch_count) == ((), 0)


def test_a_decision_has_its_steps_and_metrics():
    """9 are proposed by 9000m against 1, and maxReplicas allows 4."""
    decision = audited(*CYCLE, length_s=200.0).decisions[-1]
    assert [(each.rule, each.before, each.after) for each in decision.steps] == [(Rule.RATIO, 1, 9), (Rule.MAX, 9, 4)]
    (metric,) = decision.metrics
    assert (metric.name, metric.value, metric.target, metric.replicas) == (
        "pods metric queue_compute_ratio",
        9000,
        1000,
        9,
    )


def test_a_sync_that_differs_from_the_algorithm_is_reported():
    """3000m against 1 gives 3 replicas and not 2; the syncs before and after are as they should be."""
    events = (*CYCLE[:2], sync(30, 1, 2, 3000), sync(45, 2, 2, 1000, 1000))
    result = audited(*events)
    (mismatch,) = result.mismatches
    assert (mismatch.t_s, mismatch.recorded, mismatch.explanation) == (30.0, "2", None)
    assert mismatch.expected.startswith("3 ")
    assert [each.rule for each in result.spans] == [Rule.TOLERANCE, None, Rule.TOLERANCE]
    findings = analyze(info(), tables(events=events)).findings
    (finding,) = [each for each in findings if each.code == "autoscaler.unexplained"]
    assert (finding.measured, finding.severity, str(finding.window)) == (1.0, "warning", "at 0:30")


def test_an_unremarkable_run_has_no_such_finding():
    """The cycle is exactly what the algorithm gives."""
    findings = analyze(info(length_s=200.0), tables(events=CYCLE)).findings
    assert not [each for each in findings if each.code == "autoscaler.unexplained"]


def test_the_syncs_that_held_before_a_decision():
    """Over target from 20 s on; at 30 s and 45 s the HPA read less than 1.1, and at 60 s it scaled up."""
    ratio = series("ratio", "a", {float(t): 1.0 if t < 20 else 1.2 for t in range(0, 61)})
    events = [
        *life("a", -9, -5),
        *(sync(t, 1, 1, value) for t, value in ((0, 500), (15, 1000), (30, 1050), (45, 1090))),
        sync(60, 1, 3, 3000),
        rescale(60, 1, 3),
    ]
    analysis = analyze(
        info(length_s=90.0), tables([request(n, n * 1.0) for n in range(80)], samples=ratio, events=events)
    )
    (decision,) = analysis.audit.decisions
    assert decision.event == 0
    assert analysis.scaling[0].over_target_s == 20.0
    (held,) = decision.held
    assert (held.syncs, held.rule, held.lowest, held.highest, held.edges) == (
        2,
        Rule.TOLERANCE,
        1050,
        1090,
        (900, 1100),
    )


def test_a_run_of_an_earlier_release_has_counts_instead_of_inputs():
    """Pods by group and the average are enough: 3000m of one pod, and two without."""
    proposal = {"pods": {"ready": 1, "missing": ["b"], "unready": ["c"], "ignored": []}}
    recorded = event(0, "hpa_sync", current=3, desired=3, metric_milli=3000, proposals=[proposal])
    result = audited(recorded)
    assert (result.source, brief(result.spans)) == ("status", [(0, 1, 3, 3, Rule.PODS)])


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"current": -1, "desired": 1},
        {"current": "x"},
        {"current": 1, "desired": 2**40},
        {"current": True, "desired": None, "conditions": "x"},
        {"current": 2**31 - 1, "desired": 1, "metric_milli": 10**30},
        {"current": 1, "desired": 1, "metric_milli": 500, "inputs": {"scale": []}, "proposals": [3, {"pods": 4}]},
    ],
)
def test_damaged_data_does_not_stop_the_audit(data):
    """Such a sync is skipped, or has no rule; the others have theirs."""
    result = audited(event(0, "hpa_sync", **data), sync(15, 1, 1, 1000))
    assert result.spans[-1].rule == Rule.TOLERANCE


def test_a_run_without_autoscaler_says_why():
    """The reason is in the result."""
    assert audited(autoscaler=None).why_missing == "the run has no autoscaler whose metric is known"
    assert audited().why_missing == "no sync of the autoscaler was recorded"


# Clusters: what the controller wrote is known, not what it read.

METRIC = {
    "type": "Pods",
    "pods": {"metric": {"name": "ratio"}, "target": {"type": "AverageValue", "averageValue": "1"}},
}
SPEC = {
    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "triton"},
    "minReplicas": 1,
    "maxReplicas": 4,
    "metrics": [METRIC],
}


def cluster(**changes):
    manifest = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "triton", "namespace": "serving"},
        "spec": SPEC | changes,
    }
    return ClusterInfo(
        kind="Deployment",
        workload="triton",
        namespace="serving",
        context="test",
        hpa="triton",
        hpa_manifest=manifest,
        endpoint="ingress",
        balances="requests",
    )


def pods_status(milli):
    return {"type": "Pods", "pods": {"metric": {"name": "ratio"}, "current": {"averageValue": f"{milli}m"}}}


def status(t_s, current, desired, *metrics, able=None, limited=None, active=("True", "ValidMetricFound"), **more):
    """A write of the status; `able` and `limited` are reasons of conditions."""
    conditions = [{"type": "ScalingActive", "status": active[0], "reason": active[1]}] if active else []
    if able:
        conditions.append({"type": "AbleToScale", "status": "True", "reason": able})
    if limited:
        within = limited == "DesiredWithinRange"
        conditions.append({"type": "ScalingLimited", "status": "False" if within else "True", "reason": limited})
    return event(
        t_s,
        "hpa_sync",
        current=current,
        desired=desired,
        current_metrics=[each if isinstance(each, dict) else pods_status(each) for each in metrics],
        conditions=conditions,
        **more,
    )


def fleet_of(*names):
    """Pods that ran before the run."""
    return [each for name in names for each in life(name, -60, -50)]


def on_cluster(*events, samples=(), length_s=60.0, **changes):
    run = observed(info(target="kube", cluster=cluster(**changes), length_s=length_s), events=events, samples=samples)
    return audit(run, fleet(run), (), NO_RATIO)


def sampled(*names):
    return [each for name in names for each in series("ratio", name, {-20.0: 1.0, 400.0: 1.0})]


def test_unchanged_syncs_are_inferred_from_the_period():
    """The status was written at 15 s and 75 s, every 15 s a sync: three in between found the same and wrote nothing."""
    result = on_cluster(
        *fleet_of("a"), status(0, 1, 1, 1050), status(15, 1, 1, 1080), status(75, 1, 1, 1000), length_s=75.0
    )
    assert (result.source, result.syncs, result.inferred) == ("status", 6, 4)  # the first was there already
    (span,) = result.spans
    assert (span.rule, span.syncs, span.from_s, span.to_s) == (Rule.TOLERANCE, 6, 0.0, 75.0)


def test_nothing_is_inferred_between_writes_that_are_close():
    """The HPA was changed at 15 s: the controller synced at once, and again 3 s later in its own rhythm."""
    result = on_cluster(
        *fleet_of("a"), status(0, 1, 1, 1050), status(15, 1, 1, 1080), status(18, 1, 1, 1000), length_s=18.0
    )
    assert (result.syncs, result.inferred) == (3, 1)


def test_nothing_is_inferred_where_the_watch_was_interrupted():
    """Between 20 s and 60 s writes may have been missed."""
    gap = event(20, "collect_gap", source="kubernetes", watch="hpas", from_s=20.0, to_s=60.0)
    result = on_cluster(*fleet_of("a"), status(0, 1, 1, 1050), status(15, 1, 1, 1080), gap, status(75, 1, 1, 1000))
    assert result.syncs == 3


def test_the_conditions_tell_rules_apart():
    """Both the window and minReplicas hold at one replica: AbleToScale says which applied first."""
    window = on_cluster(
        *fleet_of("a"),
        status(0, 1, 1, 0, able="ScaleDownStabilized", limited="DesiredWithinRange"),
        samples=sampled("a"),
    )
    assert {each.rule for each in window.spans} == {Rule.DOWN_WINDOW}
    lowest = on_cluster(
        *fleet_of("a"), status(0, 1, 1, 0, able="ReadyForNewScale", limited="TooFewReplicas"), samples=sampled("a")
    )
    assert {each.rule for each in lowest.spans} == {Rule.MIN}


def test_candidates_are_listed_where_the_record_does_not_decide():
    """2000m at 2 of 2 replicas: maxReplicas holds if both pods were read, and the missing one if only one was."""
    result = on_cluster(*fleet_of("a", "b"), status(0, 2, 2, 2000), maxReplicas=2)
    span = result.spans[0]
    assert (span.rule, set(span.candidates)) == (None, {Rule.MAX, Rule.PODS})
    assert result.undetermined == result.syncs


def test_samples_say_which_pods_have_a_metric():
    """The second pod was never sampled: it counts as 0, so 2000m stays at 2 replicas."""
    result = on_cluster(*fleet_of("a", "b"), status(0, 2, 2, 2000), samples=sampled("a"), maxReplicas=2)
    assert result.spans[0].rule == Rule.PODS


def test_before_the_longest_window_is_over_an_unknown_recommendation_may_hold():
    """100m at two replicas: for 300 s something from before may hold them; at 315 s nothing does."""
    writes = [status(t, 2, 2, 100 + t // 15) for t in range(0, 331, 15)]
    result = on_cluster(*fleet_of("a", "b"), *writes, samples=sampled("a", "b"), length_s=330.0)
    assert result.spans[0].rule == Rule.DOWN_WINDOW
    assert [each.t_s for each in result.mismatches if each.explanation is None] == [315.0, 330.0]
    inferred = [each.explanation for each in result.mismatches if each.t_s > 330.0]
    assert set(inferred) == {"the sync was not observed, only inferred from the sync period"}


def test_the_largest_of_several_metrics_is_named():
    """KEDA: an average of 5 by 2 wins over a value on its target; the first could not do it alone."""
    value = {"type": "External", "external": {"metric": {"name": "s0"}, "target": {"type": "Value", "value": "1"}}}
    total = {
        "type": "External",
        "external": {"metric": {"name": "s1"}, "target": {"type": "AverageValue", "averageValue": "2"}},
    }
    read = [
        {"type": "External", "external": {"metric": {"name": "s0"}, "current": {"value": "1010m"}}},
        {"type": "External", "external": {"metric": {"name": "s1"}, "current": {"averageValue": "5"}}},
    ]
    result = on_cluster(
        *fleet_of("a"),
        status(0, 1, 1, *read[:1], {}),
        status(15, 1, 3, *read, able="SucceededRescale"),
        metrics=[value, total],
    )
    (decision,) = result.decisions
    assert [(each.name, each.replicas, each.rule) for each in decision.metrics] == [
        ("external metric s0(nil)", 1, Rule.TOLERANCE),
        ("external metric s1(nil)", 3, Rule.RATIO),
    ]
    assert (decision.sync.metric, decision.sync.rule) == ("external metric s1(nil)", Rule.RATIO)


def test_a_metric_without_value_prevents_a_scale_down():
    """One of two metrics is missing in the status: no scale-down."""
    other = {"type": "External", "external": {"metric": {"name": "s0"}, "target": {"type": "Value", "value": "1"}}}
    active = ("False", "FailedGetExternalMetric")
    result = on_cluster(
        *fleet_of("a", "b"),
        status(0, 2, 2, 100, {"type": ""}, active=active),
        samples=sampled("a", "b"),
        metrics=[METRIC, other],
    )
    assert {each.rule for each in result.spans} == {Rule.METRIC_UNAVAILABLE}


CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
OBJECT = {
    "type": "Object",
    "object": {
        "metric": {"name": "queue"},
        "describedObject": {"kind": "Service", "name": "triton"},
        "target": {"type": "Value", "value": "1"},
    },
}
EXTERNAL = {"type": "External", "external": {"metric": {"name": "s0"}, "target": {"type": "Value", "value": "1"}}}


@pytest.mark.parametrize(
    ("metric", "current"),
    [
        (METRIC, {}),
        (METRIC, {"averageUtilization": 80}),
        (CPU, {"averageValue": "80m"}),
        (OBJECT, {"averageValue": "3"}),
        (EXTERNAL, {"value": None}),
    ],
    ids=["Pods", "Pods in percent", "Resource", "Object", "External"],
)
def test_a_value_that_was_not_recorded_is_not_read_as_zero(metric, current):
    """0 would be far below every target; the status does not have the value, so no rule is named."""
    source = next(key for key in metric if key != "type")
    damaged = {"type": metric["type"], source: {**metric[source], "current": current}}
    result = on_cluster(
        *fleet_of("a", "b"), status(0, 2, 2, damaged), samples=sampled("a", "b"), metrics=[metric], length_s=0.0
    )
    (span,) = result.spans
    assert (span.rule, span.candidates, span.lowest, span.proposed) == (None, (), None, None)
    assert span.why_undetermined == "the values that the sync read were not recorded"
    assert (result.undetermined, result.mismatch_count) == (result.syncs, 0)
    assert rule_phrase(span) == "not determined: the values that the sync read were not recorded"


def test_a_target_that_is_not_set_is_not_shown_as_zero():
    """The type names `value`, and only `averageValue` is set: the API server accepts it, and every sync fails."""
    metric = {**OBJECT, "object": {**OBJECT["object"], "target": {"type": "Value", "averageValue": "1"}}}
    failed = status(0, 1, 1, {"type": ""}, active=("False", "FailedGetObjectMetric"))
    result = on_cluster(*fleet_of("a"), failed, status(15, 1, 2, 3000, able="SucceededRescale"), metrics=[metric])
    assert all(each.target != 0 for each in result.spans)
    assert all(each.target is None for decision in result.decisions for each in decision.metrics)


def test_a_change_of_the_hpa_applies_from_then_on():
    """maxReplicas falls from 4 to 2 at 15 s: the same value holds by another rule."""
    events = (
        status(0, 2, 2, 1500, able="SucceededRescale"),
        status(15, 2, 2, 1500, limited="TooManyReplicas", spec={**SPEC, "maxReplicas": 2}),
    )
    result = on_cluster(*fleet_of("a", "b"), *events, samples=sampled("a", "b"), length_s=15.0)
    assert result.spans[-1].rule == Rule.MAX


def test_a_folder_without_the_hpa_says_so():
    """Earlier releases did not record it."""
    older = replace(cluster(), hpa_manifest=None)
    run = observed(info(target="kube", cluster=older), events=[status(0, 1, 1, 1000)])
    assert audit(run, fleet(run), (), NO_RATIO).why_missing == "the HPA itself was not recorded"


def test_a_long_run_is_bounded(monkeypatch):
    """A time far in the future does not make millions of syncs."""
    assert syncs.MAX_INFERRED == 20_000
    monkeypatch.setattr(syncs, "MAX_INFERRED", 500)
    run = replace(
        observed(info(target="kube", cluster=cluster()), events=[*fleet_of("a"), status(0, 1, 1, 1000)]), last_s=1e12
    )
    assert audit(run, fleet(run), (), NO_RATIO).syncs == 501


def test_spans_are_json():
    """Rules are their names in analysis.json."""
    span = AuditSpan(from_s=0, to_s=0, syncs=1, inferred=0, before=1, after=1, rule=Rule.MAX)
    assert json.dumps(span.rule) == '"max_replicas"'


def test_the_local_autoscaler_is_the_one_of_run_json():
    """An HPA that the API server would refuse cannot be replayed."""
    wrong = SCALER.model_copy(update={"min_replicas": 0})
    assert "minReplicas 0 needs an Object or External metric" in (
        audited(sync(0, 1, 1, 1000), autoscaler=wrong).why_missing or ""
    )
