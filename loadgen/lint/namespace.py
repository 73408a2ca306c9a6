"""Reads the objects of a live namespace, with those of other namespaces that act on it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from loadgen.base.errors import SettingsError, StackError, TargetError
from loadgen.kube.client.api import Api, path_of
from loadgen.lint.objects import KINDS, Object, Objects, object_of

_EVERYWHERE = ("PodMonitor", "ServiceMonitor", "PrometheusRule")
_METRICS_APIS = ("v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io")


def read_namespace(api: Api, namespace: str) -> Objects:
    """Return the objects of a namespace that rules read.

    Monitors and rules of Prometheus are read in all namespaces where that is allowed, and the configuration of
    prometheus-adapter in the namespace of the custom metrics API.

    Args:
        api: The cluster.
        namespace: The namespace.

    Raises:
        TargetError: the namespace does not exist.
        StackError: the API server does not answer, or the account may not list Deployments.
    """
    _require(api, namespace)
    found: list[Object[Any]] = []
    unread: dict[str, str] = {}
    for kind in KINDS:
        try:
            items = _items(api, kind, namespace)
        except StackError as error:
            if kind == "Deployment":
                raise
            unread[kind] = str(error)
            continue
        found += _objects(kind, items, namespace)
    found += _adapter(api, namespace)
    pods = [(namespace, each["metadata"].get("labels", {})) for each in _or_none(api, namespace, "pods")]
    return Objects(known=tuple(found), pod_labels=tuple(pods), unread=unread, live=True)


def _require(api: Api, namespace: str) -> None:
    try:
        exists = api.get(path_of("api", "v1", "namespaces", namespace)) is not None
    except StackError:
        return  # an account that is limited to one namespace may not read it; the first list tells
    if not exists:
        raise TargetError(
            f"namespace {namespace} does not exist in context {api.context}: check --namespace and --context"
        )


def _path(kind: str, namespace: str | None) -> str:
    declared = KINDS[kind]
    root = ("apis", declared.group) if declared.group else ("api",)
    inside = ("namespaces", namespace) if namespace is not None else ()
    return path_of(*root, declared.version, *inside, declared.plural)


def _items(api: Api, kind: str, namespace: str) -> list[dict[str, Any]]:
    if kind in _EVERYWHERE:
        try:
            return api.items(_path(kind, None))
        except StackError:
            pass  # an account of one namespace
    return api.items(_path(kind, namespace))


def _objects(kind: str, items: Iterable[Mapping[str, Any]], namespace: str) -> Iterator[Object[Any]]:
    for each in items:
        read = object_of(f"namespace {each['metadata'].get('namespace', namespace)}", kind, each, namespace)
        if read.namespace == namespace or kind in _EVERYWHERE:
            yield read


def _adapter(api: Api, namespace: str) -> list[Object[Any]]:
    """Return the ConfigMaps beside the metrics API's server, if it is in another namespace and they may be read."""
    others: set[str] = set()
    for name in _METRICS_APIS:
        try:
            service = api.get(path_of("apis", "apiregistration.k8s.io", "v1", "apiservices", name)) or {}
            others.add(str(service["spec"]["service"]["namespace"]))
        except (StackError, LookupError, TypeError):
            continue
    found: list[Object[Any]] = []
    for other in sorted(others - {namespace}):
        try:
            found += _objects("ConfigMap", _or_none(api, other, "configmaps"), other)
        except SettingsError:
            continue
    return found


def _or_none(api: Api, namespace: str, plural: str) -> list[dict[str, Any]]:
    try:
        return api.items(path_of("api", "v1", "namespaces", namespace, plural))
    except StackError:
        return []
