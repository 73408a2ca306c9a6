"""Builds the HPA that KEDA's operator, which is not available here, creates for a ScaledObject."""

from typing import Any


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
