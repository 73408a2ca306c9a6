"""The paths by which requests can reach a workload, in the order in which they suit a load test.

    gateway (balances requests) ▸ Service (balances connections) ▸ NodePort (the same) ▸ port-forward (one pod)

A gateway that understands HTTP/2 spreads requests over the replicas. A Service spreads connections, and a gRPC client
keeps a single one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from loadgen.kube.objects.raw import Raw
from loadgen.kube.objects.workload import Workload, port_of
from loadgen.protocols.endpoint import Endpoint
from loadgen.scenario.settings import WireProtocol

Balances = Literal["requests", "connections", "one pod", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPath:
    """One path by which requests reach the workload.

    Attributes:
        kind: As in the settings: `ingress`, `service`, `nodeport` or `forward`; `url` for an address from the user.
        address: `host:port`; empty for a port-forward that is not open yet.
        balances: What is spread over the replicas.
        tls: Whether connections are encrypted.
    """

    kind: str
    address: str
    balances: Balances
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.address}".strip()

    def endpoint(self, protocol: WireProtocol) -> Endpoint:
        """The server at the end of the path.

        A path that was discovered has no proxy: it is chosen because a direct connection to it succeeds.
        """
        if self.kind == "url":
            return Endpoint.parse(f"{protocol}{'s' if self.tls else ''}://{self.address}", protocol)
        return Endpoint(address=self.address, protocol=protocol, tls=self.tls)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingObjects:
    """Raw objects that route requests to a workload; `service` is None for a workload without one."""

    service: Raw | None = None
    ingress_routes: Sequence[Raw] = ()
    traefiks: Sequence[Raw] = ()
    ingresses: Sequence[Raw] = ()
    routes: Sequence[Raw] = ()
    gateways: Sequence[Raw] = ()
    nodes: Sequence[Raw] = ()


def access_paths(routing: RoutingObjects, workload: Workload, protocol: str) -> Iterator[AccessPath]:
    """Every access path for a protocol (`grpc` or `http`), best first; a port-forward is always the last."""
    service = routing.service
    if service is not None:
        name = service["metadata"]["name"]
        yield from _by_traefik(routing, name)
        yield from _by_ingress(routing, name, protocol)
        yield from _by_gateway(routing, name, protocol)
        port = port_of(service, protocol, workload)
        if port is not None:
            for host in (*_load_balancers(service), service["spec"].get("clusterIP")):
                if host and host != "None":
                    yield AccessPath(kind="service", address=address(host, port), balances="connections")
            yield from _by_node(routing, service, port)
    yield AccessPath(kind="forward", address="", balances="one pod")


def _by_traefik(routing: RoutingObjects, service: str) -> Iterator[AccessPath]:
    for route in routing.ingress_routes:
        spec = route["spec"]
        rules = [
            rule for rule in spec.get("routes", []) if service in {each["name"] for each in rule.get("services", [])}
        ]
        if not rules:
            continue
        named = re.findall(r"\bHost\(`([^`]+)`\)", rules[0].get("match", ""))
        for gateway in routing.traefiks:
            for port in gateway["spec"].get("ports", []):
                if port.get("name") in (spec.get("entryPoints") or ["web"]):
                    hosts = named or [*_load_balancers(gateway), gateway["spec"].get("clusterIP")]
                    for each in hosts:
                        if each and each != "None":
                            yield _gateway(each, port["port"], tls="tls" in spec)


def _by_ingress(routing: RoutingObjects, service: str, protocol: str) -> Iterator[AccessPath]:
    for ingress in routing.ingresses:
        # NGINX takes the backend's protocol from an annotation on the whole Ingress
        annotations = ingress["metadata"].get("annotations", {})
        backend = str(annotations.get("nginx.ingress.kubernetes.io/backend-protocol", "")).upper()
        if protocol != ("grpc" if backend.startswith("GRPC") else "http"):
            continue
        spec = ingress["spec"]
        for rule in spec.get("rules", []):
            backends = [path.get("backend", {}).get("service", {}) for path in rule.get("http", {}).get("paths", [])]
            if service in {each.get("name") for each in backends}:
                secured = [each.get("hosts") for each in spec.get("tls") or []]
                named = rule.get("host")
                for host in _without_wildcards([named]) if named else _load_balancers(ingress):
                    tls = any(not (named and names) or any(_covers(name, host) for name in names) for names in secured)
                    yield _gateway(host, 443 if tls else 80, tls=tls)


def _by_gateway(routing: RoutingObjects, service: str, protocol: str) -> Iterator[AccessPath]:
    for route in routing.routes:
        spec = route["spec"]
        backends = {
            backend["name"] for rule in spec.get("rules", []) for backend in rule.get("backendRefs", []) if backend
        }
        if service not in backends or route["kind"] != ("GRPCRoute" if protocol == "grpc" else "HTTPRoute"):
            continue
        for parent in spec.get("parentRefs", []):
            namespace = parent.get("namespace", route["metadata"]["namespace"])
            for gateway in routing.gateways:
                meta = gateway["metadata"]
                if (meta["name"], meta["namespace"]) != (parent["name"], namespace):
                    continue
                for listener in gateway["spec"].get("listeners", []):
                    if parent.get("sectionName") in (None, listener["name"]):
                        for host in _hosts_at(listener, spec.get("hostnames") or [], gateway):
                            yield _gateway(host, listener["port"], tls=listener.get("protocol") == "HTTPS")


def _by_node(routing: RoutingObjects, service: Raw, port: int) -> Iterator[AccessPath]:
    number = next((each.get("nodePort") for each in service["spec"]["ports"] if each["port"] == port), None)
    if number is None:
        return
    for kind in ("ExternalIP", "InternalIP"):
        for node in routing.nodes:
            for each in node.get("status", {}).get("addresses", []):
                if each["type"] == kind:
                    yield AccessPath(kind="nodeport", address=address(each["address"], number), balances="connections")


def _hosts_at(listener: Raw, names: Sequence[str], gateway: Raw) -> list[str]:
    """Host names of a route that a listener of a gateway serves; without any, the addresses of the gateway."""
    hostname = listener.get("hostname") or "*"
    if names or hostname != "*":
        return [each for each in _without_wildcards(names or [hostname]) if _covers(hostname, each)]
    return [each["value"] for each in gateway.get("status", {}).get("addresses", []) if "value" in each]


def _without_wildcards(hosts: Sequence[str]) -> list[str]:
    """The host names to which a connection can be made."""
    return [each for each in hosts if not each.startswith("*")]


def _covers(name: str, host: str) -> bool:
    """Whether a host name, a wildcard such as `*.example.com`, or `*` stands for a host."""
    return name == host or (name.startswith("*") and host.endswith(name[1:]))


def _gateway(host: str, port: int, *, tls: bool) -> AccessPath:
    return AccessPath(kind="ingress", address=address(host, port), balances="requests", tls=tls)


def address(host: str, port: int) -> str:
    """`host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _load_balancers(raw: Raw) -> list[str]:
    status = raw.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    return [str(each.get("ip") or each.get("hostname")) for each in status]
