"""Reads the scaling metrics of an HPA that KEDA created: their queries are in the triggers of its ScaledObject."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from loadgen.kube.client.permissions import Permission
from loadgen.kube.discover.autoscaler import ScalingMetric, metrics_of, primary_metric
from loadgen.kube.objects.raw import Raw

GROUP, VERSION, PLURAL = "keda.sh", "v1alpha1", "scaledobjects"
PERMISSION = Permission(
    verbs=("get",), resource=PLURAL, group=GROUP, consequence="the autoscaler's signal is not judged"
)
"""Permission to read the query behind a metric."""

_CHART_TRIGGERS = ("ratio", "busy", "waiting", "ttft")
"""Names that `charts/triton-trtllm` gives to its triggers, and refuses for those of the user."""
_SELECTOR = "scaledobject.keda.sh/name"
_MATCHERS = r'\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*\}'
_QUERY = rf"\s*(avg|sum)\s*\(\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*({_MATCHERS})?\s*\)\s*"
_MEANS = {("avg", "Value"), ("sum", "AverageValue")}
"""Both keep the mean over pods: an AverageValue is divided by the replicas, a Value is compared as it is."""


def scaled_object(hpa: Raw) -> str | None:
    """Name of the ScaledObject behind an HPA; None where KEDA did not create the HPA."""
    labels = [_metric(each).get("selector", {}).get("matchLabels", {}) for each in metrics_of(hpa, "External")]
    return next((each[_SELECTOR] for each in labels if _SELECTOR in each), None)


def trigger_metrics(hpa: Raw, scaled: Raw) -> tuple[list[ScalingMetric], list[str]]:
    """The per-pod series that an HPA scales on by the triggers of its ScaledObject.

    Returns:
        The series, and for each other Prometheus trigger a phrase that says what it scales on instead.
    """
    metrics: list[ScalingMetric] = []
    others: list[str] = []
    triggers = scaled["spec"].get("triggers", [])
    numbers = {f"s{number}-prometheus": number for number in range(len(triggers))}
    for each in metrics_of(hpa, "External"):
        name, target = _metric(each)["name"], each["external"]["target"]
        trigger = triggers[numbers[name]] if name in numbers else {}
        query = str(trigger.get("metadata", {}).get("query", ""))
        mean = re.fullmatch(_QUERY, query)
        if mean is not None and (mean[1], target["type"]) in _MEANS:
            quantity = target.get("value" if target["type"] == "Value" else "averageValue")
            metrics.append(ScalingMetric(mean[2], name, quantity, mean[3] or ""))
        elif query:
            others.append(f"{name} is the {target['type']} of {query}")
    return metrics, others


def judged_metric(metrics: Sequence[ScalingMetric], scaled: Raw) -> ScalingMetric | None:
    """The metric that a run judges: that of the first of the chart's own triggers, else as for any other HPA.

    The names of the triggers tell them from the user's, whose series may have `ratio` in their names, too.
    """
    numbers = {each.get("name"): number for number, each in enumerate(scaled["spec"].get("triggers", []))}
    names = [f"s{numbers[each]}-prometheus" for each in _CHART_TRIGGERS if each in numbers]
    own = [each for name in names for each in metrics if each.name == name]
    return next(iter(own), primary_metric(metrics))


def other_scaling(scaled: Raw) -> list[str]:
    """Sentences about what KEDA does that does not show in its HPA: it scales to zero, or falls back."""
    name, spec = scaled["metadata"]["name"], scaled["spec"]
    sentences = []
    if spec.get("idleReplicaCount", spec.get("minReplicaCount", 0)) == 0:
        sentences.append(f"by the ScaledObject {name} KEDA scales to zero, below the minReplicas of its HPA")
    if fallback := spec.get("fallback"):
        behavior = fallback.get("behavior", "static")
        sentences.append(
            f"while a trigger of the ScaledObject {name} fails, its HPA reads the value for a fallback of "
            f"{fallback['replicas']} replicas ({behavior}) instead of the load"
        )
    return sentences


def no_trigger_metric(hpa: Raw, others: Sequence[str]) -> str:
    """Sentence for an HPA whose triggers scale on no mean over its pods."""
    reason = "; ".join(others) or "no Prometheus trigger"
    return (
        f"the HPA {hpa['metadata']['name']} does not scale on the mean of a per-pod series ({reason}): its signal is "
        "not judged; use a trigger with the query avg(SERIES) and metricType Value"
    )


def not_per_pod(metric: ScalingMetric, series: Sequence[Mapping[str, str]], namespace: str) -> str | None:
    """Phrase that says why the result of a query is not one series for each pod of a namespace.

    Returns:
        None for one series a pod, and for an empty result, which proves nothing.
    """
    pods = [each.get("pod") for each in series]
    query = f"{metric.series}{metric.matchers}"
    if None in pods:
        return f"{query} has series without the label pod"
    if len(set(pods)) < len(pods):
        return f"{query} has several series for one pod"
    if others := {each.get("namespace") for each in series} - {namespace}:
        return f"{query} has series of other namespaces, such as {sorted(map(str, others))[0]}"
    return None


def _metric(external: Raw) -> Mapping[str, Any]:
    metric: Mapping[str, Any] = external["external"]["metric"]
    return metric
