"""One complete sync: its path, conditions and events."""

from dataclasses import replace

import pytest

from loadgen.autoscale.spec import ControllerSettings
from loadgen.autoscale.state import (
    Condition,
    HpaStatus,
    Memory,
    ObjectValue,
    ReadError,
    Recommendation,
    to_ns,
)
from support.hpa.builders import (
    NOW_S,
    behavior,
    changes,
    condition,
    decide,
    events,
    object_metric,
    past,
    pods,
    policy,
    reasons,
    spec,
    values,
)

VALUE = object_metric(value_milli=1000)


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
        """The first sync remembers the current replicas, so a restart of the controller blocks scaling down."""
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

    def test_a_window_of_0_s_does_not_include_the_first_sync(self):
        """The entry of the first sync is outside of the window once the metrics are read."""
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
        """Two pods at ratio 10 result in 20 replicas; the legacy path allows 4."""
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

    def test_the_change_counts_for_policies(self):
        """9 to 5 is stored as 4 removed."""
        decision = decide(spec(highest=5, behavior=behavior()), values(), replicas=9)
        assert decision.memory.scale_downs == changes((4, 0))


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
    """A ratio of 1.1 is within the flag's tolerance, and scales with a tolerance of 0.05 in the HPA."""
    rules = behavior(up={"tolerance_ratio": 0.05})
    assert decide(spec(behavior=rules), values(*[1100] * 4), replicas=4).replicas == 5  # ceil(4.4)
    assert decide(spec(behavior=rules), values(*[900] * 4), replicas=4).replicas == 4


def test_pods_that_load_a_model_damp_the_next_scale_up():
    """One pod at ratio 3 results in 3 replicas; while two more load, the same value gives no more."""
    rules = spec(behavior=behavior())
    first = decide(rules, values(3000), replicas=1)
    assert first.replicas == 3
    loading = (*pods(1), *(replace(pod, ready="False") for pod in pods(3)[1:]))
    second = decide(rules, values(3000), replicas=3, pods_=loading, memory=first.memory, now_s=NOW_S + 15)
    assert (second.replicas, second.proposals[0].adjusted_ratio) == (3, 1.0)


def test_an_object_metric_ignores_pods_that_load():
    """For an Object metric with target 1, ratio 3 on one ready pod is 3 replicas in every sync."""
    rules = spec(VALUE, behavior=behavior())
    loading = (*pods(1), *(replace(pod, ready="False") for pod in pods(3)[1:]))
    assert decide(rules, ObjectValue(milli=3000), replicas=3, pods_=loading).replicas == 3
