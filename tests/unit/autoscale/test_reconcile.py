"""One complete sync: its path, conditions and events."""

from dataclasses import replace

import pytest

from loadgen.autoscale.hpa import reconcile
from loadgen.autoscale.spec import ControllerSettings
from loadgen.autoscale.state import (
    Condition,
    ExternalValues,
    HpaStatus,
    Memory,
    ObjectValue,
    ReadError,
    Recommendation,
    SelectorError,
    to_ns,
)
from support.hpa.builders import (
    FRESH,
    NEW,
    NOW_S,
    behavior,
    changes,
    condition,
    decide,
    decide_wanted,
    events,
    external_metric,
    object_metric,
    past,
    pods,
    pods_metric,
    policy,
    reasons,
    spec,
    values,
)

VALUE = object_metric(value_milli=1000)
ZERO_TO_TEN = spec(VALUE, lowest=0, highest=10)
NO_GATE = ControllerSettings(scale_to_zero=False)


def with_zero_condition(status="True", desired=0):
    reason = "ScaledToZero" if status == "True" else "NotScaledToZero"
    zeroed = Condition(type="ScaledToZero", status=status, reason=reason, message="", since_s=1.0)
    return HpaStatus(conditions=(zeroed,), desired_replicas=desired)


class TestRescale:
    def test_up(self):
        """Ratio 2 on two pods: four replicas, one event, all conditions."""
        decision = decide(spec(), values(2000, 2000), replicas=2)
        assert (decision.replicas, decision.rescaled, decision.reason) == (4, True, "pods metric load above target")
        assert (decision.proposed_replicas, decision.stabilized_replicas) == (4, 4)
        assert events(decision) == [
            ("Normal", "SuccessfulRescale", "New size: 4; reason: pods metric load above target")
        ]
        assert [(each.type, each.status, each.reason, each.message) for each in decision.status.conditions] == [
            (
                "AbleToScale",
                "True",
                "SucceededRescale",
                "the HPA controller was able to update the target scale to 4",
            ),
            (
                "ScalingActive",
                "True",
                "ValidMetricFound",
                "the HPA was able to successfully calculate a replica count from pods metric load",
            ),
            (
                "ScalingLimited",
                "False",
                "DesiredWithinRange",
                "the desired count is within the acceptable range",
            ),
            (
                "ScaledToZero",
                "False",
                "NotScaledToZero",
                "the HPA controller did not scale the workload to zero",
            ),
        ]
        status = decision.status
        assert (status.current_replicas, status.desired_replicas, status.last_scale_s) == (2, 4, NOW_S)

    def test_down(self):
        """Ratio 0.3 on four pods with no window: ceil(1.2) = 2."""
        decision = decide(spec(behavior=behavior()), values(*[300] * 4), replicas=4)
        assert (decision.replicas, decision.reason) == (2, "All metrics below target")
        assert events(decision) == [("Normal", "SuccessfulRescale", "New size: 2; reason: All metrics below target")]

    def test_a_new_hpa_does_not_scale_down_for_a_whole_window(self):
        """The first sync remembers the replicas it found, so a restart of the controller blocks scaling down."""
        decision = decide(spec(), values(*[300] * 4), replicas=4)
        assert (decision.replicas, decision.rescaled, decision.reason) == (4, False, "All metrics below target")
        assert (decision.proposed_replicas, decision.stabilized_replicas) == (2, 4)
        assert condition(decision, "AbleToScale") == (
            "True",
            "ScaleDownStabilized",
            "recent recommendations were higher than current one, applying the highest recent recommendation",
        )
        assert decision.events == ()
        first, second = decision.memory.recommendations
        assert (first.replicas, second) == (4, Recommendation(replicas=2, at_ns=to_ns(NOW_S)))
        assert first.at_ns < second.at_ns

    def test_a_window_of_0_s_does_not_see_the_first_sync(self):
        """The replicas found are already past when the metrics have been read."""
        controller = ControllerSettings(downscale_stabilization_s=0)
        assert decide(spec(), values(*[300] * 4), replicas=4, controller=controller).replicas == 2

    def test_no_change_within_tolerance(self):
        """Ratio 1.1: no event, and the conditions have the reason."""
        decision = decide(spec(), values(1100, 1100), replicas=2)
        assert (decision.replicas, decision.rescaled, decision.reason) == (2, False, "")
        assert decision.events == ()
        assert reasons(decision) == {
            "AbleToScale": "ReadyForNewScale",
            "ScalingActive": "ValidMetricFound",
            "ScalingLimited": "DesiredWithinRange",
        }
        assert decision.status == replace(decision.status, current_replicas=2, desired_replicas=2, last_scale_s=None)

    def test_limited(self):
        """Two pods at ratio 10 want 20; the legacy path allows 4."""
        decision = decide(spec(), values(10_000, 10_000), replicas=2)
        assert (decision.replicas, decision.proposed_replicas) == (4, 20)
        assert condition(decision, "ScalingLimited") == (
            "True",
            "ScaleUpLimit",
            "the desired replica count is increasing faster than the maximum scale rate",
        )

    def test_a_change_beyond_the_bounds_keeps_its_reason(self):
        """The metric is above target, maxReplicas is reached: no rescale, but the decision has the reason."""
        decision = decide(spec(highest=2), values(2000, 2000), replicas=2)
        assert (decision.rescaled, decision.reason) == (False, "pods metric load above target")
        assert reasons(decision)["ScalingLimited"] == "TooManyReplicas"

    def test_the_legacy_path_can_rescale_without_a_reason(self):
        """A peak of 60 s ago keeps scaling up while the metric is on target: the event's reason is empty."""
        decision = decide(spec(), values(*[1000] * 4), replicas=4, memory=Memory(recommendations=past((7, 60))))
        assert events(decision) == [("Normal", "SuccessfulRescale", "New size: 7; reason: ")]

    def test_a_change_is_remembered_for_policies(self):
        """4 pods a minute: 2 to 6, then 6 again until the minute is over."""
        rules = behavior(up={"policies": (policy("Pods", 4),)})
        first = decide(spec(behavior=rules), values(*[9000] * 2), replicas=2)
        assert (first.replicas, first.memory.scale_ups) == (6, changes((4, 0)))
        second = decide(spec(behavior=rules), values(*[9000] * 6), replicas=6, memory=first.memory, now_s=NOW_S + 59)
        assert (second.replicas, reasons(second)["ScalingLimited"]) == (6, "ScaleUpLimit")
        third = decide(spec(behavior=rules), values(*[9000] * 6), replicas=6, memory=second.memory, now_s=NOW_S + 60)
        assert third.replicas == 10

    def test_proposals_show_how_each_metric_was_read(self):
        """Value, ratio, the ratio after damping and the groups of pods, for the report."""
        decision = decide(spec(), values(4000, None), replicas=2)
        (proposal,) = decision.proposals
        assert (proposal.metric, proposal.replicas) == ("pods metric load", 4)
        assert (proposal.current_milli, proposal.ratio, proposal.adjusted_ratio) == (4000, 4.0, 2.0)
        assert proposal.pods is not None
        assert (proposal.pods.ready, proposal.pods.missing) == (1, ("p1",))


class TestBounds:
    """Outside the bounds no metric is read, and neither windows nor policies apply."""

    @pytest.mark.parametrize(
        ("replicas", "expected", "reason"),
        [
            (9, 5, "Current number of replicas above Spec.MaxReplicas"),
            (1, 2, "Current number of replicas below Spec.MinReplicas"),
        ],
    )
    def test_the_bound_is_set_at_once(self, replicas, expected, reason):
        """Readings are ignored, even a failed one."""
        decision = decide(
            spec(lowest=2, highest=5, behavior=behavior(up={"select_policy": "Disabled"})),
            ReadError(message="down"),
            replicas=replicas,
            memory=Memory(recommendations=past((9, 1))),
        )
        assert (decision.replicas, decision.reason) == (expected, reason)
        assert events(decision) == [("Normal", "SuccessfulRescale", f"New size: {expected}; reason: {reason}")]
        assert reasons(decision) == {"AbleToScale": "SucceededRescale", "ScaledToZero": "NotScaledToZero"}
        assert (decision.proposals, decision.proposed_replicas) == ((), None)
        assert decision.memory.recommendations == past((9, 1))

    def test_the_jump_counts_for_policies(self):
        """9 to 5 is stored as 4 removed."""
        decision = decide(spec(highest=5, behavior=behavior()), values(), replicas=9)
        assert decision.memory.scale_downs == changes((4, 0))


class TestZero:
    """HPAScaleToZero, beta and on in v1.37 (`shouldComputeMetricsForZeroReplicas`, `TestScaleToZeroBehavior`)."""

    def test_down_to_zero(self):
        """A total of 0 and minReplicas 0: the condition ScaledToZero marks that the HPA did it."""
        rules = replace(ZERO_TO_TEN, behavior=behavior())
        decision = decide_wanted(rules, 0, replicas=1)
        assert (decision.replicas, decision.reason) == (0, "All metrics below target")
        assert condition(decision, "ScaledToZero") == (
            "True",
            "ScaledToZero",
            "the HPA controller scaled the workload to zero",
        )

    def test_zero_replicas_set_by_another_client_pause_the_hpa(self):
        """Without the condition no proposal is computed, independent of the metric."""
        decision = decide_wanted(ZERO_TO_TEN, 7, replicas=0)
        assert (decision.replicas, decision.rescaled, decision.proposals) == (0, False, ())
        assert condition(decision, "ScalingActive") == (
            "False",
            "ScalingDisabled",
            "scaling is disabled since the replica count of the target is zero",
        )
        assert reasons(decision)["AbleToScale"] == "SucceededGetScale"
        assert (decision.status.desired_replicas, decision.events) == (0, ())

    @pytest.mark.parametrize("status", [with_zero_condition("False"), NEW])
    def test_only_a_true_condition_lets_it_leave_zero(self, status):
        """NotScaledToZero has the same effect as no condition."""
        assert decide_wanted(ZERO_TO_TEN, 7, replicas=0, status=status).rescaled is False

    @pytest.mark.parametrize(
        ("wanted", "replicas", "reason"),
        [
            (3, 3, "Service metric queue above target"),
            (7, 4, "Service metric queue above target"),  # at most max(2·0, 4)
            (0, 0, ""),
        ],
    )
    def test_up_from_zero_by_the_metric(self, wanted, replicas, reason):
        """Tolerance and pods do not count at zero."""
        decision = decide_wanted(ZERO_TO_TEN, wanted, replicas=0, status=with_zero_condition())
        assert (decision.replicas, decision.reason) == (replicas, reason)

    def test_leaving_zero_resets_the_condition(self):
        """Every rescale sets the condition anew, so it is never stale."""
        decision = decide_wanted(ZERO_TO_TEN, 1, replicas=0, status=with_zero_condition())
        assert condition(decision, "ScaledToZero")[:2] == ("False", "NotScaledToZero")

    def test_staying_at_zero_keeps_the_condition(self):
        """No rescale, no change of the condition."""
        decision = decide_wanted(ZERO_TO_TEN, 0, replicas=0, status=with_zero_condition())
        assert condition(decision, "ScaledToZero")[:2] == ("True", "ScaledToZero")

    @pytest.mark.parametrize(
        ("rules", "reason"),
        [
            (behavior(), "Current number of replicas below Spec.MinReplicas"),
            (None, ""),  # the legacy clamp has already raised the count, and the reason stays empty
        ],
    )
    def test_a_raised_lower_bound_ends_zero(self, rules, reason):
        """minReplicas went from 0 to 2 while the HPA was at zero; the metric still wants none."""
        raised = spec(VALUE, lowest=2, highest=10, behavior=rules)
        decision = decide_wanted(raised, 0, replicas=0, status=with_zero_condition())
        assert events(decision) == [("Normal", "SuccessfulRescale", f"New size: 2; reason: {reason}")]

    def test_a_raised_lower_bound_needs_a_metric_that_works(self):
        """Only Pods metrics: there are no pods to measure, so the HPA is stuck at zero."""
        decision = decide(spec(lowest=1), values(5000), replicas=0, status=with_zero_condition())
        assert (decision.rescaled, reasons(decision)["ScalingActive"]) == (False, "FailedGetPodsMetric")

    def test_without_the_feature_gate_the_condition_is_ignored_and_removed(self):
        """Zero replicas pause the HPA as before v1.36."""
        held = decide_wanted(ZERO_TO_TEN, 7, replicas=0, status=with_zero_condition(), controller=NO_GATE)
        assert (held.rescaled, reasons(held)["ScalingActive"]) == (False, "ScalingDisabled")
        scaled = decide_wanted(ZERO_TO_TEN, 7, replicas=1, status=with_zero_condition(), controller=NO_GATE)
        assert scaled.rescaled
        assert "ScaledToZero" not in reasons(held) | reasons(scaled)

    def test_a_share_at_zero_existing_pods_still_asks(self):
        """External AverageValue, 2.5 of 1 per pod: 2.5 / 0 is infinite, ceil(2.5) = 3."""
        rules = spec(external_metric(average_milli=1000), lowest=0, highest=10)
        decision = decide(rules, ExternalValues(milli=(2500,)), replicas=0, status=with_zero_condition())
        assert decision.replicas == 3


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
        """Only the first sync leaves the replicas it found."""
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


class TestConditions:
    def test_a_condition_keeps_its_place_and_its_time_while_its_status_stays(self):
        """`setConditionInList`: reason and message change, lastTransitionTime only with the status."""
        first = decide(spec(), values(2000, 2000), replicas=2)
        second = decide(
            spec(),
            values(*[1000] * 4),
            replicas=4,
            memory=first.memory,
            status=first.status,
            now_s=NOW_S + 15,
        )
        third = decide(
            spec(), ReadError(message="x"), replicas=4, memory=second.memory, status=second.status, now_s=NOW_S + 30
        )
        order = ["AbleToScale", "ScalingActive", "ScalingLimited", "ScaledToZero"]
        for decision in (first, second, third):
            assert [each.type for each in decision.status.conditions] == order
        able, active, *_ = third.status.conditions
        assert (able.reason, able.since_s) == ("SucceededGetScale", NOW_S)
        assert (active.reason, active.since_s) == ("FailedGetPodsMetric", NOW_S + 30)

    def test_conditions_of_other_syncs_stay(self):
        """ScalingLimited of the last computed sync is still there when this one could not compute."""
        limited = Condition(type="ScalingLimited", status="True", reason="ScaleUpLimit", message="m", since_s=3.0)
        decision = decide(spec(), ReadError(message="x"), replicas=2, status=HpaStatus(conditions=(limited,)))
        assert decision.status.conditions[0] == limited
        assert limited == decision.status.condition("ScalingLimited")


def test_tolerance_of_the_hpa_counts():
    """Ratio 1.1 holds by the flag, and scales with a tolerance of 0.05 on its own side."""
    rules = behavior(up={"tolerance_ratio": 0.05})
    assert decide(spec(behavior=rules), values(*[1100] * 4), replicas=4).replicas == 5  # ceil(4.4)
    assert decide(spec(behavior=rules), values(*[900] * 4), replicas=4).replicas == 4


def test_pods_that_load_a_model_damp_the_next_scale_up():
    """One pod at ratio 3 wants 3; while two more load, the same value gives no more."""
    rules = spec(behavior=behavior())
    first = decide(rules, values(3000), replicas=1)
    assert first.replicas == 3
    loading = (*pods(1), *(replace(pod, ready="False") for pod in pods(3)[1:]))
    second = decide(rules, values(3000), replicas=3, pods_=loading, memory=first.memory, now_s=NOW_S + 15)
    assert (second.replicas, second.proposals[0].adjusted_ratio) == (3, 1.0)


def test_object_value_forgets_pods_that_load():
    """The same with an Object metric, target 1: ratio 3 on one ready pod is 3 in every sync, so nothing adds up."""
    rules = spec(VALUE, behavior=behavior())
    loading = (*pods(1), *(replace(pod, ready="False") for pod in pods(3)[1:]))
    assert decide(rules, ObjectValue(milli=3000), replicas=3, pods_=loading).replicas == 3
