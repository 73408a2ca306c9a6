"""Syncs of an HPA that scales to zero and from zero."""

from dataclasses import replace

import pytest

from loadgen.autoscale.spec import ControllerSettings
from loadgen.autoscale.state import (
    Condition,
    ExternalValues,
    HpaStatus,
)
from support.hpa.builders import (
    NEW,
    behavior,
    condition,
    decide,
    decide_wanted,
    events,
    external_metric,
    object_metric,
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
        ("proposal", "replicas", "reason"),
        [
            (3, 3, "Service metric queue above target"),
            (7, 4, "Service metric queue above target"),  # at most max(2·0, 4)
            (0, 0, ""),
        ],
    )
    def test_up_from_zero_by_the_metric(self, proposal, replicas, reason):
        """Tolerance and pods do not count at zero."""
        decision = decide_wanted(ZERO_TO_TEN, proposal, replicas=0, status=with_zero_condition())
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
        """If minReplicas changes from 0 to 2 while the HPA is at zero, it scales up without load."""
        raised = spec(VALUE, lowest=2, highest=10, behavior=rules)
        decision = decide_wanted(raised, 0, replicas=0, status=with_zero_condition())
        assert events(decision) == [("Normal", "SuccessfulRescale", f"New size: 2; reason: {reason}")]

    def test_a_raised_lower_bound_needs_a_metric_that_works(self):
        """Only Pods metrics: there are no pods to measure, so the HPA is stuck at zero."""
        decision = decide(spec(lowest=1), values(5000), replicas=0, status=with_zero_condition())
        assert (decision.rescaled, reasons(decision)["ScalingActive"]) == (False, "FailedGetPodsMetric")

    def test_without_the_feature_gate_the_condition_is_ignored_and_removed(self):
        """Zero replicas pause the HPA as before v1.36."""
        paused = decide_wanted(ZERO_TO_TEN, 7, replicas=0, status=with_zero_condition(), controller=NO_GATE)
        assert (paused.rescaled, reasons(paused)["ScalingActive"]) == (False, "ScalingDisabled")
        scaled = decide_wanted(ZERO_TO_TEN, 7, replicas=1, status=with_zero_condition(), controller=NO_GATE)
        assert scaled.rescaled
        assert "ScaledToZero" not in reasons(paused) | reasons(scaled)

    def test_an_average_value_scales_up_from_zero_pods(self):
        """External AverageValue, 2.5 of 1 per pod: 2.5 / 0 is infinite, ceil(2.5) = 3."""
        rules = spec(external_metric(average_milli=1000), lowest=0, highest=10)
        decision = decide(rules, ExternalValues(milli=(2500,)), replicas=0, status=with_zero_condition())
        assert decision.replicas == 3
