"""Writes the HorizontalPodAutoscaler of a setup as a manifest."""

import copy
from collections.abc import Mapping
from typing import Any

from loadgen.autoscale.spec import ExternalMetric, HpaSpec, MetricSpec, PodsMetric, ScalingRules


def hpa_manifest(hpa: HpaSpec, *, applied: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Return an HPA with the settings of a simulation.

    Args:
        hpa: Its spec.
        applied: The HPA of the run, whose name, labels, target and metric selectors stay; None if the run had none.
        name: Name of the HPA and of the Deployment that it scales, if the run had none.
    """
    manifest: dict[str, Any] = (
        copy.deepcopy(dict(applied))
        if applied
        else {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}},
        }
    )
    spec = manifest["spec"]
    spec["minReplicas"], spec["maxReplicas"] = hpa.lowest, hpa.max_replicas
    before = {_name(each): each for each in spec.get("metrics", ())}
    spec["metrics"] = [_metric(each, before) for each in hpa.metrics]
    if hpa.behavior is not None:
        spec["behavior"] = {"scaleUp": _rules(hpa.behavior.scale_up), "scaleDown": _rules(hpa.behavior.scale_down)}
    return manifest


def _name(metric: Mapping[str, Any]) -> str | None:
    """Name of a metric of type Pods or External in a manifest."""
    source = metric.get("pods") or metric.get("external") or {}
    name: str | None = source.get("metric", {}).get("name")
    return name


def _metric(metric: MetricSpec, before: Mapping[str | None, Mapping[str, Any]]) -> dict[str, Any]:
    assert isinstance(metric, PodsMetric | ExternalMetric)
    kind = "pods" if isinstance(metric, PodsMetric) else "external"
    written: dict[str, Any] = copy.deepcopy(
        dict(before.get(metric.name, {"type": kind.capitalize(), kind: {"metric": {"name": metric.name}}}))
    )
    target = metric.target
    if target.average_value_milli is not None:
        written[kind]["target"] = {"type": "AverageValue", "averageValue": f"{target.average_value_milli}m"}
    else:
        written[kind]["target"] = {"type": "Value", "value": f"{target.value_milli}m"}
    return written


def _rules(rules: ScalingRules) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if rules.stabilization_window_s is not None:
        written["stabilizationWindowSeconds"] = rules.stabilization_window_s
    if rules.tolerance_ratio is not None:
        written["tolerance"] = f"{round(rules.tolerance_ratio * 1000)}m"
    written["selectPolicy"] = rules.select_policy
    written["policies"] = [
        {"type": each.type, "value": each.value, "periodSeconds": each.period_s} for each in rules.policies
    ]
    return written
