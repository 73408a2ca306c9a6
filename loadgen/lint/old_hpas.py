"""Converts HPAs of API versions that Kubernetes no longer serves to autoscaling/v2, so that rules can read them."""

from collections.abc import Mapping
from typing import Any

_V2 = "autoscaling/v2"


def as_v2(hpa: Mapping[str, Any]) -> dict[str, Any]:
    """Return an HPA of v2beta1 or v2beta2 as one of v2; any other one, and what cannot be converted, as it is."""
    converted, version, spec = dict(hpa), hpa.get("apiVersion"), hpa.get("spec")
    if version in ("autoscaling/v2beta1", "autoscaling/v2beta2"):
        converted["apiVersion"] = _V2
    if version == "autoscaling/v2beta1" and isinstance(spec, Mapping) and isinstance(spec.get("metrics"), list):
        converted["spec"] = {**spec, "metrics": [_metric(each) for each in spec["metrics"]]}
    return converted


def _metric(metric: Any) -> Any:
    """Return a metric of autoscaling/v2beta1, which has its targets beside its name."""
    if not isinstance(metric, Mapping) or not isinstance(metric.get("type"), str):
        return metric
    kind = metric["type"][:1].lower() + metric["type"][1:]
    source = metric.get(kind)
    if not isinstance(source, Mapping):
        return metric
    match kind:
        case "resource" | "containerResource":
            named = {key: source[key] for key in ("name", "container") if key in source}
            average, value = source.get("targetAverageValue"), None
        case "pods" | "external":
            named = {"metric": _named(source, "selector" if kind == "pods" else "metricSelector")}
            average, value = source.get("targetAverageValue"), source.get("targetValue")
        case "object":
            named = {"metric": _named(source, "selector"), "describedObject": source.get("target")}
            average, value = source.get("averageValue"), source.get("targetValue")
        case _:
            return metric
    return {"type": metric["type"], kind: {**named, "target": _target(source, average, value)}}


def _named(source: Mapping[str, Any], selector: str) -> dict[str, Any]:
    named = {"name": source.get("metricName")}
    return named if source.get(selector) is None else {**named, "selector": source[selector]}


def _target(source: Mapping[str, Any], average: Any, value: Any) -> dict[str, Any]:
    if source.get("targetAverageUtilization") is not None:
        return {"type": "Utilization", "averageUtilization": source["targetAverageUtilization"]}
    if average is not None:
        return {"type": "AverageValue", "averageValue": average}
    return {"type": "Value", "value": value}
