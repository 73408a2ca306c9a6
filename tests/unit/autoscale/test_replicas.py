"""Replica counts from a value per pod. Comments have the arithmetic; `current` is spec.replicas."""

import pytest

from loadgen.autoscale.arithmetic import MAX_INT64
from loadgen.autoscale.replicas import (
    MetricError,
    Tolerances,
    group_pods,
    pod_requests_milli,
    replicas_for_average,
    replicas_for_utilization,
    tolerances_for,
)
from loadgen.autoscale.spec import DEFAULT_CONTROLLER, ControllerSettings
from loadgen.autoscale.state import Container, PodGroups, PodState, ResourceSample
from support.hpa.builders import NOW_S, behavior, pods, values

TEN_PCT = Tolerances(down_ratio=0.1, up_ratio=0.1)


def groups(ready=0, unready=(), missing=(), ignored=()):
    return PodGroups(ready=ready, unready=tuple(unready), missing=tuple(missing), ignored=tuple(ignored))


def average(milli, groups_=None, target_milli=1000, current=None, tolerances=TEN_PCT):
    named = values(*milli).milli
    return replicas_for_average(
        named,
        groups_ or groups(ready=len(named)),
        target_milli,
        current=len(milli) if current is None else current,
        tolerances=tolerances,
    )


class TestTolerance:
    @pytest.mark.parametrize(
        ("ratio", "within"),
        [
            (1.0, True),
            (1.1, True),  # 1 + 0.1 is 1.1 in float64; before v1.33 abs(1 - 1.1) = 0.10000000000000009 was over 0.1
            (1.1000000000000003, False),
            (0.9, True),  # 1 - 0.1 is 0.9
            (0.8999999999999999, False),
            (float("nan"), False),
            (float("inf"), False),
        ],
    )
    def test_both_ends_are_within_the_tolerance(self, ratio, within):
        """`isWithin`: 1 - down <= ratio <= 1 + up."""
        assert TEN_PCT.contains(ratio) is within

    def test_the_hpa_overrides_each_direction_separately(self):
        """`tolerancesForHpa`: a direction without a tolerance uses the controller's flag."""
        controller = ControllerSettings(tolerance_ratio=0.2)
        only_up = behavior(up={"tolerance_ratio": 0.0})
        assert tolerances_for(None, controller) == Tolerances(down_ratio=0.2, up_ratio=0.2)
        assert tolerances_for(behavior(), controller) == Tolerances(down_ratio=0.2, up_ratio=0.2)
        assert tolerances_for(only_up, controller) == Tolerances(down_ratio=0.2, up_ratio=0.0)
        assert tolerances_for(behavior(down={"tolerance_ratio": 0.5}), controller) == Tolerances(
            down_ratio=0.5, up_ratio=0.2
        )

    @pytest.mark.parametrize(
        ("down", "up", "milli", "replicas"),
        [
            (0.1, 0.1, 1100, 4),  # 1.1: within tolerance
            (0.1, 0.05, 1100, 5),  # 1.1 > 1.05: ceil(1.1·4) = 5
            (0.1, 0.1, 800, 4),  # 0.8: ceil(3.2) = 4, no change although outside
            (0.1, 0.1, 700, 3),  # ceil(2.8)
            (0.3, 0.1, 700, 4),  # 1 - 0.3 = 0.7: within tolerance
            (0.0, 0.0, 1001, 5),  # 1.001: ceil(4.004) = 5
            (0.0, 0.0, 1000, 4),
        ],
    )
    def test_each_direction_has_its_tolerance(self, down, up, milli, replicas):
        """Four pods with the same value and a target of 1."""
        tolerances = Tolerances(down_ratio=down, up_ratio=up)
        assert average([milli] * 4, tolerances=tolerances).replicas == replicas


class TestAverage:
    @pytest.mark.parametrize(
        ("milli", "target_milli", "replicas", "average_milli"),
        [
            ([3000, 3000], 1500, 4, 3000),  # 3/1.5 = 2 · 2
            ([2001, 2000], 1000, 4, 2000),  # 4001 / 2 = 2000 milli: the half is dropped before the ratio
            ([1999, 1000], 1, 2998, 1499),  # 2999 / 2 = 1499 / 1 · 2
            ([500, 0, 0], 1000, 1, 166),  # 0.166 · 3 = 0.498
            ([0, 0, 0], 1000, 0, 0),
            ([-1500, 0], 1000, -1, -750),  # -750 / 1000 · 2 = -1.5, rounded up
            ([-1, 0], 1000, 0, 0),  # -1 / 2 is 0, toward zero
            ([1000] * 7 + [1900], 1000, 9, 1112),  # 8900 / 8 = 1112 (.5 dropped): 1.112 · 8 = 8.896
        ],
    )
    def test_the_ratio_of_the_average_scales_the_pods_that_have_a_value(
        self, milli, target_milli, replicas, average_milli
    ):
        """`calcPlainMetricReplicas` without missing or unready pods."""
        count = average(milli, target_milli=target_milli)
        assert (count.replicas, count.usage.average_milli) == (replicas, average_milli)
        assert count.adjusted_ratio is None

    def test_surge_pods_count(self):
        """Five pods at ratio 0.8 result in 4 replicas although spec.replicas is 3: a scale-up below target."""
        assert average([800] * 5, current=3).replicas == 4

    def test_a_value_of_an_unknown_pod_only_changes_the_average(self):
        """Values 3, 3 and 0 of an unknown pod: (6 / 3) = 2 times the 2 ready pods."""
        assert average([3000, 3000, 0], groups(ready=2), current=2).replicas == 4

    def test_the_sum_wraps_like_int64(self):
        """Two times the highest int64 is -2: ratio 0 (-2 / 2 = -1 milli), rounded up to 0 replicas."""
        count = average([MAX_INT64, MAX_INT64])
        assert (count.replicas, count.usage.average_milli) == (0, -1)

    def test_a_ratio_beyond_int32_is_the_lowest_integer(self):
        """2^62 / 1 · 1 is out of range of int32, and Pods metrics are not capped."""
        assert average([2**62], target_milli=1).replicas == -(2**31)

    def test_large_values_lose_digits_before_the_division(self):
        """(2^53 + 1) / 2^53 is 1 in float64, which is within a tolerance of 0."""
        zero = Tolerances(down_ratio=0.0, up_ratio=0.0)
        assert average([2**53 + 1], target_milli=2**53, tolerances=zero).usage.ratio == 1.0

    def test_no_usable_value_is_an_error(self):
        """All values belong to unready or ignored pods."""
        with pytest.raises(MetricError, match=r"did not receive metrics for targeted pods \(pods might be unread"):
            average([1000, 1000], groups(unready=["p0"], ignored=["p1"]))


class TestMissingAndUnready:
    @pytest.mark.parametrize(
        ("milli", "groups_", "current", "replicas", "adjusted"),
        [
            # one busy pod, three that load their model: 3/4 reverses the direction, so no change
            ([3000, None, None, None], groups(1, missing=["p1", "p2", "p3"]), 4, 4, 0.75),
            # two busy pods at 4, one missing: 8/3 = 2.666 · 3
            ([4000, 4000, None], groups(2, missing=["p2"]), 3, 8, 2.666),
            # 3.3/3 = 1.1 with the missing pod: within tolerance
            ([1650, 1650, None], groups(2, missing=["p2"]), 3, 3, 1.1),
            # down: the missing pod counts as exactly on target: (0.2 + 0.2 + 1) / 3 = 0.466 · 3 = 1.4
            ([200, 200, None], groups(2, missing=["p2"]), 3, 2, 0.466),
            # ... and can prevent the change: (0.5 + 1 + 1 + 1) / 4 = 0.875 · 4 = 3.5
            ([500, None, None, None], groups(1, missing=["p1", "p2", "p3"]), 4, 4, 0.875),
            # a ratio of exactly 1 assumes no values and is within tolerance
            ([1000, None], groups(1, missing=["p1"]), 2, 2, 1.0),
            # unready counts as 0 on the way up: (3 + 3 + 0) / 3 = 2 · 3
            ([3000, 3000], groups(2, unready=["p2"]), 3, 6, 2.0),
            # ... and is left out on the way down: 0.4 · 2 = 0.8
            ([400, 400], groups(2, unready=["p2"]), 3, 1, None),
            # ... and at ratio 1 exactly
            ([1000, 1000], groups(2, unready=["p2"]), 3, 3, None),
            # both: (6 + 0 + 0) / 3 = 2 · 3
            ([6000, None], groups(1, missing=["p1"], unready=["p2"]), 3, 6, 2.0),
            # down with both, unready is left out: (0.2 + 1) / 2 = 0.6 · 2 = 1.2
            ([200, None], groups(1, missing=["p1"], unready=["p2"]), 3, 2, 0.6),
            # below target, but more pods than replicas: 0.5 · 6 = 3 > 2 would scale up, so no change
            ([0, 0, 0, None, None, None], groups(3, missing=["p3", "p4", "p5"]), 2, 2, 0.5),
            # above target, but fewer pods than replicas: 1.5 · 2 = 3 < 5 would scale down, so no change
            ([3000, None], groups(1, missing=["p1"]), 5, 5, 1.5),
        ],
    )
    def test_pods_of_unknown_load_dampen_a_change(self, milli, groups_, current, replicas, adjusted):
        """They count as on target when scaling down and as 0 when scaling up, and never reverse the direction."""
        count = average(milli, groups_, current=current)
        assert (count.replicas, count.adjusted_ratio) == (replicas, adjusted)

    def test_the_reported_value_has_no_assumed_values(self):
        """`status.currentMetrics` has the average of the measured values."""
        assert average([4000, 4000, None], groups(2, missing=["p2"])).usage.average_milli == 4000


class TestGroups:
    @pytest.mark.parametrize(
        ("fields", "has_value", "group"),
        [
            ({}, True, "ready"),
            ({}, False, "missing"),
            ({"ready": "False"}, True, "ready"),  # readiness does not count for custom metrics
            ({"ready": "False"}, False, "missing"),
            ({"phase": "Pending"}, True, "unready"),
            ({"phase": "Pending"}, False, "unready"),
            ({"phase": "Failed"}, True, "ignored"),
            ({"phase": "Pending", "deleting": True}, True, "ignored"),
            ({"deleting": True}, False, "ignored"),
            ({"phase": "Succeeded"}, True, "ready"),  # as upstream: only Failed is out
            ({"phase": "Unknown"}, False, "missing"),
        ],
    )
    def test_a_pod_is_grouped_by_phase_and_value(self, fields, has_value, group):
        """`groupPods` for a Pods metric."""
        result = group_pods(
            pods(1, **fields), {"p0": 1} if has_value else {}, now_s=NOW_S, controller=DEFAULT_CONTROLLER
        )
        expected = {"ready": 0, "unready": (), "missing": (), "ignored": ()}
        expected[group] = 1 if group == "ready" else ("p0",)
        assert result == PodGroups(**expected)

    @pytest.mark.parametrize(
        ("ready", "start_ago_s", "ready_ago_s", "sample_ago_s", "group"),
        [
            # within the initialization period of 300 s
            ("True", 299, 200, 30, "ready"),  # sampled 30 s ago, its window of 60 s began after readiness
            ("True", 299, 61, 0, "ready"),
            ("True", 299, 60, 0, "ready"),  # a window as old as readiness is enough
            ("True", 299, 59, 0, "unready"),  # the window of 60 s reaches back before readiness
            ("False", 299, 200, 0, "unready"),
            ("Unknown", 299, 200, 0, "ready"),  # only False is unready
            # after it: unready only if it never was ready, that is, not ready since the first 30 s
            ("True", 300, 0, 0, "ready"),
            ("False", 301, 271, 0, "ready"),  # became unready 30 s after the start: it had been ready
            ("False", 301, 272, 0, "unready"),  # 29 s after
            ("False", 301, None, 0, "unready"),
            # unknown
            (None, 301, None, 0, "unready"),
            ("True", None, 100, 0, "unready"),
        ],
    )
    def test_cpu_has_its_own_readiness_rules(self, ready, start_ago_s, ready_ago_s, sample_ago_s, group):
        """CPU usage during the start of a pod does not show its load, so such pods are unready."""
        pod = PodState(
            name="p0",
            ready=ready,
            start_s=None if start_ago_s is None else NOW_S - start_ago_s,
            ready_since_s=None if ready_ago_s is None else NOW_S - ready_ago_s,
        )
        sample = ResourceSample(value_milli=1, at_s=NOW_S - sample_ago_s, window_s=60)
        result = group_pods([pod], {"p0": 1}, {"p0": sample}, now_s=NOW_S, controller=DEFAULT_CONTROLLER)
        assert result == (groups(ready=1) if group == "ready" else groups(unready=["p0"]))


class TestUtilization:
    @staticmethod
    def count(milli, requests, groups_=None, target_pct=50, current=None):
        named = values(*milli).milli
        return replicas_for_utilization(
            named,
            groups_ or groups(ready=len(named)),
            lambda: {f"p{number}": request for number, request in enumerate(requests)},
            target_pct,
            current=len(milli) if current is None else current,
            tolerances=TEN_PCT,
        )

    @pytest.mark.parametrize(
        ("milli", "requests", "target_pct", "replicas", "utilization"),
        [
            ([800, 800], [1000, 1000], 50, 4, 80),  # 80 / 50 = 1.6 · 2 = 3.2
            ([300, 900], [1000, 500], 40, 4, 80),  # 1200 / 1500 = 80 %: 2 · 2, sums and not means of ratios
            ([559, 559], [1000, 1000], 50, 2, 55),  # 55.9 % is 55: 1.1: within tolerance
            ([560, 560], [1000, 1000], 50, 3, 56),  # 1.12 · 2 = 2.24
            ([100, 0, 0], [1000, 1000, 1000], 50, 1, 3),  # 3 / 50 · 3 = 0.18
        ],
    )
    def test_whole_percent_over_the_target_scale_the_ready_pods(
        self, milli, requests, target_pct, replicas, utilization
    ):
        """`GetResourceReplicas`: the percentage is an integer before the ratio is formed."""
        count = self.count(milli, requests, target_pct=target_pct)
        assert (count.replicas, count.usage.utilization_pct) == (replicas, utilization)
        assert count.usage.average_milli == sum(milli) // len(milli)

    @pytest.mark.parametrize(
        ("milli", "target_pct", "replicas", "adjusted"),
        [
            # down: the missing pod at 100 % of its request: (100 + 1000) / 2000 = 55 % / 50: reversed, so no change
            ([100, None], 50, 2, 1.1),
            # ... or at the target where that is higher: (100 + 2000) / 2000 = 105 % / 200 = 0.525 · 2 = 1.05
            ([100, None], 200, 2, 0.525),
            # up: at 0: 900 / 2000 = 45 % / 20 = 2.25 · 2 = 4.5
            ([900, None], 20, 5, 2.25),
        ],
    )
    def test_a_missing_pod_uses_all_of_its_request_or_nothing(self, milli, target_pct, replicas, adjusted):
        """One pod is measured and one is missing, and both request one core."""
        count = self.count(milli, [1000, 1000], groups(1, missing=["p1"]), target_pct=target_pct)
        assert (count.replicas, count.adjusted_ratio) == (replicas, adjusted)

    def test_values_without_a_known_pod_do_not_count(self):
        """A value of an unknown pod is left out of the ratio: 80 % / 50 · 2 = 3.2."""
        assert self.count([800, 800, 99_999], [1000, 1000], groups(ready=2), current=2).replicas == 4

    def test_requests_of_zero_are_an_error(self):
        """A percentage of a request of zero is undefined."""
        with pytest.raises(MetricError, match="no metrics returned matched known pods"):
            self.count([5], [0])


class TestRequests:
    POD = PodState(
        name="p0",
        containers=(
            Container(name="server", requests_milli={"cpu": 2000, "memory": 5000}),
            Container(name="sidecar", requests_milli={"cpu": 100}),
        ),
    )

    def test_containers_add_up(self):
        """The request of a pod is the sum of all containers, including restartable init containers."""
        assert pod_requests_milli([self.POD], "cpu", None) == {"p0": 2100}

    def test_one_container_counts_alone(self):
        """A ContainerResource metric only uses its container."""
        assert pod_requests_milli([self.POD], "memory", "server") == {"p0": 5000}

    def test_requests_of_the_pod_come_before_those_of_containers(self):
        """`spec.resources` of the pod has precedence, unless the metric is for a container."""
        pod = PodState(name="p0", containers=self.POD.containers, pod_requests_milli={"cpu": 9000})
        assert pod_requests_milli([pod], "cpu", None) == {"p0": 9000}
        assert pod_requests_milli([pod], "cpu", "sidecar") == {"p0": 100}
        with pytest.raises(MetricError, match="missing pod-level request for memory in Pod p0"):
            pod_requests_milli([pod], "memory", None)

    def test_one_container_without_a_request_fails_the_metric(self):
        """With a Utilization target, a sidecar without requests stops the HPA."""
        with pytest.raises(MetricError, match="missing request for memory in container sidecar of Pod p0"):
            pod_requests_milli([self.POD], "memory", None)

    def test_an_unknown_container_fails_the_metric(self):
        """The message has the container and the pod."""
        with pytest.raises(MetricError, match="container gpu not found in Pod p0"):
            pod_requests_milli([self.POD], "cpu", "gpu")
