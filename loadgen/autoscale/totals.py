"""Computes replicas from one value: the controller's ReplicaCalculator for Object and External metrics."""

from collections.abc import Iterable, Sequence

from loadgen.autoscale.arithmetic import (
    MAX_INT32,
    MAX_INT64,
    ceil_float,
    divide_float,
    to_int32,
    to_int64,
    wrap_int64,
)
from loadgen.autoscale.replicas import Count, MetricError, Tolerances, Usage
from loadgen.autoscale.rules import Rule
from loadgen.autoscale.state import PodState


def replicas_for_total(
    total_milli: int, target_milli: int, pods: Sequence[PodState], *, current: int, tolerances: Tolerances
) -> Count:
    """Count replicas for a target on one value, of an Object or External metric (`getUsageRatioReplicaCount`).

    From zero replicas the tolerance is ignored, and the count is the ratio, rounded up.

    Raises:
        MetricError: The replicas would change and the selector lists no pods.
    """
    ratio = divide_float(float(total_milli), float(target_milli))
    usage = Usage(ratio=ratio, average_milli=total_milli)
    if current == 0:
        return Count(replicas=to_int32(ceil_float(ratio)), usage=usage, rule=Rule.RATIO)
    if tolerances.contains(ratio):
        return Count(replicas=current, usage=usage, rule=Rule.TOLERANCE)
    if not pods:
        raise MetricError(
            "unable to calculate ready pods: no pods returned by selector while calculating replica count"
        )
    ready = sum(pod.phase == "Running" and pod.ready == "True" for pod in pods)
    return Count(replicas=_capped(ceil_float(ratio * ready)), usage=usage, rule=Rule.RATIO)


def replicas_for_share(
    total_milli: int, target_milli: int, *, status_replicas: int, tolerances: Tolerances, capped: bool
) -> Count:
    """Count replicas for a target per replica on one value.

    `GetObjectPerPodMetricReplicas` converts without a cap, `GetExternalPerPodMetricReplicas` with one.
    """
    ratio = divide_float(float(total_milli), float(target_milli) * status_replicas)
    replicas, rule = status_replicas, Rule.TOLERANCE
    if not tolerances.contains(ratio):
        rule = Rule.RATIO
        exact = ceil_float(divide_float(float(total_milli), float(target_milli)))
        replicas = _capped(exact) if capped else to_int32(exact)
    if capped and float(total_milli) >= float(MAX_INT64):
        average = MAX_INT64
    else:
        average = to_int64(ceil_float(divide_float(float(total_milli), float(status_replicas))))
    return Count(replicas=replicas, usage=Usage(ratio=ratio, average_milli=average), rule=rule)


def _capped(replicas: float) -> int:
    return MAX_INT32 if replicas > MAX_INT32 else to_int32(replicas)


def total_for_value(values_milli: Iterable[int]) -> int:
    """Add up the series of an External metric under a Value target, capped above (`GetExternalMetricReplicas`)."""
    total = 0
    for value in values_milli:
        if value > 0 and total > MAX_INT64 - value:
            return MAX_INT64
        total = wrap_int64(total + value)
    return total


def total_for_share(values_milli: Iterable[int]) -> int:
    """Add up the series of an External metric under an AverageValue target (`GetExternalPerPodMetricReplicas`).

    A total below zero counts as an overflow and becomes the highest int64, so a negative metric scales up.
    """
    total = 0
    for value in values_milli:
        total = wrap_int64(total + value)
        if total < 0:
            return MAX_INT64
    return total
