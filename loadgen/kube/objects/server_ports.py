"""Finds Triton's container in a pod, its ports, and the ports of Services that lead to them.

A port is identified by the server's flags (`--http-port`), by what a probe requests (`/v2/health/ready`, gRPC), by its
number, and only then by its name: `http-metrics` is not the port of requests.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from loadgen.kube.objects.raw import Raw

HTTP_PORT, GRPC_PORT, METRICS_PORT = 8000, 8001, 8002
"""Triton's default ports."""

_DEFAULTS = {"http": HTTP_PORT, "grpc": GRPC_PORT, "metrics": METRICS_PORT}
_PROBES = ("readinessProbe", "livenessProbe", "startupProbe")
_METRICS_WORDS = {"metrics", "metric", "prometheus", "prom", "monitoring", "telemetry", "stats"}
_APP_PROTOCOLS = {"http": "http", "grpc": "grpc", "kubernetes.io/h2c": "grpc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPorts:
    """Ports of the server in a pod.

    Attributes:
        http: Port of HTTP requests.
        grpc: Port of gRPC requests.
        metrics: Port of /metrics.
        by_name: Ports of all containers by their names, which Services may refer to.
    """

    http: int
    grpc: int
    metrics: int
    by_name: Mapping[str, int] = field(default_factory=dict)


def server_ports(pod_spec: Raw) -> ServerPorts:
    """Return the ports of the container that is Triton, whichever place it has among the containers."""
    containers = pod_spec["containers"]
    server = containers[server_index(pod_spec)]
    by_name: dict[str, int] = {}
    for container in containers:
        for port in _declared(container):
            by_name.setdefault(str(port.get("name", "")), int(port["containerPort"]))
    found = {protocol: _port(server, protocol) for protocol in _DEFAULTS}
    return ServerPorts(**found, by_name={name: port for name, port in by_name.items() if name})


def server_index(pod_spec: Raw) -> int:
    """Return the place of the container that is Triton among the containers; the first of those that look alike."""
    likeness = [_likeness(container) for container in pod_spec["containers"]]
    return likeness.index(max(likeness))


def service_port(service: Raw, protocol: str, ports: ServerPorts) -> tuple[int, bool] | None:
    """Return the port of a Service that leads to the server's `grpc` or `http` port, and whether that is certain.

    It is certain if its target is the server's port. A port with another target (a proxy beside the server, or a name
    that no container declares) is taken by its protocol or its name.
    """
    number = {"http": ports.http, "grpc": ports.grpc}[protocol]
    others: list[Raw] = []
    for port in service["spec"].get("ports") or []:
        target = _target(port, ports)
        if port.get("protocol", "TCP") != "TCP" or target == ports.metrics:
            continue
        if target == number or (isinstance(target, str) and target == protocol):
            return int(port["port"]), True
        if target not in (ports.http, ports.grpc):
            others.append(port)
    said = [each for each in others if _APP_PROTOCOLS.get(str(each.get("appProtocol", "")).lower()) == protocol]
    named = [each for each in others if "appProtocol" not in each and _is_named(str(each.get("name", "")), protocol)]
    return next(((int(each["port"]), False) for each in (*said, *named)), None)


def _target(port: Raw, ports: ServerPorts) -> int | str:
    """Return the number of the pod's port that a Service's port leads to; the name where no container declares it."""
    target = port.get("targetPort") or port["port"]
    return ports.by_name.get(str(target), target) if isinstance(target, str) else int(target)


def _declared(container: Raw) -> Sequence[Raw]:
    return [port for port in container.get("ports") or [] if port.get("protocol", "TCP") == "TCP"]


def _likeness(container: Raw) -> int:
    """Return how much a container looks like Triton: what it runs counts most, then its image, then its ports."""
    declared = _declared(container)
    numbers = {port["containerPort"] for port in declared}
    score = 8 * sum(bool(_flags(container, protocol)) for protocol in _DEFAULTS)
    score += 8 * sum(_probed(container, protocol) is not None for protocol in ("http", "grpc"))
    score += 5 * ("tritonserver" in str(container.get("image", "")))
    score += 2 * len(numbers & set(_DEFAULTS.values()))
    return score + sum(
        any(_is_named(str(port.get("name", "")), protocol) for port in declared) for protocol in _DEFAULTS
    )


def _port(container: Raw, protocol: str) -> int:
    default, declared = _DEFAULTS[protocol], _declared(container)
    if flags := _flags(container, protocol):
        return flags[-1]
    if (probed := _probed(container, protocol)) is not None:
        return probed
    exact = [port for port in declared if port.get("name") == protocol]
    numbered = [port for port in declared if port["containerPort"] == default]
    named = [port for port in declared if _is_named(str(port.get("name", "")), protocol)]
    return next((int(port["containerPort"]) for port in (*exact, *numbered, *named)), default)


def _flags(container: Raw, protocol: str) -> list[int]:
    words = " ".join(str(each) for each in (*(container.get("command") or ()), *(container.get("args") or ())))
    return [int(number) for number in re.findall(rf"--{protocol}-port[=\s]+(\d+)", words)]


def _probed(container: Raw, protocol: str) -> int | None:
    """Return the port on which a probe asks the server: Triton's health paths over HTTP, or gRPC's health service."""
    for port in _probe_ports(container, protocol):
        named = [each["containerPort"] for each in _declared(container) if each.get("name") == port]
        if isinstance(port, int) or named:
            return int(port if isinstance(port, int) else named[0])
    return None


def _probe_ports(container: Raw, protocol: str) -> Iterator[int | str]:
    for probe in (container.get(name) or {} for name in _PROBES):
        http, grpc = probe.get("httpGet") or {}, probe.get("grpc") or {}
        path = str(http.get("path", ""))
        is_asked = {"http": path.startswith("/v2"), "metrics": path == "/metrics"}.get(protocol, False)
        if is_asked and "port" in http:
            yield http["port"]
        if protocol == "grpc" and "port" in grpc:
            yield grpc["port"]


def _is_named(name: str, protocol: str) -> bool:
    """Return whether one of the words of a name says the protocol; every port of metrics is one of HTTP, too."""
    words = set(re.split(r"[-_.]", name.lower()))
    is_metrics = bool(words & _METRICS_WORDS)
    return is_metrics if protocol == "metrics" else protocol in words and not is_metrics
