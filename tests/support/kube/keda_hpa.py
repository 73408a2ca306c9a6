"""Builds the HPA that KEDA's operator, which is not available here, creates for a ScaledObject."""

import json
from typing import Any

import yaml

from support.kube.cluster import Cluster


def hpa_of(scaled: dict[str, Any]) -> dict[str, Any]:
    """Return the HPA of KEDA 2.21 (`controllers/keda/hpa.go`, `GetMetricSpecForScaling` of the Prometheus scaler)."""
    spec, metrics = scaled["spec"], []
    for number, trigger in enumerate(spec["triggers"]):
        kind = trigger.get("metricType", "AverageValue")
        milli = round(float(trigger["metadata"]["threshold"]) * 1000)
        quantity = str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"
        selector = {"matchLabels": {"scaledobject.keda.sh/name": scaled["metadata"]["name"]}}
        metric = {"name": f"s{number}-{trigger['type']}", "selector": selector}
        target = {"type": kind, "value" if kind == "Value" else "averageValue": quantity}
        metrics.append({"type": "External", "external": {"metric": metric, "target": target}})
    config = spec["advanced"]["horizontalPodAutoscalerConfig"]
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": config["name"], "labels": {"scaledobject.keda.sh/name": scaled["metadata"]["name"]}},
        "spec": {
            "scaleTargetRef": spec["scaleTargetRef"],
            "minReplicas": max(spec["minReplicaCount"], 1),
            "maxReplicas": spec["maxReplicaCount"],
            "behavior": config["behavior"],
            "metrics": metrics,
        },
    }


def serve(monitoring: Cluster, scaled: dict[str, Any]) -> None:
    """Configure prometheus-adapter to serve the triggers' queries under the names of KEDA's metrics, beside its own."""
    config = yaml.safe_load(monitoring.get("configmap", "prometheus-adapter")["data"]["config.yaml"])
    config["externalRules"] = [
        {
            "seriesQuery": '{__name__="triton:queue_compute:ratio"}',
            "resources": {"template": "<<.Resource>>"},
            "name": {"as": f"s{number}-{trigger['type']}"},
            "metricsQuery": trigger["metadata"]["query"],
        }
        for number, trigger in enumerate(scaled["spec"]["triggers"])
    ]
    patch = json.dumps({"data": {"config.yaml": json.dumps(config)}})
    monitoring.kubectl("patch", "configmap", "prometheus-adapter", f"--patch={patch}")
    monitoring.kubectl("rollout", "restart", "deployment/prometheus-adapter")
    monitoring.kubectl("rollout", "status", "deployment/prometheus-adapter", "--timeout=50s")
