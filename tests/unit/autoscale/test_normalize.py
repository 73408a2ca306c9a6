"""Stabilization windows and rate limits on both paths. Times in tables are seconds ago; NOW_S is 1000 s."""

import pytest

from loadgen.autoscale.normalize import (
    normalize_legacy,
    normalize_with_behavior,
    remember_change,
    scale_down_limit,
    scale_up_limit,
)
from loadgen.autoscale.spec import DEFAULT_SCALE_DOWN, DEFAULT_SCALE_UP, Behavior, ScalingRules
from loadgen.autoscale.state import NS_PER_S, Memory, ScaleEvent, to_ns
from support.hpa.builders import FRESH, NOW_S, behavior, changes, past, policy

NOW_NS = to_ns(NOW_S)


def legacy(desired, recommendations=(), *, current, lowest=1, highest=100, window_s=300.0, now_s=NOW_S):
    return normalize_legacy(
        desired,
        recommendations,
        current=current,
        lowest=lowest,
        highest=highest,
        now_ns=to_ns(now_s),
        window_s=window_s,
    )


def ruled(desired, memory=FRESH, behavior_=None, *, current, lowest=1, highest=100, window_s=300.0):
    return normalize_with_behavior(
        desired,
        memory,
        behavior_ or behavior(),
        current=current,
        lowest=lowest,
        highest=highest,
        now_ns=NOW_NS,
        window_s=window_s,
    )


def entries(recommendations):
    """Return recommendations as (replicas, seconds ago)."""
    return [(each.replicas, (NOW_NS - each.at_ns) / NS_PER_S) for each in recommendations]


class TestLegacy:
    @pytest.mark.parametrize(
        ("current", "desired", "replicas", "reason"),
        [
            (1, 4, 4, "DesiredWithinRange"),
            (1, 5, 4, "ScaleUpLimit"),  # max(2·1, 4) = 4
            (2, 5, 4, "ScaleUpLimit"),
            (3, 7, 6, "ScaleUpLimit"),  # 2·3
            (0, 9, 4, "ScaleUpLimit"),
            (40, 80, 80, "DesiredWithinRange"),
            (60, 130, 100, "TooManyReplicas"),  # 2·60 = 120 is beyond maxReplicas 100
            (50, 101, 100, "TooManyReplicas"),  # 2·50 = 100 is not below maxReplicas
            (5, 1, 2, "TooFewReplicas"),  # minReplicas 2
            (5, 2, 2, "DesiredWithinRange"),
            (0, 0, 2, "TooFewReplicas"),  # the bounds count even where nothing changes
        ],
    )
    def test_a_sync_at_most_doubles_or_reaches_4(self, current, desired, replicas, reason):
        """`convertDesiredReplicasWithRules` with minReplicas 2 and maxReplicas 100."""
        result = legacy(desired, current=current, lowest=2)
        assert (result.replicas, result.scaling_limited[0]) == (replicas, reason)

    @pytest.mark.parametrize(
        ("recommendations", "stabilized"),
        [
            ([], 2),
            ([(5, 10), (9, 299), (20, 301)], 9),
            ([(9, 300)], 9),  # the window includes its edge
            ([(9, 300.5)], 2),
            ([(1, 10)], 2),
        ],
    )
    def test_the_highest_recommendation_of_the_window_counts(self, recommendations, stabilized):
        """`stabilizeRecommendation` with 300 s; 2 replicas are desired now."""
        result = legacy(2, past(*recommendations), current=20)
        assert result.stabilized == stabilized
        assert result.able_to_scale[0] == ("ReadyForNewScale" if stabilized == 2 else "ScaleDownStabilized")

    def test_the_window_can_scale_up_after_the_load_has_ended(self):
        """A limited recommendation of 30 keeps doubling the replicas for 300 s, although 1 is desired now."""
        assert legacy(1, past((30, 200)), current=8).replicas == 16

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ([], [(2, 0)]),
            ([(5, 10)], [(5, 10), (2, 0)]),
            ([(5, 300)], [(5, 300), (2, 0)]),  # at the edge it is still used
            ([(5, 301), (6, 10)], [(2, 0), (6, 10)]),
            ([(5, 500), (6, 400), (7, 10)], [(5, 500), (2, 0), (7, 10)]),  # the last of the old ones
        ],
    )
    def test_an_old_recommendation_is_overwritten(self, before, after):
        """The memory does not grow beyond the entries of the window."""
        assert entries(legacy(2, past(*before), current=2).recommendations) == after

    def test_a_window_is_exact_for_times_with_a_fraction(self):
        """700.1 s is exactly 300 s before 1000.1 s, which 1000.1 - 300 in floats may miss."""
        recommendations = past((9, 300), now_s=1000.1)
        assert legacy(2, recommendations, current=20, now_s=1000.1).stabilized == 9
        assert legacy(2, recommendations, current=20, now_s=1000.1 + 1e-6).stabilized == 2


class TestWindows:
    @pytest.mark.parametrize(
        ("up_s", "down_s", "recommendations", "current", "desired", "stabilized", "reason"),
        [
            # up: the lowest recommendation of the window, but never below current
            (60, 0, [(7, 10)], 5, 9, 7, "ScaleUpStabilized"),
            (60, 0, [(7, 10), (6, 50)], 5, 9, 6, "ScaleUpStabilized"),
            (60, 0, [(3, 10)], 5, 9, 5, "ScaleUpStabilized"),
            (60, 0, [(7, 60)], 5, 9, 9, "ReadyForNewScale"),  # the edge is outside, unlike the legacy window
            (0, 0, [(7, 0)], 5, 9, 9, "ReadyForNewScale"),
            # down: the highest
            (0, 60, [(4, 10)], 5, 2, 4, "ScaleDownStabilized"),
            (0, 60, [(4, 10), (3, 50)], 5, 2, 4, "ScaleDownStabilized"),
            (0, 60, [(8, 10)], 5, 2, 5, "ScaleDownStabilized"),
            (0, 60, [(4, 60)], 5, 2, 2, "ReadyForNewScale"),
            # both: the current 5 is between 2 and 8
            (60, 60, [(2, 10), (8, 10)], 5, 9, 5, "ScaleUpStabilized"),
            (60, 60, [(2, 10), (8, 10)], 5, 1, 5, "ScaleDownStabilized"),
            # desired equals current, so windows do not change it
            (60, 60, [(2, 10), (8, 10)], 5, 5, 5, "ReadyForNewScale"),
            # windows of different length
            (300, 60, [(6, 100)], 5, 9, 6, "ScaleUpStabilized"),
            (300, 60, [(6, 100)], 5, 2, 2, "ReadyForNewScale"),
        ],
    )
    def test_each_direction_has_its_window(self, up_s, down_s, recommendations, current, desired, stabilized, reason):
        """`stabilizeRecommendationWithBehaviors`."""
        rules = behavior(up={"stabilization_window_s": up_s}, down={"stabilization_window_s": down_s})
        result = ruled(desired, Memory(recommendations=past(*recommendations)), rules, current=current)
        assert (result.stabilized, result.able_to_scale[0]) == (stabilized, reason)

    def test_the_controllers_window_is_the_default(self):
        """`maybeInitScaleDownStabilizationWindow`: whole seconds of the flag, for scaling down only."""
        rules = Behavior(scale_up=DEFAULT_SCALE_UP, scale_down=DEFAULT_SCALE_DOWN)
        memory = Memory(recommendations=past((4, 45.2)))
        assert ruled(2, memory, rules, current=5, window_s=46).stabilized == 4
        assert ruled(2, memory, rules, current=5, window_s=45.9).stabilized == 2

    @pytest.mark.parametrize(
        ("up_s", "down_s", "before", "after"),
        [
            (0, 60, [(5, 59)], [(5, 59), (9, 0)]),
            (0, 60, [(5, 60)], [(5, 60), (9, 0)]),  # at the edge it is not used, but kept
            (0, 60, [(5, 61), (6, 30)], [(9, 0), (6, 30)]),
            (120, 60, [(5, 61)], [(5, 61), (9, 0)]),  # still in the longer window
            (30, 60, [(5, 200), (6, 100), (7, 10)], [(5, 200), (9, 0), (7, 10)]),
        ],
    )
    def test_an_entry_outside_both_windows_is_overwritten(self, up_s, down_s, before, after):
        """`stabilizeRecommendationWithBehaviors` reuses the slot; 9 replicas are desired now."""
        rules = behavior(up={"stabilization_window_s": up_s}, down={"stabilization_window_s": down_s})
        result = ruled(9, Memory(recommendations=past(*before)), rules, current=5)
        assert entries(result.recommendations) == after


class TestPolicies:
    @pytest.mark.parametrize(
        ("policies", "select", "current", "limit"),
        [
            ([("Pods", 4)], "Max", 5, 9),
            ([("Percent", 50)], "Max", 5, 8),  # 7.5 rounded up
            ([("Percent", 10)], "Max", 1, 2),  # 1.1: rounded up, so that it can scale at all
            ([("Percent", 100)], "Max", 0, 0),  # a percentage of nothing
            ([("Percent", 10)], "Max", 50, 56),  # 50 · 1.1 = 55.00000000000001 in float64
            ([("Percent", 10)], "Max", 100, 111),  # 110.00000000000001
            ([("Percent", 20)], "Max", 50, 60),  # 50 · 1.2 is 60 exactly
            ([("Percent", 900)], "Max", 3, 30),
            ([("Pods", 4), ("Percent", 50)], "Max", 5, 9),
            ([("Pods", 4), ("Percent", 50)], "Min", 5, 8),
            ([("Pods", 4), ("Percent", 50)], "Disabled", 5, 5),
            ([("Pods", 2), ("Percent", 50)], "Min", 1, 2),
            ([("Pods", 2**31 - 1)], "Max", 1, -(2**31)),  # wraps; the caller then stays where it is
        ],
    )
    def test_the_most_replicas_a_policy_allows(self, policies, select, current, limit):
        """`calculateScaleUpLimitWithScalingRules` without earlier changes."""
        rules = ScalingRules(policies=tuple(policy(*each) for each in policies), select_policy=select)
        assert scale_up_limit(rules, FRESH, current=current, now_ns=NOW_NS) == limit

    @pytest.mark.parametrize(
        ("policies", "select", "current", "limit"),
        [
            ([("Pods", 4)], "Max", 5, 1),
            ([("Pods", 4)], "Max", 3, -1),
            ([("Percent", 50)], "Max", 5, 2),  # 2.5, fraction dropped
            ([("Percent", 10)], "Max", 5, 4),  # 4.5 dropped to 4: down always moves
            ([("Percent", 90)], "Max", 10, 0),  # 10 · 0.09999999999999998 = 0.9999999999999998
            ([("Percent", 10)], "Max", 10, 9),
            ([("Percent", 70)], "Max", 10, 3),  # 10 · 0.30000000000000004 = 3.0000000000000004
            ([("Percent", 100)], "Max", 10, 0),
            ([("Percent", 150)], "Max", 10, -5),
            ([("Pods", 2), ("Percent", 50)], "Max", 5, 2),  # the larger change is the lower number
            ([("Pods", 2), ("Percent", 50)], "Min", 5, 3),
            ([("Pods", 2), ("Percent", 50)], "Disabled", 5, 5),
        ],
    )
    def test_the_fewest_replicas_a_policy_allows(self, policies, select, current, limit):
        """`calculateScaleDownLimitWithBehaviors` without earlier changes."""
        rules = ScalingRules(policies=tuple(policy(*each) for each in policies), select_policy=select)
        assert scale_down_limit(rules, FRESH, current=current, now_ns=NOW_NS) == limit

    @pytest.mark.parametrize(
        ("ups", "downs", "up_limit", "down_limit"),
        [
            # the period started with current - added + removed, and the policy counts from there
            ([(3, 10)], [], 11, 3),  # 10 - 3 = 7: 7 + 4 and 7 - 4
            ([(3, 10), (2, 59)], [], 9, 1),  # 5
            ([(3, 60)], [], 14, 6),  # the edge is outside: 10
            ([], [(3, 10)], 17, 9),  # 13
            ([], [(3, 60)], 14, 6),
            ([(3, 10)], [(3, 20)], 14, 6),  # they cancel out
            ([(6, 10)], [], 8, 0),  # 4 + 4 = 8, below the current 10: the caller stays
        ],
    )
    def test_changes_of_the_period_count_towards_the_limit(self, ups, downs, up_limit, down_limit):
        """The policy allows 4 pods per 60 s, with 10 replicas now."""
        memory = Memory(scale_ups=changes(*ups), scale_downs=changes(*downs))
        rules = ScalingRules(policies=(policy("Pods", 4),))
        assert scale_up_limit(rules, memory, current=10, now_ns=NOW_NS) == up_limit
        assert scale_down_limit(rules, memory, current=10, now_ns=NOW_NS) == down_limit

    def test_each_policy_has_its_own_period(self):
        """3 added 30 s ago: not in 15 s (10 + 1 = 11), in 60 s (7 · 2 = 14); Max takes 14, Min 11."""
        memory = Memory(scale_ups=changes((3, 30)))
        policies = (policy("Pods", 1, 15), policy("Percent", 100, 60))
        for select, limit in (("Max", 14), ("Min", 11)):
            rules = ScalingRules(policies=policies, select_policy=select)
            assert scale_up_limit(rules, memory, current=10, now_ns=NOW_NS) == limit


class TestLimits:
    FOUR = behavior(up={"policies": (policy("Pods", 4),)}, down={"policies": (policy("Pods", 4),)})

    @pytest.mark.parametrize(
        ("current", "desired", "memory", "replicas", "reason"),
        [
            (5, 9, FRESH, 9, "DesiredWithinRange"),
            (5, 10, FRESH, 9, "ScaleUpLimit"),
            (18, 30, FRESH, 20, "TooManyReplicas"),
            (16, 30, FRESH, 20, "TooManyReplicas"),  # 16 + 4 = 20 is not below maxReplicas
            (10, 12, Memory(scale_ups=changes((6, 10))), 10, "ScaleUpLimit"),  # the limit 8 never scales down
            (9, 5, FRESH, 5, "DesiredWithinRange"),
            (9, 4, FRESH, 5, "ScaleDownLimit"),
            (5, 1, FRESH, 2, "TooFewReplicas"),
            (6, 1, FRESH, 2, "TooFewReplicas"),  # 6 - 4 = 2 is not above minReplicas
            (10, 8, Memory(scale_downs=changes((6, 10))), 10, "ScaleDownLimit"),  # the limit 12 never scales up
            (5, 5, FRESH, 5, "DesiredWithinRange"),
            (0, 0, FRESH, 0, "DesiredWithinRange"),  # a count that stays is not moved into the bounds
        ],
    )
    def test_bounds_and_policies_combined(self, current, desired, memory, replicas, reason):
        """`convertDesiredReplicasWithBehaviorRate`: 4 pods per 60 s either way, minReplicas 2, maxReplicas 20."""
        result = ruled(desired, memory, self.FOUR, current=current, lowest=2, highest=20)
        assert (result.replicas, result.scaling_limited[0]) == (replicas, reason)

    @pytest.mark.parametrize(
        ("desired", "reason", "message"),
        [
            (9, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"),
            (1, "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"),
        ],
    )
    def test_a_disabled_direction_does_not_scale(self, desired, reason, message):
        """The replicas do not change, and the reason is that of a rate limit."""
        rules = behavior(up={"select_policy": "Disabled"}, down={"select_policy": "Disabled"})
        result = ruled(desired, FRESH, rules, current=5)
        assert (result.replicas, result.scaling_limited) == (5, (reason, message))

    def test_the_default_rules_are_not_the_legacy_path(self):
        """`behavior: {}` doubles or adds 4 (1 to 5), where the legacy path reaches max(2, 4) = 4."""
        assert ruled(10, current=1).replicas == 5
        assert legacy(10, current=1).replicas == 4


class TestChanges:
    @pytest.mark.parametrize("up", [True, False])
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ([], [(3, 0, False)]),
            ([(1, 60, False)], [(1, 60, False), (3, 0, False)]),  # the edge is not outdated
            ([(1, 61, False)], [(3, 0, False)]),
            ([(1, 90, False), (2, 80, False)], [(1, 90, True), (3, 0, False)]),  # the last slot; the other is marked
            ([(1, 90, True), (2, 10, False)], [(3, 0, False), (2, 10, False)]),
            ([(1, 10, True)], [(3, 0, False)]),  # once marked, always marked: the rules had a shorter period then
        ],
    )
    def test_a_change_is_stored_and_an_outdated_slot_reused(self, up, before, after):
        """`storeScaleEvent`: outdated is older than the longest period, 60 s of 15 s and 60 s."""
        rules = {"policies": (policy("Pods", 1, 15), policy("Pods", 1, 60))}
        events = tuple(
            ScaleEvent(change=change, at_ns=to_ns(NOW_S - ago_s), outdated=outdated)
            for change, ago_s, outdated in before
        )
        memory = Memory(scale_ups=events) if up else Memory(scale_downs=events)
        stored = remember_change(memory, behavior(up=rules, down=rules), before=5, after=8 if up else 2, now_ns=NOW_NS)
        same, other = (stored.scale_ups, stored.scale_downs) if up else (stored.scale_downs, stored.scale_ups)
        assert [(each.change, (NOW_NS - each.at_ns) / NS_PER_S, each.outdated) for each in same] == after
        assert other == ()

    def test_without_behavior_nothing_is_stored(self):
        """The legacy path has no memory of changes."""
        assert remember_change(FRESH, None, before=1, after=4, now_ns=NOW_NS) == FRESH
