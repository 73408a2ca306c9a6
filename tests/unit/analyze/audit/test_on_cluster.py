"""The audit of hand-made runs on a cluster: what the controller wrote is known, not what it read."""

from dataclasses import replace

import numpy as np
import pytest
from loadgen_reports.audit_text import rule_phrase

from loadgen.analyze.audit import syncs
from loadgen.analyze.audit.audit import audit
from loadgen.analyze.observed import Series
from loadgen.analyze.results import Rule
from loadgen.analyze.scaling.replicas import fleet
from loadgen.dataset.run_info import ClusterInfo
from support.runs.tables import event, info, life, observed, series

NO_RATIO = Series(np.empty(0), np.empty(0))
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
