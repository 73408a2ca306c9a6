"""Writes the HorizontalPodAutoscaler of a setup as a manifest."""

import copy
from collections.abc import Mapping
from typing import Any

from loadgen.autoscale.spec import HpaSpec, PodsMetric, ScalingRules


def hpa_manifest(hpa: HpaSpec, *, applied: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Return an HPA with the settings of a simulation.

    Args:
        hpa: Its spec, with one Pods metric.
        applied: The HPA of the run, whose name, labels, target and metric selector stay; None if the run had none.
        name: Name of the HPA and of the Deployment that it scales, if the run had none.
    """
    (metric,) = hpa.metrics
    assert isinstance(metric, PodsMetric)
    assert metric.target.average_value_milli is not None
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
    if "metrics" not in spec:
        spec["metrics"] = [{"type": "Pods", "pods": {"metric": {"name": metric.name}, "target": {}}}]
    spec["metrics"][0]["pods"]["target"] = {
        "type": "AverageValue",
        "averageValue": f"{metric.target.average_value_milli}m",
    }
    if hpa.behavior is not None:
        spec["behavior"] = {"scaleUp": _rules(hpa.behavior.scale_up), "scaleDown": _rules(hpa.behavior.scale_down)}
    return manifest


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
