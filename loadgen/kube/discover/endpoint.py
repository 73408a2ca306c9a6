"""How requests reach a workload on a cluster: the ways there are, in the order in which they suit a load test.

    ingress (balances requests) ▸ Service (balances connections) ▸ node port (the same) ▸ port-forward (one pod)

A gateway that knows HTTP/2 spreads requests over the replicas. A Service spreads connections, of which gRPC keeps one.
"""

import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from loadgen.base.errors import StackError, TargetError
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.objects.raw import Raw
from loadgen.kube.objects.workload import Workload, port_of

Balances = Literal["requests", "connections", "one pod", "unknown"]

_CONNECT_S = 2.0
_ASK_EVERY_S = 0.5
_TRAEFIK = "app.kubernetes.io/name=traefik"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to the workload.

    Attributes:
        kind: As the setting names it: `ingress`, `service`, `nodeport` or `forward`; `url` for a given one.
        address: `host:port`; empty for a port-forward that is yet to be opened.
        balances: What it spreads over the replicas.
        tls: Whether it is encrypted.
    """

    kind: str
    address: str
    balances: Balances
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.address}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Raw objects that tell the ways to a workload; `service` is None where it has none."""

    service: Raw | None = None
    ingress_routes: Sequence[Raw] = ()
    traefiks: Sequence[Raw] = ()
    ingresses: Sequence[Raw] = ()
    routes: Sequence[Raw] = ()
    gateways: Sequence[Raw] = ()
    nodes: Sequence[Raw] = ()


def surroundings(api: Api, workload: Workload, service: Raw | None) -> Surroundings:
    """Read what leads to the workload; what may not be read, or is no part of this cluster, leads nowhere."""

    def items(*parts: str, **query: str) -> list[Any]:
        try:
            return api.items(path_of(*parts), **query)
        except StackError:
            return []

    inside = ("namespaces", workload.namespace)
    gateway_api = ("apis", "gateway.networking.k8s.io", "v1")
    return Surroundings(
        service=service,
        ingress_routes=items("apis", "traefik.io", "v1alpha1", *inside, "ingressroutes"),
        traefiks=items("api", "v1", "services", labelSelector=_TRAEFIK),
        ingresses=items("apis", "networking.k8s.io", "v1", *inside, "ingresses"),
        routes=[
            {**each, "kind": kind}
            for kind, plural in (("GRPCRoute", "grpcroutes"), ("HTTPRoute", "httproutes"))
            for each in items(*gateway_api, *inside, plural)
        ],
        gateways=items(*gateway_api, "gateways"),
        nodes=items("api", "v1", "nodes"),
    )


def ways(around: Surroundings, workload: Workload, wire: str) -> Iterator[Way]:
    """Every way for a protocol (`grpc` or `http`), best first; a port-forward is always the last."""
    service = around.service
    if service is not None:
        name = service["metadata"]["name"]
        yield from _by_traefik(around, name)
        yield from _by_ingress(around, name, wire)
        yield from _by_gateway(around, name, wire)
        port = port_of(service, wire, workload)
        if port is not None:
            for host in (*_load_balancers(service), service["spec"].get("clusterIP")):
                if host and host != "None":
                    yield Way(kind="service", address=address(host, port), balances="connections")
            yield from _by_node(around, service, port)
    yield Way(kind="forward", address="", balances="one pod")


def choose(
    look: Callable[[], Sequence[Way]],
    kind: str,
    answers: Callable[[Way], bool],
    *,
    within_s: float = 0.0,
    say: Callable[[str], None] = lambda _: None,
) -> Way:
    """The best way of a kind (`auto`: of any) that answers; a port-forward is taken for granted.

    A gateway learns some time after the cluster that a replica is ready, so the best kind is given `within_s` seconds
    to answer before the next best is taken.

    Raises:
        TargetError: none does; the sentence lists what was tried.
    """
    deadline = time.monotonic() + within_s
    told = False
    while True:
        late = time.monotonic() >= deadline
        wanted = [way for way in look() if kind in ("auto", way.kind)]
        best = [way for way in wanted if way.kind == wanted[0].kind]
        for way in wanted if late else best:
            if way.kind == "forward" or answers(way):
                return way
        tried = ", ".join(way.address for way in wanted) or f"there is no {kind} that leads to it"
        if late:
            raise TargetError(
                f"the workload cannot be reached by its {kind} from here ({tried}): run inside the cluster "
                "(charts/loadgen), give an address with --kube-endpoint, or use --kube-endpoint forward to try it out"
            )
        if not told:
            say(f"waiting for an answer by {', '.join(map(str, best)) or tried}")
            told = True
        time.sleep(_ASK_EVERY_S)


def reachable(address: str) -> bool:
    """Whether something listens at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S):
            return True
    except OSError:
        return False


def _by_traefik(around: Surroundings, service: str) -> Iterator[Way]:
    for route in around.ingress_routes:
        spec = route["spec"]
        rules = [
            rule for rule in spec.get("routes", []) if service in {each["name"] for each in rule.get("services", [])}
        ]
        if not rules:
            continue
        host = re.search(r"Host\(`([^`]+)`\)", rules[0].get("match", ""))
        for gateway in around.traefiks:
            for port in gateway["spec"].get("ports", []):
                if port.get("name") in (spec.get("entryPoints") or ["web"]):
                    hosts = [host[1]] if host else [*_load_balancers(gateway), gateway["spec"].get("clusterIP")]
                    for each in hosts:
                        if each and each != "None":
                            yield _gateway(each, port["port"], tls="tls" in spec)


def _by_ingress(around: Surroundings, service: str, wire: str) -> Iterator[Way]:
    for ingress in around.ingresses:
        # NGINX takes the protocol of the backend for a whole Ingress
        protocol = ingress["metadata"].get("annotations", {}).get("nginx.ingress.kubernetes.io/backend-protocol", "")
        if wire != ("grpc" if protocol.upper().startswith("GRPC") else "http"):
            continue
        spec = ingress["spec"]
        for rule in spec.get("rules", []):
            backends = [path.get("backend", {}).get("service", {}) for path in rule.get("http", {}).get("paths", [])]
            if service in {each.get("name") for each in backends}:
                tls = bool(spec.get("tls"))
                hosts = [rule["host"]] if rule.get("host") else _load_balancers(ingress)
                for host in hosts:
                    yield _gateway(host, 443 if tls else 80, tls=tls)


def _by_gateway(around: Surroundings, service: str, wire: str) -> Iterator[Way]:
    for route in around.routes:
        spec = route["spec"]
        backends = {
            backend["name"] for rule in spec.get("rules", []) for backend in rule.get("backendRefs", []) if backend
        }
        if service not in backends or route["kind"] != ("GRPCRoute" if wire == "grpc" else "HTTPRoute"):
            continue
        for parent in spec.get("parentRefs", []):
            place = parent.get("namespace", route["metadata"]["namespace"])
            for gateway in around.gateways:
                meta = gateway["metadata"]
                if (meta["name"], meta["namespace"]) != (parent["name"], place):
                    continue
                for listener in gateway["spec"].get("listeners", []):
                    if parent.get("sectionName") in (None, listener["name"]):
                        addresses = [each["value"] for each in gateway.get("status", {}).get("addresses", [])]
                        for host in spec.get("hostnames") or addresses:
                            yield _gateway(host, listener["port"], tls=listener.get("protocol") == "HTTPS")


def _by_node(around: Surroundings, service: Raw, port: int) -> Iterator[Way]:
    number = next((each.get("nodePort") for each in service["spec"]["ports"] if each["port"] == port), None)
    if number is None:
        return
    for kind in ("ExternalIP", "InternalIP"):
        for node in around.nodes:
            for each in node.get("status", {}).get("addresses", []):
                if each["type"] == kind:
                    yield Way(kind="nodeport", address=address(each["address"], number), balances="connections")


def _gateway(host: str, port: int, *, tls: bool) -> Way:
    return Way(kind="ingress", address=address(host, port), balances="requests", tls=tls)


def address(host: str, port: int) -> str:
    """`host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _load_balancers(raw: Raw) -> list[str]:
    given = raw.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    return [str(each.get("ip") or each.get("hostname")) for each in given]
