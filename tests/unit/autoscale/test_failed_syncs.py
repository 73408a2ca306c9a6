"""Syncs that fail: no scale, no metric, no update, an unusable selector."""

import pytest

from loadgen.autoscale.hpa import reconcile
from loadgen.autoscale.state import (
    HpaStatus,
    Memory,
    ReadError,
    SelectorError,
)
from support.hpa.builders import (
    FRESH,
    NEW,
    NOW_S,
    behavior,
    condition,
    decide,
    events,
    external_metric,
    past,
    pods_metric,
    reasons,
    spec,
    values,
)


class TestFailures:
    def test_no_scale(self):
        """Without the scale, only the condition changes."""
        decision = reconcile(
            spec(),
            now_s=NOW_S,
            scale=ReadError(message="deployments.apps not found"),
            pods=(),
            readings=(values(),),
            memory=FRESH,
            status=HpaStatus(current_replicas=3, desired_replicas=3),
        )
        assert (decision.replicas, decision.rescaled, decision.memory) == (None, False, FRESH)
        assert events(decision) == [("Warning", "FailedGetScale", "deployments.apps not found")]
        assert condition(decision, "AbleToScale") == (
            "False",
            "FailedGetScale",
            "the HPA controller was unable to get the target's current scale: deployments.apps not found",
        )
        assert (decision.status.current_replicas, decision.status.desired_replicas) == (3, 3)

    def test_no_metric(self):
        """The replicas and `status.desiredReplicas` stay; one event for the metric, one for the sync."""
        decision = decide(
            spec(),
            ReadError(message="the server could not find the metric load for pods"),
            replicas=2,
            status=HpaStatus(current_replicas=1, desired_replicas=5),
        )
        text = (
            "unable to get metric load: unable to fetch metrics from custom metrics API: "
            "the server could not find the metric load for pods"
        )
        whole = f"invalid metrics (1 invalid out of 1), first error is: failed to get pods metric value: {text}"
        assert (decision.replicas, decision.rescaled, decision.error) == (2, False, whole)
        assert events(decision) == [
            ("Warning", "FailedGetPodsMetric", text),
            ("Warning", "FailedComputeMetricsReplicas", whole),
        ]
        assert condition(decision, "ScalingActive") == (
            "False",
            "FailedGetPodsMetric",
            f"the HPA was unable to compute the replica count: {text}",
        )
        assert (decision.status.current_replicas, decision.status.desired_replicas) == (2, 5)
        assert (decision.proposed_replicas, decision.stabilized_replicas) == (None, None)

    def test_a_sync_without_metrics_does_not_enter_the_memory(self):
        """Only the first sync records the current replicas."""
        decision = decide(spec(), ReadError(message="x"), replicas=2, memory=Memory(recommendations=past((3, 9))))
        assert decision.memory.recommendations == past((3, 9))

    def test_one_failed_metric_and_one_that_scales_up(self):
        """It scales, warns about the metric, and logs the error without an event for the sync."""
        two = spec(pods_metric(name="bad"), pods_metric())
        decision = decide(two, ReadError(message="x"), values(2000, 2000), replicas=2)
        assert decision.replicas == 4
        assert [event.reason for event in decision.events] == ["FailedGetPodsMetric", "SuccessfulRescale"]
        assert reasons(decision)["ScalingActive"] == "ValidMetricFound"
        assert decision.error is not None
        assert decision.error.startswith("invalid metrics (1 invalid out of 2)")

    def test_one_failed_metric_and_one_that_scales_down(self):
        """The replicas do not change, and the condition is that of the failed metric."""
        two = spec(pods_metric(), pods_metric(name="bad"))
        decision = decide(two, values(100, 100), ReadError(message="x"), replicas=2)
        assert (decision.replicas, reasons(decision)["ScalingActive"]) == (2, "FailedGetPodsMetric")

    def test_every_failed_metric_warns(self):
        """The condition is that of the first failed metric."""
        two = spec(external_metric(value_milli=1), pods_metric())
        decision = decide(two, ReadError(message="x"), ReadError(message="y"), replicas=2)
        assert [event.reason for event in decision.events] == [
            "FailedGetExternalMetric",
            "FailedGetPodsMetric",
            "FailedComputeMetricsReplicas",
        ]
        assert reasons(decision)["ScalingActive"] == "FailedGetExternalMetric"

    def test_no_update_of_the_scale(self):
        """The change is not remembered for policies, and `status.desiredReplicas` stays."""
        decision = decide(
            spec(behavior=behavior()), values(2000, 2000), replicas=2, update_error="forbidden", status=NEW
        )
        assert (decision.replicas, decision.rescaled, decision.proposed_replicas) == (2, False, 4)
        assert events(decision) == [
            ("Warning", "FailedRescale", "New size: 4; reason: pods metric load above target; error: forbidden")
        ]
        assert condition(decision, "AbleToScale") == (
            "False",
            "FailedUpdateScale",
            "the HPA controller was unable to update the target scale: forbidden",
        )
        assert (decision.memory.scale_ups, decision.status.desired_replicas) == ((), 0)

    @pytest.mark.parametrize(
        ("selector", "condition_", "text"),
        [
            (
                SelectorError(reason="SelectorRequired"),
                ("False", "InvalidSelector", "the HPA target's scale is missing a selector"),
                "selector is required",
            ),
            (
                SelectorError(reason="InvalidSelector", message="cannot parse"),
                ("False", "InvalidSelector", "cannot parse"),
                "cannot parse",
            ),
            (
                SelectorError(reason="AmbiguousSelector", message="two HPAs"),
                ("False", "AmbiguousSelector", "two HPAs"),
                "two HPAs",
            ),
        ],
    )
    def test_an_unusable_selector(self, selector, condition_, text):
        """`validateAndParseSelector`: no metric is read."""
        decision = decide(spec(), values(2000), replicas=1, selector_error=selector)
        assert (decision.replicas, decision.rescaled, decision.proposals) == (1, False, ())
        assert events(decision) == [
            ("Warning", selector.reason, text),
            ("Warning", "FailedComputeMetricsReplicas", text),
        ]
        assert condition(decision, "ScalingActive") == condition_
