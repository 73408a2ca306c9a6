"""Reads HorizontalPodAutoscalers and ScaledObjects alike: what they scale, on which metrics, within which bounds."""

import math
import re
from dataclasses import dataclass
from typing import Any

from loadgen.autoscale.manifest import parse_hpa
from loadgen.autoscale.spec import ExternalMetric, HpaSpec, MetricSpec, ObjectMetric, PodsMetric, ResourceMetric
from loadgen.base.errors import SettingsError
from loadgen.kube.objects.fields.autoscalers import AnyHpa, ScaledObject, Trigger
from loadgen.lint.objects import Object, Objects
from loadgen.lint.old_hpas import as_v2


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of an autoscaler.

    Attributes:
        field: Path of the metric in its object.
        type: `Pods`, `Object`, `External` or `Resource`; `Trigger` for a query of KEDA.
        name: Name of the series, of the resource, or of the type of trigger.
        target_type: `Value`, `AverageValue` or `Utilization`.
        target: The target; None where it cannot be read.
        query: The query of a trigger; empty for any other metric, and for a trigger without one.
    """

    field: str
    type: str
    name: str
    target_type: str
    target: float | None
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaler:
    """An HPA, or the ScaledObject from which KEDA makes one.

    Attributes:
        object: The object.
        target: Kind and name of the workload.
        least: Least number of replicas.
        metrics: Its metrics.
        spec: Bounds and behavior as the HPA controller has them; None where the API server refuses them.
        problem: Why it refuses them; empty if it does not.
        behavior_field: Path of the behavior.
    """

    object: Object[Any]
    target: tuple[str, str]
    least: int
    metrics: tuple[Metric, ...]
    spec: HpaSpec | None
    problem: str
    behavior_field: str

    def scales(self, workload: Object[Any]) -> bool:
        """Whether a workload is its target."""
        return (self.object.namespace, *self.target) == (workload.namespace, workload.kind, workload.name)


def autoscalers_of(objects: Objects) -> list[Autoscaler]:
    """Return the autoscalers of an input; the HPA that KEDA makes for a ScaledObject is none of its own."""
    scaled = [each for each in objects.of("ScaledObject") if each.fields.spec.scaleTargetRef is not None]
    hpas = [
        hpa
        for hpa in objects.of("HorizontalPodAutoscaler")
        if not any(hpa.namespace == each.namespace and _is_made_from(hpa, each) for each in scaled)
    ]
    return [*map(_of_hpa, hpas), *map(_of_scaled_object, scaled)]


def _is_made_from(hpa: Object[AnyHpa], scaled: Object[ScaledObject]) -> bool:
    """Whether KEDA made an HPA from a ScaledObject."""
    owners = {each.name for each in hpa.fields.metadata.ownerReferences if each.kind == "ScaledObject"}
    names = (f"keda-hpa-{scaled.name}", scaled.fields.spec.advanced.horizontalPodAutoscalerConfig.name)
    return scaled.name in owners or hpa.name in names


def _of_hpa(hpa: Object[AnyHpa]) -> Autoscaler:
    reference = hpa.fields.spec.scaleTargetRef
    spec, problem = _spec(as_v2({key: value for key, value in hpa.raw.items() if key != "status"}))
    return Autoscaler(
        object=hpa,
        target=(reference.kind, reference.name),
        least=spec.lowest if spec else 1,
        metrics=tuple(_of_metric(number, each) for number, each in enumerate(spec.metrics)) if spec else (),
        spec=spec,
        problem=problem,
        behavior_field="spec.behavior",
    )


def _of_metric(number: int, metric: MetricSpec) -> Metric:
    field = f"spec.metrics[{number}]"
    match metric:
        case ResourceMetric():
            name, type_ = metric.resource, "Resource"
        case PodsMetric():
            name, type_ = metric.name, "Pods"
        case ObjectMetric():
            name, type_ = metric.name, "Object"
        case ExternalMetric():
            name, type_ = metric.name, "External"
    target = metric.target
    per_mille = target.value_milli if target.average_value_milli is None else target.average_value_milli
    used = "Value" if target.average_value_milli is None else "AverageValue"
    if type_ == "Object" and target.type != "Utilization":
        per_mille = target.value_milli if target.type == "Value" else target.average_value_milli
        used = target.type
    if target.average_utilization_pct is not None:
        return Metric(
            field=field, type=type_, name=name, target_type="Utilization", target=float(target.average_utilization_pct)
        )
    return Metric(
        field=field, type=type_, name=name, target_type=used, target=None if per_mille is None else per_mille / 1000
    )


def _of_scaled_object(scaled: Object[ScaledObject]) -> Autoscaler:
    given = scaled.fields.spec
    assert given.scaleTargetRef is not None
    target = (given.scaleTargetRef.kind, given.scaleTargetRef.name)
    behavior = given.advanced.horizontalPodAutoscalerConfig.behavior
    # KEDA takes the fleet to and from zero itself, and makes an HPA for one replica and more
    spec, problem = _spec(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "keda", "namespace": "default"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": target[0], "name": target[1]},
                "minReplicas": max(1, given.minReplicaCount),
                "maxReplicas": given.maxReplicaCount,
                **({} if behavior is None else {"behavior": behavior}),
            },
        }
    )
    return Autoscaler(
        object=scaled,
        target=target,
        least=0 if given.idleReplicaCount == 0 else given.minReplicaCount,
        metrics=tuple(_of_trigger(number, each) for number, each in enumerate(given.triggers)),
        spec=spec,
        problem=problem,
        behavior_field="spec.advanced.horizontalPodAutoscalerConfig.behavior",
    )


def _of_trigger(number: int, trigger: Trigger) -> Metric:
    field = f"spec.triggers[{number}]"
    if trigger.type in ("cpu", "memory"):
        return Metric(
            field=field,
            type="Resource",
            name=trigger.type,
            target_type=trigger.metricType,
            target=finite_number(trigger.metadata.get("value", "")),
        )
    return Metric(
        field=field,
        type="Trigger",
        name=trigger.type,
        target_type=trigger.metricType,
        target=finite_number(trigger.metadata.get("threshold", "")),
        query=trigger.metadata.get("query", "") if trigger.type == "prometheus" else "",
    )


def finite_number(text: str) -> float | None:
    """Return the number in a text; None if it is not one, or not finite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _spec(manifest: dict[str, Any]) -> tuple[HpaSpec | None, str]:
    try:
        return parse_hpa(manifest), ""
    except SettingsError as error:
        return None, re.sub(r"^the HPA manifest is wrong at ", "", str(error))
