"""An aggregated API server with scripted responses: the three metrics APIs, and a kind with a scale subresource.

    controller-manager ─▶ kube-apiserver (authorizes, forwards) ─▶ this server ─▶ `Answers`

It serves custom.metrics.k8s.io v1beta1 and v1beta2, external.metrics.k8s.io v1beta1, metrics.k8s.io v1beta1, and
`targets` of twin.loadgen.dev/v1, which only have the subresource `scale`. The HPA controller reads the scale first in
every sync, so the server can observe each sync of an HPA with such a target.
"""

import json
import ssl
from datetime import UTC, datetime
from typing import Any, Protocol

from aiohttp import web

TARGET_GROUP = "twin.loadgen.dev"
GROUPS = {
    "custom.metrics.k8s.io": ("v1beta2", "v1beta1"),
    "external.metrics.k8s.io": ("v1beta1",),
    "metrics.k8s.io": ("v1beta1",),
    TARGET_GROUP: ("v1",),
}
_SCALE = {
    "name": "targets/scale",
    "namespaced": True,
    "group": "autoscaling",
    "version": "v1",
    "kind": "Scale",
    "singularName": "",
    "verbs": ["get", "update", "patch"],
}
_RESOURCES: dict[str, list[dict[str, Any]]] = {
    "metrics.k8s.io": [
        {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]}
    ],
    TARGET_GROUP: [
        {"name": "targets", "singularName": "target", "namespaced": True, "kind": "Target", "verbs": ["get"]},
        _SCALE,
    ],
}


class ApiError(Exception):
    """An error response, sent as a `Status` of the API; clients print its `message`."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


class Answers(Protocol):
    """Responses by namespace; each method may raise `ApiError`."""

    async def scale(self, namespace: str, name: str) -> dict[str, Any]:
        """Return `{"replicas": …, "status": {"replicas": …, "selector": …}}`."""
        ...

    async def rescale(self, namespace: str, replicas: int) -> dict[str, Any]:
        """Write `spec.replicas` and return the same as `scale`."""
        ...

    async def pods_metric(self, namespace: str, metric: str) -> dict[str, str]:
        """Return quantities by pod name."""
        ...

    async def object_metric(self, namespace: str, metric: str) -> str:
        """Return the quantity of the object."""
        ...

    async def external_metric(self, namespace: str, metric: str) -> list[str]:
        """Return the quantity of every series."""
        ...

    async def resource_metrics(self, namespace: str) -> list[dict[str, Any]]:
        """Return `PodMetrics` of all pods: name, timestamp, window, containers."""
        ...


class MetricsServer:
    """The HTTPS server; it can be stopped and started again on the same port."""

    def __init__(self, answers: Answers, context: ssl.SSLContext, port: int) -> None:
        self._answers, self._context, self._port = answers, context, port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Start listening."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._context, shutdown_timeout=0.1)
        await site.start()

    async def stop(self) -> None:
        """Stop listening; connections to the port are then refused."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            return _json(await self._answer(request))
        except ApiError as error:
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": error.message,
                "reason": error.reason,
                "code": error.code,
            }
            return _json(status, error.code)

    async def _answer(self, request: web.Request) -> dict[str, Any]:
        match request.path.strip("/").split("/"):
            case ["apis", group, version] if version in GROUPS.get(group, ()):
                return {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": f"{group}/{version}",
                    "resources": _RESOURCES.get(group, []),
                }
            case ["apis", "twin.loadgen.dev", "v1", "namespaces", namespace, "targets", name, "scale"]:
                if request.method == "PUT":
                    body = json.loads(await request.read())
                    scale = await self._answers.rescale(namespace, body["spec"].get("replicas", 0))
                else:
                    scale = await self._answers.scale(namespace, name)
                return {
                    "kind": "Scale",
                    "apiVersion": "autoscaling/v1",
                    "metadata": {"name": name, "namespace": namespace, "resourceVersion": "1"},
                    "spec": {"replicas": scale["replicas"]},
                    "status": scale["status"],
                }
            case ["apis", "custom.metrics.k8s.io", version, "namespaces", namespace, "pods", "*", metric]:
                values = await self._answers.pods_metric(namespace, metric)
                items = [_custom(namespace, "Pod", name, metric, value) for name, value in values.items()]
                return _list("MetricValueList", f"custom.metrics.k8s.io/{version}", items)
            case ["apis", "custom.metrics.k8s.io", version, "namespaces", namespace, kind, name, metric]:
                value = await self._answers.object_metric(namespace, metric)
                items = [_custom(namespace, kind, name, metric, value)]
                return _list("MetricValueList", f"custom.metrics.k8s.io/{version}", items)
            case ["apis", "external.metrics.k8s.io", version, "namespaces", namespace, metric]:
                items = [
                    {"metricName": metric, "metricLabels": {"series": str(number)}, "timestamp": _now(), "value": value}
                    for number, value in enumerate(await self._answers.external_metric(namespace, metric))
                ]
                return _list("ExternalMetricValueList", f"external.metrics.k8s.io/{version}", items)
            case ["apis", "metrics.k8s.io", version, "namespaces", namespace, "pods"]:
                items = [
                    {"metadata": {"name": each["name"], "namespace": namespace}}
                    | {key: each[key] for key in ("timestamp", "window", "containers")}
                    for each in await self._answers.resource_metrics(namespace)
                ]
                return _list("PodMetricsList", f"metrics.k8s.io/{version}", items)
        raise ApiError(404, "NotFound", "the server could not find the requested resource")


def _custom(namespace: str, kind: str, name: str, metric: str, value: str) -> dict[str, Any]:
    return {
        "describedObject": {"kind": kind, "namespace": namespace, "name": name, "apiVersion": "/v1"},
        "metric": {"name": metric, "selector": None},
        "metricName": metric,
        "timestamp": _now(),
        "value": value,
    }


def _list(kind: str, version: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": version, "metadata": {}, "items": items}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(document: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(document, status=status)


def manifests(port_of: dict[str, int]) -> list[dict[str, Any]]:
    """Return APIServices and their Services, which resolve to 127.0.0.1 and so need no data path of a cluster."""
    objects: list[dict[str, Any]] = []
    for group, versions in GROUPS.items():
        service = group.split(".", 1)[0] + "-stub"
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": service, "namespace": "default"},
                "spec": {"type": "ExternalName", "externalName": "localhost"},
            }
        )
        for number, version in enumerate(versions):
            objects.append(
                {
                    "apiVersion": "apiregistration.k8s.io/v1",
                    "kind": "APIService",
                    "metadata": {"name": f"{version}.{group}"},
                    "spec": {
                        "group": group,
                        "version": version,
                        "groupPriorityMinimum": 100,
                        "versionPriority": 200 - 100 * number,
                        "insecureSkipTLSVerify": True,
                        "service": {"name": service, "namespace": "default", "port": port_of[group]},
                    },
                }
            )
    return objects
