"""Computes the proposal of each metric from its reading, and combines the proposals of all metrics.

Reasons, conditions and errors have exactly the controller's texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from loadgen.autoscale.replicas import (
    Count,
    MetricError,
    Tolerances,
    group_pods,
    pod_requests_milli,
    replicas_for_average,
    replicas_for_utilization,
)
from loadgen.autoscale.rules import Rule
from loadgen.autoscale.spec import (
    ControllerSettings,
    ExternalMetric,
    LabelSelector,
    MetricSpec,
    ObjectMetric,
    PodsMetric,
    ResourceMetric,
)
from loadgen.autoscale.state import (
    ExternalValues,
    MetricFault,
    ObjectValue,
    PodGroups,
    PodState,
    PodValues,
    Proposal,
    ReadError,
    Reading,
    ResourceSample,
    ResourceSamples,
    ScaleState,
)
from loadgen.autoscale.totals import replicas_for_share, replicas_for_total, total_for_share, total_for_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """Inputs that all metrics of one sync share."""

    namespace: str
    now_s: float
    scale: ScaleState
    pods: Sequence[PodState]
    tolerances: Tolerances
    controller: ControllerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedProposal:
    """The proposals of all metrics and their maximum (`computeReplicasForMetrics`).

    Attributes:
        replicas: The largest proposal; `None` if the metrics are unusable and the replicas do not change.
        metric: Name of the metric with the largest proposal.
        rule: Why that metric proposes it; `None` without a proposal.
        error: Text about the metrics without a proposal; `None` if all have one.
        fault: Fault of the first metric without a proposal.
        proposals: One per metric.
    """

    replicas: int | None
    metric: str = ""
    rule: Rule | None = None
    error: str | None = None
    fault: MetricFault | None = None
    proposals: tuple[Proposal, ...] = ()


def propose_all(metrics: Sequence[MetricSpec], readings: Sequence[Reading], sync: Sync) -> CombinedProposal:
    """Compute the proposals of all metrics and take the largest.

    A failed metric stops the sync only if it might have kept replicas that the other metrics would remove.

    Args:
        metrics: The metrics of the HPA.
        readings: One per metric, in the same order.
        sync: Time, scale, pods and settings.

    Raises:
        ValueError: The numbers of metrics and readings differ.
        TypeError: A reading does not have the kind of its metric.
    """
    proposals = tuple(propose(metric, reading, sync) for metric, reading in zip(metrics, readings, strict=True))
    replicas, name = 0, ""
    rule: Rule | None = None
    for proposal in proposals:
        # As upstream, every later proposal replaces a proposal of 0.
        if proposal.replicas is not None and (replicas == 0 or proposal.replicas > replicas):
            replicas, name, rule = proposal.replicas, proposal.metric, proposal.rule
    faults = [proposal.fault for proposal in proposals if proposal.fault]
    if not faults:
        return CombinedProposal(replicas=replicas, metric=name, rule=rule, proposals=proposals)
    error = f"invalid metrics ({len(faults)} invalid out of {len(metrics)}), first error is: {faults[0].error}"
    if len(faults) == len(metrics) or replicas < sync.scale.spec_replicas:
        return CombinedProposal(replicas=None, error=error, fault=faults[0], proposals=proposals)
    return CombinedProposal(
        replicas=replicas, metric=name, rule=rule, error=error, fault=faults[0], proposals=proposals
    )


def propose(metric: MetricSpec, reading: Reading, sync: Sync) -> Proposal:
    """Compute the proposal of one metric (`computeReplicasForMetric`).

    Args:
        metric: The metric.
        reading: The answer, of the metric's kind, or the error.
        sync: Time, scale, pods and settings.

    Raises:
        TypeError: The reading does not have the kind of the metric.
    """
    match metric:
        case PodsMetric():
            return _propose_pods(metric, reading, sync)
        case ObjectMetric():
            return _propose_object(metric, reading, sync)
        case ExternalMetric():
            return _propose_external(metric, reading, sync)
        case ResourceMetric():
            return _propose_resource(metric, reading, sync)


def _propose_pods(metric: PodsMetric, reading: Reading, sync: Sync) -> Proposal:
    assert metric.target.average_value_milli is not None
    name, prefix = f"pods metric {metric.name}", f"unable to get metric {metric.name}: "
    try:
        values = _answer(reading, PodValues, metric, f"{prefix}unable to fetch metrics from custom metrics API: ").milli
        if not values:
            raise MetricError(f"{prefix}no metrics returned from custom metrics API")
        count = replicas_for_average(
            values,
            _groups(values, None, sync),
            metric.target.average_value_milli,
            current=sync.scale.spec_replicas,
            tolerances=sync.tolerances,
        )
    except MetricError as error:
        return _fault(name, "FailedGetPodsMetric", f"{error}", f"failed to get pods metric value: {error}")
    return _proposal(name, count)


def _propose_object(metric: ObjectMetric, reading: Reading, sync: Sync) -> Proposal:
    target, inner, name = metric.target, "", f"{metric.kind} metric {metric.name}"
    prefix = (
        f"unable to get metric {metric.name} on {metric.kind} {sync.namespace}/{metric.object_name}: "
        "unable to fetch metrics from custom metrics API: "
    )
    try:
        if target.type == "Value" and target.value_milli is not None:
            count = replicas_for_total(
                _answer(reading, ObjectValue, metric, prefix).milli,
                target.value_milli,
                sync.pods,
                current=sync.scale.spec_replicas,
                tolerances=sync.tolerances,
            )
        elif target.type == "AverageValue" and target.average_value_milli is not None:
            # The controller calls this metric external, too.
            name = f"external metric {metric.name}({_text(metric.selector)})"
            inner = f"failed to get {metric.name} object metric: "
            count = replicas_for_share(
                _answer(reading, ObjectValue, metric, prefix).milli,
                target.average_value_milli,
                status_replicas=sync.scale.status_replicas,
                tolerances=sync.tolerances,
                capped=False,
            )
        else:
            raise MetricError(
                "invalid object metric source: neither a value target nor an average value target was set"
            )
    except MetricError as error:
        return _fault(name, "FailedGetObjectMetric", f"{error}", f"failed to get object metric value: {inner}{error}")
    return _proposal(name, count)


def _propose_external(metric: ExternalMetric, reading: Reading, sync: Sync) -> Proposal:
    target, selector = metric.target, _text(metric.selector)
    name = f"external metric {metric.name}({selector})"
    prefix = f"unable to get external metric {sync.namespace}/{metric.name}/{selector}: "
    per_pod = target.average_value_milli is not None
    try:
        values = _answer(
            reading, ExternalValues, metric, f"{prefix}unable to fetch metrics from external metrics API: "
        ).milli
        if not values:
            raise MetricError(f"{prefix}no metrics returned from external metrics API")
        if target.average_value_milli is not None:
            count = replicas_for_share(
                total_for_share(values),
                target.average_value_milli,
                status_replicas=sync.scale.status_replicas,
                tolerances=sync.tolerances,
                capped=True,
            )
        else:
            assert target.value_milli is not None
            count = replicas_for_total(
                total_for_value(values),
                target.value_milli,
                sync.pods,
                current=sync.scale.spec_replicas,
                tolerances=sync.tolerances,
            )
    except MetricError as error:
        inner = f"{metric.name} external metric" if per_pod else f"external metric {metric.name}"
        outer = f"failed to get {metric.name} external metric value: failed to get {inner}: {error}"
        return _fault(name, "FailedGetExternalMetric", f"{error}", outer)
    return _proposal(name, count)


def _propose_resource(metric: ResourceMetric, reading: Reading, sync: Sync) -> Proposal:
    target, resource = metric.target, metric.resource
    source = "resource" if metric.container is None else "container resource"
    name = f"{resource} resource"
    if target.average_utilization_pct is not None:
        name = f"{resource} {source} utilization (percentage of request)"
    prefix = f"unable to get metrics for resource {resource}: "
    try:
        samples = _answer(
            reading, ResourceSamples, metric, f"{prefix}unable to fetch metrics from resource metrics API: "
        ).by_pod
        if not samples:
            raise MetricError(f"{prefix}no metrics returned from resource metrics API")
        values = {name: sample.value_milli for name, sample in samples.items() if sample.value_milli is not None}
        groups = _groups(values, samples if resource == "cpu" else None, sync)
        if target.average_value_milli is not None:
            count = replicas_for_average(
                values,
                groups,
                target.average_value_milli,
                current=sync.scale.spec_replicas,
                tolerances=sync.tolerances,
            )
        else:
            assert target.average_utilization_pct is not None
            count = replicas_for_utilization(
                values,
                groups,
                lambda: pod_requests_milli(sync.pods, resource, metric.container),
                target.average_utilization_pct,
                current=sync.scale.spec_replicas,
                tolerances=sync.tolerances,
            )
    except MetricError as error:
        measure = "utilization" if target.average_value_milli is None else "usage"
        inner = f"failed to get {resource} {measure}: {error}"
        if metric.container is None:
            return _fault(
                name, "FailedGetResourceMetric", inner, f"failed to get {resource} resource metric value: {inner}"
            )
        outer = f"failed to get {metric.container} container metric value: {inner}"
        return _fault(name, "FailedGetContainerResourceMetric", inner, outer)
    return _proposal(name, count)


_Answer = TypeVar("_Answer", PodValues, ObjectValue, ExternalValues, ResourceSamples)


def _answer(reading: Reading, kind: type[_Answer], metric: MetricSpec, failed: str) -> _Answer:
    if isinstance(reading, ReadError):
        raise MetricError(f"{failed}{reading.message}")
    if not isinstance(reading, kind):
        raise TypeError(f"a {type(metric).__name__} is read as {kind.__name__}, not as {type(reading).__name__}")
    return reading


def _groups(values: Mapping[str, int], cpu: Mapping[str, ResourceSample] | None, sync: Sync) -> PodGroups:
    if not sync.pods:
        raise MetricError("no pods returned by selector while calculating replica count")
    return group_pods(sync.pods, values, cpu, now_s=sync.now_s, controller=sync.controller)


def _text(selector: LabelSelector | None) -> str:
    return "nil" if selector is None else str(selector)


def _proposal(metric: str, count: Count) -> Proposal:
    return Proposal(
        metric=metric,
        replicas=count.replicas,
        current_milli=count.usage.average_milli,
        utilization_pct=count.usage.utilization_pct,
        ratio=count.usage.ratio,
        adjusted_ratio=count.adjusted_ratio,
        pods=count.pods,
        rule=count.rule,
    )


def _fault(metric: str, reason: str, message: str, error: str) -> Proposal:
    return Proposal(metric=metric, fault=MetricFault(reason=reason, message=message, error=error))
