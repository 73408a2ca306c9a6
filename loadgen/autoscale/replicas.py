"""Computes replicas from one value per pod: the controller's ReplicaCalculator for Pods and Resource metrics.

All values are int64 milli. Averages drop the fraction of a milli before the ratio is formed. A ratio divides two
float64 (`float(a) / float(b)`), which differs from Python's exact `a / b` above 2^53.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from loadgen.autoscale.arithmetic import (
    ceil_float,
    divide_float,
    divide_int,
    to_int32,
    wrap_int32,
    wrap_int64,
)
from loadgen.autoscale.rules import Rule
from loadgen.autoscale.spec import Behavior, ControllerSettings
from loadgen.autoscale.state import PodGroups, PodState, ResourceSample, to_ns


class MetricError(Exception):
    """The metric gives no replica count; events quote the text, which is the controller's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """The range around ratio 1, both ends included, in which the replicas do not change."""

    down_ratio: float
    up_ratio: float

    def contains(self, ratio: float) -> bool:
        """Return whether the ratio is within the range; NaN never is (`isWithin`)."""
        return 1.0 - self.down_ratio <= ratio <= 1.0 + self.up_ratio


def tolerances_for(behavior: Behavior | None, controller: ControllerSettings) -> Tolerances:
    """Return the HPA's own tolerances, or the controller's for a side without one (`tolerancesForHpa`)."""
    up = behavior.scale_up.tolerance_ratio if behavior else None
    down = behavior.scale_down.tolerance_ratio if behavior else None
    default = controller.tolerance_ratio
    return Tolerances(
        down_ratio=default if down is None else down,
        up_ratio=default if up is None else up,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Average of the pods' values and its ratio to the target."""

    ratio: float
    average_milli: int
    utilization_pct: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A replica count and how it was computed; the fields are those of `Proposal`."""

    replicas: int
    usage: Usage
    rule: Rule
    adjusted_ratio: float | None = None
    pods: PodGroups | None = None


def group_pods(
    pods: Iterable[PodState],
    values: Mapping[str, int],
    samples: Mapping[str, ResourceSample] | None = None,
    *,
    now_s: float,
    controller: ControllerSettings,
) -> PodGroups:
    """Sort pods into ready, unready, missing and ignored (`groupPods`).

    Readiness counts only for CPU. For every other metric a Running pod with a value is ready, independent of its probe,
    and a Running pod without a value is missing.

    Args:
        pods: All pods that the selector matches.
        values: Milli value per pod name.
        samples: For CPU, time and window of each value; `None` for other metrics.
        now_s: Time of the sync, on the axis of the pods' times.
        controller: The CPU periods.
    """
    ready = 0
    unready, missing, ignored = [], [], []
    for pod in pods:
        if pod.deleting or pod.phase == "Failed":
            ignored.append(pod.name)
        elif pod.phase == "Pending":
            unready.append(pod.name)
        elif pod.name not in values:
            missing.append(pod.name)
        elif samples is not None and _cpu_unready(pod, samples[pod.name], now_s, controller):
            unready.append(pod.name)
        else:
            ready += 1
    return PodGroups(ready=ready, unready=tuple(unready), missing=tuple(missing), ignored=tuple(ignored))


def _cpu_unready(pod: PodState, sample: ResourceSample, now_s: float, controller: ControllerSettings) -> bool:
    if pod.ready is None or pod.start_s is None:
        return True
    since_ns = -math.inf if pod.ready_since_s is None else to_ns(pod.ready_since_s)
    start_ns = to_ns(pod.start_s)
    if start_ns + to_ns(controller.cpu_initialization_period_s) > to_ns(now_s):
        window_unfinished = to_ns(sample.at_s) < since_ns + to_ns(sample.window_s)
        return pod.ready == "False" or window_unfinished
    never_ready = start_ns + to_ns(controller.initial_readiness_delay_s) > since_ns
    return pod.ready == "False" and never_ready


def replicas_for_average(
    values: Mapping[str, int],
    groups: PodGroups,
    target_milli: int,
    *,
    current: int,
    tolerances: Tolerances,
) -> Count:
    """Count replicas for a target per pod, of a Pods or Resource metric (`calcPlainMetricReplicas`).

    Raises:
        MetricError: No value is left without the ignored and unready pods.
    """

    def measure(usable: Mapping[str, int]) -> Usage:
        # `GetMetricUsageRatio`
        average = divide_int(wrap_int64(sum(usable.values())), len(usable))
        return Usage(ratio=divide_float(float(average), float(target_milli)), average_milli=average)

    return _damped(_usable(values, groups), groups, measure, lambda _: target_milli, current, tolerances)


def replicas_for_utilization(
    values: Mapping[str, int],
    groups: PodGroups,
    requests_milli: Callable[[], Mapping[str, int]],
    target_pct: int,
    *,
    current: int,
    tolerances: Tolerances,
) -> Count:
    """Count replicas for a target in percent of the pods' requests (`GetResourceReplicas`).

    Raises:
        MetricError: No value is usable, a request is missing, or all requests are zero.
    """
    usable = _usable(values, groups)
    requests = requests_milli()

    def measure(usable: Mapping[str, int]) -> Usage:
        # `GetResourceUtilizationRatio`
        known = [name for name in usable if name in requests]
        total = wrap_int64(sum(usable[name] for name in known))
        requested = wrap_int64(sum(requests[name] for name in known))
        if requested == 0:
            raise MetricError("no metrics returned matched known pods")
        utilization = wrap_int32(divide_int(wrap_int64(total * 100), requested))
        return Usage(
            ratio=utilization / target_pct,
            average_milli=divide_int(total, len(known)),
            utilization_pct=utilization,
        )

    def larger_of_request_and_target(name: str) -> int:
        return divide_int(wrap_int64(requests[name] * max(100, target_pct)), 100)

    return _damped(usable, groups, measure, larger_of_request_and_target, current, tolerances)


def _usable(values: Mapping[str, int], groups: PodGroups) -> dict[str, int]:
    # As upstream, values of pods that the selector does not match are used.
    dropped = {*groups.ignored, *groups.unready}
    usable = {name: value for name, value in values.items() if name not in dropped}
    if not usable:
        raise MetricError("did not receive metrics for targeted pods (pods might be unready)")
    return usable


def _damped(
    values: dict[str, int],
    groups: PodGroups,
    measure: Callable[[Mapping[str, int]], Usage],
    fill_milli: Callable[[str], int],
    current: int,
    tolerances: Tolerances,
) -> Count:
    """Scale by the ratio; pods of unknown load can only reduce a change, never cause or reverse one."""
    usage = measure(values)
    within = tolerances.contains(usage.ratio)
    rule = Rule.TOLERANCE if within else Rule.RATIO
    unadjusted = current if within else to_int32(ceil_float(usage.ratio * groups.ready))
    rising_with_unready = bool(groups.unready) and usage.ratio > 1.0
    if not rising_with_unready and not groups.missing:
        return Count(replicas=unadjusted, usage=usage, rule=rule, pods=groups)

    filled = dict(values)
    if usage.ratio < 1.0:
        filled |= {name: fill_milli(name) for name in groups.missing}
    elif usage.ratio > 1.0:
        filled |= dict.fromkeys(groups.missing, 0)
    if rising_with_unready:
        filled |= dict.fromkeys(groups.unready, 0)

    ratio = measure(filled).ratio
    crossed = (usage.ratio < 1.0 < ratio) or (ratio < 1.0 < usage.ratio)
    replicas = to_int32(ceil_float(ratio * len(filled)))
    opposite = (ratio < 1.0 and replicas > current) or (ratio > 1.0 and replicas < current)
    if tolerances.contains(ratio) or crossed or opposite:
        replicas = current
    if replicas != unadjusted or (replicas == current and not within):
        rule = Rule.PODS
    return Count(replicas=replicas, usage=usage, rule=rule, adjusted_ratio=ratio, pods=groups)


def pod_requests_milli(pods: Iterable[PodState], resource: str, container: str | None) -> dict[str, int]:
    """Return each pod's request of a resource, in milli (`calculateRequests`).

    Raises:
        MetricError: A pod, even an unready or ignored one, lacks the request or the container.
    """
    requests = {}
    for pod in pods:
        if pod.pod_requests_milli is not None and container is None:
            if resource not in pod.pod_requests_milli:
                raise MetricError(f"missing pod-level request for {resource} in Pod {pod.name}")
            requests[pod.name] = pod.pod_requests_milli[resource]
            continue
        chosen = [each for each in pod.containers if container is None or each.name == container]
        if container is not None and not chosen:
            raise MetricError(f"container {container} not found in Pod {pod.name}")
        for each in chosen:
            if resource not in each.requests_milli:
                raise MetricError(f"missing request for {resource} in container {each.name} of Pod {pod.name}")
        requests[pod.name] = wrap_int64(sum(each.requests_milli[resource] for each in chosen))
    return requests
