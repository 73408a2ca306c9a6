"""What an HPA of KEDA holds: it names its metrics after the triggers of a ScaledObject, which has their queries."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from loadgen.kube.client.permissions import Permission
from loadgen.kube.discover.autoscaler import Held, metrics_of
from loadgen.kube.objects.raw import Raw

GROUP, VERSION, PLURAL = "keda.sh", "v1alpha1", "scaledobjects"
RIGHT = Permission(verbs=("get",), resource=PLURAL, group=GROUP, consequence="the autoscaler's signal is not judged")
"""What tells the query behind a metric of an HPA that KEDA made."""

_SELECTOR = "scaledobject.keda.sh/name"
_METRIC = r"s(\d+)-prometheus"
_MATCHERS = r'\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*\}'
_QUERY = rf"\s*(avg|sum)\s*\(\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*({_MATCHERS})?\s*\)\s*"
_MEANS = {("avg", "Value"), ("sum", "AverageValue")}
"""Both hold the mean over pods: an AverageValue is divided by the replicas, a Value is compared as it is."""


def scaled_object(hpa: Raw) -> str | None:
    """Name of the ScaledObject that an HPA was made of; None where KEDA did not make it."""
    labels = [_metric(each).get("selector", {}).get("matchLabels", {}) for each in metrics_of(hpa, "External")]
    return next((each[_SELECTOR] for each in labels if _SELECTOR in each), None)


def by_triggers(hpa: Raw, scaled: Raw) -> tuple[list[Held], list[str]]:
    """The series of pods that an HPA holds by the triggers of its ScaledObject.

    Returns:
        Them, and what is wrong with each of the other triggers of Prometheus.
    """
    held: list[Held] = []
    others: list[str] = []
    triggers = scaled["spec"].get("triggers", [])
    for each in metrics_of(hpa, "External"):
        name, target = _metric(each)["name"], each["external"]["target"]
        found = re.fullmatch(_METRIC, name)
        trigger = triggers[int(found[1])] if found and int(found[1]) < len(triggers) else {}
        query = str(trigger.get("metadata", {}).get("query", ""))
        asked = re.fullmatch(_QUERY, query)
        if asked is not None and (asked[1], target["type"]) in _MEANS:
            quantity = target.get("value" if target["type"] == "Value" else "averageValue")
            held.append(Held(asked[2], name, quantity, asked[3] or ""))
        elif query:
            others.append(f"{name} is the {target['type']} of {query}")
    return held, others


def unjudged(hpa: Raw, others: Sequence[str]) -> str:
    """Why the signal of an HPA is not judged whose triggers hold no mean over its pods."""
    why = "; ".join(others) or "no trigger of Prometheus"
    return (
        f"the autoscaler {hpa['metadata']['name']} holds no mean of a series of its pods ({why}): its signal is not "
        "judged; avg(SERIES) with metricType Value is one"
    )


def not_of_pods(held: Held, series: Sequence[Mapping[str, str]], namespace: str) -> str | None:
    """Why the series behind a query are not one of each pod of a namespace; None where they are, or none is there."""
    pods = [each.get("pod") for each in series]
    what = f"{held.record}{held.labels}"
    if None in pods:
        return f"{what} has series without the label pod"
    if len(set(pods)) < len(pods):
        return f"{what} has several series of one pod"
    if elsewhere := {each.get("namespace") for each in series} - {namespace}:
        return f"{what} has series of other namespaces, such as {sorted(map(str, elsewhere))[0]}"
    return None


def _metric(external: Raw) -> Mapping[str, Any]:
    found: Mapping[str, Any] = external["external"]["metric"]
    return found
