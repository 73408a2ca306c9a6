"""Rules for the way of requests to the servers: Services, and gateways in front of them."""

from collections.abc import Iterator
from typing import Any

from loadgen.kube.objects.fields.routing import Ingress, IngressRoute, Route
from loadgen.kube.objects.workload import port_of
from loadgen.lint.codes import serving
from loadgen.lint.objects import Object
from loadgen.lint.pitfall import Pitfall
from loadgen.lint.servers import Server
from loadgen.lint.setup import Setup, services_of

_ROUTES = ("Ingress", "IngressRoute", "GRPCRoute", "HTTPRoute")
_OTHER_GATEWAYS = {
    "VirtualService",
    "DestinationRule",
    "HTTPProxy",
    "Mapping",
    "IngressRouteTCP",
    "TCPRoute",
    "Rollout",
}
"""Kinds that may balance requests and are not read."""
_MESH = {"sidecar.istio.io/inject": "true", "linkerd.io/inject": "enabled", "istio.io/dataplane-mode": "ambient"}


def check(setup: Setup) -> Iterator[Pitfall]:
    """Yield the pitfalls of the Services of every server."""
    for server in setup.servers:
        for service in services_of(setup.objects, server):
            ports = [port_of(service.raw, protocol, server.workload) for protocol in ("grpc", "http")]
            serves = any(port is not None for port in ports)
            if serves and service.fields.spec.publishNotReadyAddresses:
                yield service.pitfall(serving.NOT_READY, "spec.publishNotReadyAddresses", "true")
            if serves and service.fields.spec.sessionAffinity == "ClientIP":
                yield service.pitfall(serving.AFFINITY, "spec.sessionAffinity", "ClientIP")
        yield from _balancing(setup, server)


def _balancing(setup: Setup, server: Server) -> Iterator[Pitfall]:
    services = [
        each for each in services_of(setup.objects, server) if port_of(each.raw, "grpc", server.workload) is not None
    ]
    by_connection = [each for each in services if each.fields.spec.clusterIP != "None"]
    if not by_connection or len(by_connection) < len(services) or _may_balance(setup, server):
        return
    behind = {(route.namespace, name) for route in setup.objects.of(*_ROUTES) for name in _backends(route)}
    if any((each.namespace, each.name) in behind for each in by_connection):
        return
    value = f"{by_connection[0].fields.spec.type}, no gateway in front, no headless Service"
    yield by_connection[0].pitfall(serving.GRPC_PER_CONNECTION, "spec.type", value)


def _may_balance(setup: Setup, server: Server) -> bool:
    """Whether requests may be balanced by what is not read: a mesh, another gateway, or connections that end."""
    labels = {**server.template.metadata.labels, **server.template.metadata.annotations}
    return bool(
        _MESH.items() & labels.items()
        or _OTHER_GATEWAYS & setup.objects.ignored
        or set(_ROUTES) & set(setup.objects.unread)
        or server.flags("grpc-max-connection-age")
    )


def _backends(route: Object[Any]) -> Iterator[str]:
    """Yield the names of the Services that a route sends requests to."""
    match route.fields:
        case Ingress():
            for rule in route.fields.spec.rules:
                yield from (path.backend.service.name for path in rule.http.paths)
        case IngressRoute():
            for traefik_rule in route.fields.spec.routes:
                yield from (each.name for each in traefik_rule.services)
        case Route():
            for route_rule in route.fields.spec.rules:
                yield from (each.name for each in route_rule.backendRefs)
