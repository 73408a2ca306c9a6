"""Builds the HPA that KEDA's operator, which is not available here, creates for a ScaledObject."""

from typing import Any

_RESOURCES = ("cpu", "memory")


def hpa_of(scaled: dict[str, Any]) -> dict[str, Any]:
    """Return the HPA of KEDA 2.21 (`controllers/keda/hpa.go`, `GetMetricSpecForScaling` of the scalers).

    Its limits are those of the ScaledObject: fallback and idle replicas do not show in it. External metrics come before
    those of cpu and memory.
    """
    spec = scaled["spec"]
    triggers = list(enumerate(spec["triggers"]))
    external = [
        _external(number, each, scaled["metadata"]["name"])
        for number, each in triggers
        if each["type"] not in _RESOURCES
    ]
    resources = [_resource(each) for _, each in triggers if each["type"] in _RESOURCES]
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
            "metrics": [*external, *resources],
        },
    }


def _external(number: int, trigger: dict[str, Any], name: str) -> dict[str, Any]:
    metadata, kind = trigger["metadata"], trigger.get("metricType", "AverageValue")
    match trigger["type"]:
        case "cron":
            start, end = (metadata.get(key, "").replace(" ", "").replace("*", "x") for key in ("start", "end"))
            source, threshold = f"cron-{metadata.get('timezone', '').replace('/', '-')}-{start}-{end}", "1"
        case "kafka":
            source, threshold = f"kafka-{metadata['topic']}", metadata["lagThreshold"]
        case source:
            threshold = metadata["threshold"]
    milli = round(float(threshold) * 1000)
    quantity = str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"
    selector = {"matchLabels": {"scaledobject.keda.sh/name": name}}
    target = {"type": kind, "value" if kind == "Value" else "averageValue": quantity}
    return {
        "type": "External",
        "external": {"metric": {"name": f"s{number}-{source}", "selector": selector}, "target": target},
    }


def _resource(trigger: dict[str, Any]) -> dict[str, Any]:
    value = trigger["metadata"]["value"]
    kind = trigger["metricType"]
    target = {"averageUtilization": int(value)} if kind == "Utilization" else {"averageValue": value}
    return {"type": "Resource", "resource": {"name": trigger["type"], "target": {"type": kind, **target}}}
