"""Every sync says which rules set or changed its replicas, the last of which determined them."""

from dataclasses import replace

import pytest

from loadgen.autoscale.rules import Rule
from loadgen.autoscale.spec import DEFAULT_SCALE_DOWN, Behavior, Policy
from loadgen.autoscale.state import ExternalValues, Memory, PodState, ReadError, SelectorError
from support.hpa.builders import (
    NOW_S,
    behavior,
    changes,
    decide,
    decide_wanted,
    external_metric,
    object_metric,
    past,
    pods,
    pods_metric,
    policy,
    spec,
    values,
)

VALUE = object_metric(value_milli=1000)
UNREADABLE = ReadError(message="no answer")


def steps(decision):
    return [(step.rule, step.before, step.after) for step in decision.steps]


@pytest.mark.parametrize(
    ("milli", "replicas", "expected"),
    [
        # 1.1 and 0.9 are the ends of the tolerance
        ((1100, 1100), 2, [(Rule.TOLERANCE, 2, 2)]),
        ((900, 900), 2, [(Rule.TOLERANCE, 2, 2)]),
        # ceil(1.101 · 2) = 3
        ((1101, 1101), 2, [(Rule.RATIO, 2, 3)]),
        # ceil(0.89 · 2) = 2: outside the tolerance, and still no other count
        ((890, 890), 2, [(Rule.RATIO, 2, 2)]),
    ],
)
def test_the_value_against_its_target(milli, replicas, expected):
    """Within the tolerance nothing changes; outside, the replicas follow value over target."""
    assert steps(decide(spec(behavior=behavior()), values(*milli), replicas=replicas)) == expected


@pytest.mark.parametrize(
    ("milli", "existing", "expected"),
    [
        # ratio 3, with two zeros 1: held
        ((3000,), pods(3), [(Rule.PODS, 3, 3)]),
        # ratio 6, with two zeros 2: ceil(2 · 3) = 6, which 6 · 1 ready pod gives, too
        ((6000,), pods(3), [(Rule.RATIO, 3, 6)]),
        # ratio 0.5; with the target for the missing pod 0.625: ceil(0.625 · 4) = 3 instead of ceil(0.5 · 3) = 2
        ((500, 500, 500), pods(4), [(Rule.PODS, 4, 3)]),
        # a pending pod counts on the way up only: ratio 1.5, with one zero 1: held
        ((1500, 1500), (*pods(2), PodState(name="new", phase="Pending")), [(Rule.PODS, 3, 3)]),
        # 1.05 is within the tolerance whatever the others are
        ((1050,), pods(3), [(Rule.TOLERANCE, 3, 3)]),
    ],
)
def test_pods_without_a_metric(milli, existing, expected):
    """The rule is named where the assumed values made the change smaller or prevented it."""
    decision = decide(spec(behavior=behavior()), values(*milli), replicas=len(existing), pods_=existing)
    assert steps(decision) == expected


def test_the_scale_down_window_has_an_end():
    """Recommendations of 4 and 3, 100 s and 40 s old: 4 applies, and the last that is at least 4 ends after 300 s."""
    memory = Memory(recommendations=past((4, 100), (3, 40)))
    decision = decide(spec(behavior=Behavior()), values(*[100] * 4), replicas=4, memory=memory)
    assert steps(decision) == [(Rule.RATIO, 4, 1), (Rule.DOWN_WINDOW, 1, 4)]
    assert decision.steps[-1].until_s == NOW_S - 100 + 300
    legacy = decide(spec(), values(*[100] * 4), replicas=4, memory=memory)
    assert steps(legacy) == [(Rule.RATIO, 4, 1), (Rule.DOWN_WINDOW, 1, 4)]
    assert legacy.steps[-1].until_s == NOW_S - 100 + 300


def test_the_scale_up_window_has_an_end():
    """A recommendation of 2 is 20 s old in a window of 60 s: two replicas until it has passed."""
    rules = behavior(up={"stabilization_window_s": 60})
    decision = decide(
        spec(behavior=rules), values(3000, 3000), replicas=2, memory=Memory(recommendations=past((2, 20)))
    )
    assert steps(decision) == [(Rule.RATIO, 2, 6), (Rule.UP_WINDOW, 6, 2)]
    assert decision.steps[-1].until_s == NOW_S + 40


def test_the_policy_that_limits():
    """Of 4 pods and 100 % in 15 s, 4 pods allow more from 2 replicas on the way up: 6."""
    decision = decide(spec(behavior=behavior()), values(9000, 9000), replicas=2)
    assert steps(decision) == [(Rule.RATIO, 2, 18), (Rule.UP_POLICY, 18, 6)]
    assert decision.steps[-1].policy == Policy(type="Pods", value=4, period_s=15)


def test_a_policy_that_is_used_up_holds():
    """4 pods a minute, and 4 were added 10 s ago: none more."""
    rules = behavior(up={"policies": (policy("Pods", 4),)})
    decision = decide(spec(behavior=rules), values(*[9000] * 6), replicas=6, memory=Memory(scale_ups=changes((4, 10))))
    assert steps(decision) == [(Rule.RATIO, 6, 54), (Rule.UP_POLICY, 54, 6)]


def test_the_policy_that_limits_on_the_way_down():
    """One pod a minute: from 4 to 3."""
    rules = behavior(down={"policies": (policy("Pods", 1),)})
    decision = decide(spec(behavior=rules), values(*[100] * 4), replicas=4)
    assert steps(decision) == [(Rule.RATIO, 4, 1), (Rule.DOWN_POLICY, 1, 3)]
    assert decision.steps[-1].policy == policy("Pods", 1)


def test_a_disabled_direction_has_no_policy():
    """`selectPolicy: Disabled` allows no change."""
    rules = behavior(up={"select_policy": "Disabled"})
    decision = decide(spec(behavior=rules), values(9000, 9000), replicas=2)
    assert steps(decision)[-1] == (Rule.UP_POLICY, 18, 2)
    assert decision.steps[-1].policy is None


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        # without behavior: at most twice the replicas, or 4
        (decide(spec(), values(9000, 9000), replicas=2), [(Rule.RATIO, 2, 18), (Rule.DOUBLING, 18, 4)]),
        (decide(spec(highest=3), values(9000, 9000), replicas=2), [(Rule.RATIO, 2, 18), (Rule.MAX, 18, 3)]),
        (
            decide(spec(highest=2, behavior=behavior()), values(9000, 9000), replicas=2),
            [(Rule.RATIO, 2, 18), (Rule.MAX, 18, 2)],
        ),
        (decide(spec(behavior=behavior()), values(0), replicas=1), [(Rule.RATIO, 1, 0), (Rule.MIN, 0, 1)]),
        (decide(spec(highest=3), values(), replicas=5), [(Rule.MAX, 5, 3)]),
        (decide(spec(lowest=3), values(), replicas=2), [(Rule.MIN, 2, 3)]),
    ],
)
def test_bounds_and_the_limit_without_behavior(decision, expected):
    """minReplicas, maxReplicas and, without `behavior`, twice the replicas or 4."""
    assert steps(decision) == expected


def test_a_metric_that_cannot_be_read():
    """One metric, or one of two while the other would scale down: nothing changes."""
    alone = decide(spec(), UNREADABLE, replicas=2)
    assert steps(alone) == [(Rule.METRIC_UNAVAILABLE, 2, 2)]
    two = spec(pods_metric(), VALUE, behavior=behavior())
    assert steps(decide(two, values(100, 100), UNREADABLE, replicas=2)) == [(Rule.METRIC_UNAVAILABLE, 2, 2)]
    assert steps(decide(two, values(2000, 2000), UNREADABLE, replicas=2)) == [(Rule.RATIO, 2, 4)]


def test_the_largest_proposal_wins():
    """Of a metric on target and a total of 5 for 1 a replica, the second determines the replicas."""
    total = external_metric(average_milli=1000, name="backlog")
    decision = decide(
        spec(pods_metric(), total, behavior=behavior()), values(1000, 1000), ExternalValues(milli=(5000,)), replicas=2
    )
    assert (decision.metric, steps(decision)) == ("external metric backlog(nil)", [(Rule.RATIO, 2, 5)])
    assert [each.rule for each in decision.proposals] == [Rule.TOLERANCE, Rule.RATIO]


def test_a_sync_without_a_calculation():
    """Zero replicas, an unusable selector, a scale that cannot be read, and one that cannot be written."""
    assert steps(decide(spec(), values(), replicas=0)) == [(Rule.DISABLED, 0, 0)]
    selector = SelectorError(reason="SelectorRequired")
    assert steps(decide(spec(), values(1000), replicas=1, selector_error=selector)) == [(Rule.SELECTOR_INVALID, 1, 1)]
    failed = decide_wanted(spec(VALUE), 2, replicas=1, update_error="conflict")
    assert steps(failed) == [(Rule.RATIO, 1, 2), (Rule.WRITE_FAILED, 2, 1)]


def test_a_window_of_the_controller_applies_without_one_in_the_rules():
    """`stabilizationWindowSeconds` unset: the controller's 300 s."""
    rules = Behavior(scale_down=replace(DEFAULT_SCALE_DOWN, stabilization_window_s=None))
    decision = decide(
        spec(behavior=rules), values(*[100] * 2), replicas=2, memory=Memory(recommendations=past((2, 50)))
    )
    assert decision.steps[-1].until_s == NOW_S + 250


def test_every_rule_has_a_label_and_a_meaning():
    """Reports and the glossary need them."""
    for rule in Rule:
        assert rule.label
        assert rule.meaning.endswith(".")
