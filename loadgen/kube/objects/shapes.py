"""Checks Kubernetes objects where they enter: the fields that are read have the types of the API.

The API server validates what it stores; a proxy, an aggregated API or a damaged connection does not. An object with
another type in one of these fields is refused in one sentence, so its readers need no checks of their own.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from loadgen.base.errors import StackError
from loadgen.base.text import clean
from loadgen.kube.objects.fields.apis import ApiGroup, ApiResources, Version
from loadgen.kube.objects.fields.autoscalers import AnyHpa, HorizontalPodAutoscaler, ScaledObject
from loadgen.kube.objects.fields.monitoring import (
    ConfigMap,
    PodDisruptionBudget,
    PodMonitor,
    PrometheusRule,
    ServiceMonitor,
)
from loadgen.kube.objects.fields.parts import Object, Part
from loadgen.kube.objects.fields.pods import Event, Node, Pod
from loadgen.kube.objects.fields.routing import Gateway, Ingress, IngressRoute, Route, Service
from loadgen.kube.objects.fields.workloads import Deployment, LeaderWorkerSet, StatefulSet
from loadgen.kube.objects.raw import Raw

_MAX_VALUE = 80
_SOURCES = {
    "Pods": "pods",
    "Object": "object",
    "External": "external",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}

SHAPES: Mapping[str, type[Part]] = {
    "configmaps": ConfigMap,
    "deployments": Deployment,
    "events": Event,
    "gateways": Gateway,
    "grpcroutes": Route,
    "horizontalpodautoscalers": HorizontalPodAutoscaler,
    "httproutes": Route,
    "ingresses": Ingress,
    "ingressroutes": IngressRoute,
    "leaderworkersets": LeaderWorkerSet,
    "nodes": Node,
    "poddisruptionbudgets": PodDisruptionBudget,
    "podmonitors": PodMonitor,
    "pods": Pod,
    "prometheusrules": PrometheusRule,
    "replicasets": Object,
    "scaledobjects": ScaledObject,
    "servicemonitors": ServiceMonitor,
    "services": Service,
    "statefulsets": StatefulSet,
    "hpa of any version": AnyHpa,
    "api group": ApiGroup,
    "api resources": ApiResources,
    "version": Version,
}
"""Fields that are read, by the plural name of the resource, or by what a path of the API describes."""


def checked(what: str, content: Any) -> dict[str, Any]:
    """Return an object without fields that are null, which mean the same as missing ones.

    Args:
        what: A key of `SHAPES`.
        content: The decoded JSON.

    Raises:
        StackError: it is not an object of this kind.
    """
    try:
        return parsed(what, content)[0]
    except ValueError as error:
        raise StackError(
            f"the API server sent an invalid object ({error}): check the API server and any proxy in front of it"
        ) from None


def parsed(what: str, content: Any) -> tuple[dict[str, Any], Part]:
    """Return an object without fields that are null, and the fields of it that are read.

    Args:
        what: A key of `SHAPES`.
        content: The decoded JSON or YAML.

    Raises:
        ValueError: it is not an object of this kind; the message names the object and the field.
    """
    try:
        present: dict[str, Any] = _without_nulls(content)
        return present, SHAPES[what].model_validate(present)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "its top"
        message = f"{_described(what, content)}: {clean(where, _MAX_VALUE)}: {clean(first['msg'], _MAX_VALUE)}"
        raise ValueError(message) from None
    except RecursionError:
        raise ValueError(f"{what}, nested too deeply") from None


def _described(what: str, content: Any) -> str:
    metadata = content.get("metadata") if isinstance(content, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{what} {clean(name, _MAX_VALUE)}" if isinstance(name, str) else what


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def source_of(metric: Raw) -> Raw:
    """Return the source of an HPA's metric, such as its `pods`; empty for one that could not be read."""
    source: Raw = metric.get(_SOURCES.get(str(metric.get("type")), ""), {})
    return source
