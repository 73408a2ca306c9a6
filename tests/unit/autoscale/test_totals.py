"""Replica counts from a single value, for Object and External metrics."""

import math

import pytest

from loadgen.autoscale.arithmetic import MAX_INT32, MAX_INT64, MIN_INT32, MIN_INT64
from loadgen.autoscale.replicas import MetricError, Tolerances
from loadgen.autoscale.state import PodState
from loadgen.autoscale.totals import replicas_for_share, replicas_for_total, total_for_share, total_for_value
from support.hpa.builders import pods

TEN_PCT = Tolerances(down_ratio=0.1, up_ratio=0.1)


def total(total_milli, target_milli, pods_, current):
    return replicas_for_total(total_milli, target_milli, pods_, current=current, tolerances=TEN_PCT)


class TestValue:
    @pytest.mark.parametrize(
        ("total_milli", "target_milli", "current", "replicas"),
        [
            (30_000, 10_000, 2, 6),  # 3 · 2
            (11_000, 10_000, 2, 2),  # 1.1: within tolerance
            (11_001, 10_000, 2, 3),  # 1.1001 · 2 = 2.2002
            (9_000, 10_000, 2, 2),  # 0.9: within tolerance
            (4_000, 10_000, 2, 1),  # 0.4 · 2 = 0.8
            (0, 10_000, 2, 0),
            (-5_000, 10_000, 3, -1),  # -0.5 · 3 = -1.5, rounded up
            (2**62, 1, 2, MAX_INT32),  # capped, unlike a Pods metric
            (5_000, 0, 2, MAX_INT32),  # a target that overflowed to 0: the ratio is an infinity
            (0, 0, 2, MIN_INT32),  # 0/0 is NaN
        ],
    )
    def test_the_ratio_scales_the_ready_pods(self, total_milli, target_milli, current, replicas):
        """`getUsageRatioReplicaCount` with as many ready pods as replicas."""
        assert total(total_milli, target_milli, pods(current), current).replicas == replicas

    def test_only_running_and_ready_pods_count(self):
        """With ratio 2 and 2 of 6 pods ready, 4 replicas are proposed: starting pods can cause a scale-down."""
        mixed = (
            *pods(2),
            PodState(name="loading", ready="False"),
            PodState(name="lost", ready="Unknown"),
            PodState(name="new", ready=None),
            PodState(name="pending", phase="Pending"),
        )
        assert total(2000, 1000, mixed, current=6).replicas == 4

    def test_a_deleted_pod_counts_until_it_is_unready(self):
        """`getReadyPodsCount` does not look at the deletion timestamp."""
        leaving = PodState(name="leaving", deleting=True)
        assert total(2000, 1000, (*pods(1), leaving), current=1).replicas == 4

    @pytest.mark.parametrize(
        ("total_milli", "replicas"),
        [
            (0, 0),
            (1, 1),  # ceil(0.001)
            (1000, 1),
            (1050, 2),  # 1.05: the tolerance does not count
            (9001, 10),
            (2**62, MIN_INT32),  # 4.6e15 does not fit, and there is no cap at zero
        ],
    )
    def test_from_zero_the_ratio_is_rounded_up(self, total_milli, replicas):
        """No pods are needed, and no tolerance is applied."""
        assert total(total_milli, 1000, (), current=0).replicas == replicas

    def test_without_pods_only_an_unchanged_count_is_valid(self):
        """The pods are looked up only when the replicas would change."""
        assert total(1050, 1000, (), current=2).replicas == 2
        with pytest.raises(MetricError, match=r"^unable to calculate ready pods: no pods returned by selector"):
            total(2000, 1000, (), current=2)


class TestAverageValue:
    @pytest.mark.parametrize(
        ("total_milli", "target_milli", "exist", "replicas", "average_milli"),
        [
            (30_000, 10_000, 2, 3, 15_000),  # 30 / (10 · 2) = 1.5: ceil(30 / 10)
            (21_000, 10_000, 2, 2, 10_500),  # 1.05: within tolerance
            (22_001, 10_000, 2, 3, 11_001),  # 1.10005: ceil(2.2001); 11000.5 rounded up
            (9_000, 10_000, 2, 1, 4_500),
            (0, 10_000, 2, 0, 0),
            (5, 10_000, 0, 1, MIN_INT64),  # 5 / 0 = +Inf: not within tolerance, ceil(0.0005); the average does not fit
            (0, 10_000, 0, 0, MIN_INT64),  # 0 / 0 = NaN: not within tolerance
        ],
    )
    @pytest.mark.parametrize("capped", [True, False])
    def test_the_total_is_divided_by_the_pods(self, total_milli, target_milli, exist, replicas, average_milli, capped):
        """`GetExternalPerPodMetricReplicas` (capped) and `GetObjectPerPodMetricReplicas`: status.replicas counts."""
        count = replicas_for_share(total_milli, target_milli, status_replicas=exist, tolerances=TEN_PCT, capped=capped)
        assert (count.replicas, count.usage.average_milli) == (replicas, average_milli)

    def test_within_tolerance_the_proposal_is_the_existing_pods(self):
        """The proposal is status.replicas, even if spec.replicas is higher by now."""
        proposal = replicas_for_share(30_000, 10_000, status_replicas=3, tolerances=TEN_PCT, capped=True)
        assert proposal.replicas == 3

    def test_only_external_is_capped(self):
        """2^62 milli over 1 milli: the highest int32 for External, out of range for Object."""
        capped, uncapped = (
            replicas_for_share(2**62, 1, status_replicas=1, tolerances=TEN_PCT, capped=capped)
            for capped in (True, False)
        )
        assert (capped.replicas, uncapped.replicas) == (MAX_INT32, MIN_INT32)

    def test_the_highest_total_is_the_average(self):
        """External reports the highest int64 unchanged, Object divides it: 2^63 / 2 = 2^62."""
        capped, uncapped = (
            replicas_for_share(MAX_INT64, 1, status_replicas=2, tolerances=TEN_PCT, capped=capped)
            for capped in (True, False)
        )
        assert (capped.usage.average_milli, uncapped.usage.average_milli) == (MAX_INT64, 2**62)

    def test_the_ratio_at_zero_pods_is_infinite(self):
        """The proposal has the infinite ratio, which is never within tolerance."""
        count = replicas_for_share(5, 10, status_replicas=0, tolerances=TEN_PCT, capped=True)
        assert count.usage.ratio == math.inf


class TestSum:
    @pytest.mark.parametrize(
        ("series", "value", "share"),
        [
            ([1, 2, 3], 6, 6),
            ([0, 0], 0, 0),
            ([MAX_INT64, 1], MAX_INT64, MAX_INT64),  # capped; wrapped below zero and then capped
            ([-1, 5], 4, MAX_INT64),  # a total below zero on the way is taken for an overflow
            ([5, -1], 4, 4),
            ([-7], -7, MAX_INT64),
            ([MIN_INT64, -1, 1], MAX_INT64, MAX_INT64),  # -2^63 - 1 wraps to the highest, and one more is capped
        ],
    )
    def test_series_add_up(self, series, value, share):
        """A negative External metric with AverageValue becomes the highest int64, which results in maxReplicas."""
        assert (total_for_value(series), total_for_share(series)) == (value, share)
