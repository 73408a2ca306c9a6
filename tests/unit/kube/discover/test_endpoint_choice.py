"""How requests reach a workload: every access path, best first, and what each balances."""

from collections.abc import Iterator
from typing import Any

import pytest

from loadgen.base.errors import TargetError
from loadgen.kube.discover.access_paths import AccessPath, RoutingObjects, access_paths
from loadgen.kube.discover.endpoint import choose_access_path
from support.kube.workloads import WORKLOAD, service

SERVICE = service("svc", {})


def found(routing: RoutingObjects, protocol: str = "grpc") -> list[tuple[str, str, str, bool]]:
    return [(path.kind, path.address, path.balances, path.tls) for path in access_paths(routing, WORKLOAD, protocol)]


def traefik(*, lb: str | None = None) -> dict[str, Any]:
    status = {"loadBalancer": {"ingress": [{"ip": lb}]}} if lb else {}
    ports = [{"name": "web", "port": 80}, {"name": "websecure", "port": 443}]
    return {"metadata": {"name": "traefik"}, "spec": {"clusterIP": "10.0.9.9", "ports": ports}, "status": status}


def route(match: str, *, name: str = "svc", entry: str = "web", **spec: Any) -> dict[str, Any]:
    rules = [{"match": match, "services": [{"name": name, "port": 8001}]}]
    return {"metadata": {"name": "r"}, "spec": {"entryPoints": [entry], "routes": rules, **spec}}


LAST = ("forward", "", "one pod", False)
CLUSTER_IP = ("service", "10.0.0.1:9001", "connections", False)


def test_without_a_service_there_is_a_port_forward_only() -> None:
    """It reaches one pod."""
    assert found(RoutingObjects()) == [LAST]


def test_a_service_balances_connections() -> None:
    """Its load balancer first, then its own address, then the ports of nodes; the port is that of the protocol."""
    one = service("svc", {}, {"port": 9001, "targetPort": "grpc", "nodePort": 30001}, {"port": 80, "targetPort": 8000})
    one["status"] = {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}
    node = {"status": {"addresses": [{"type": "InternalIP", "address": "10.1.0.1"}, {"type": "Hostname"}]}}
    assert found(RoutingObjects(service=one, nodes=[node])) == [
        ("service", "lb.example:9001", "connections", False),
        CLUSTER_IP,
        ("nodeport", "10.1.0.1:30001", "connections", False),
        LAST,
    ]
    assert found(RoutingObjects(service=one), "http")[0][1] == "lb.example:80"


def test_an_ipv6_address_has_brackets() -> None:
    """Without them its port would be part of the address."""
    one = {**SERVICE, "spec": {**SERVICE["spec"], "clusterIP": "fd00::7"}}
    assert found(RoutingObjects(service=one))[0][1] == "[fd00::7]:9001"


def test_traefik_balances_requests_and_comes_first() -> None:
    """At its load balancer, else inside the cluster; at the host of the rule where it has one; not another's route."""
    inside = RoutingObjects(service=SERVICE, ingress_routes=[route("PathPrefix(`/v2`)")], traefiks=[traefik()])
    assert found(inside) == [("ingress", "10.0.9.9:80", "requests", False), CLUSTER_IP, LAST]
    outside = RoutingObjects(
        service=SERVICE, ingress_routes=[route("PathPrefix(`/`)")], traefiks=[traefik(lb="1.2.3.4")]
    )
    assert found(outside)[0] == ("ingress", "1.2.3.4:80", "requests", False)
    secure = route("Host(`llm.example`) && PathPrefix(`/`)", entry="websecure", tls={"secretName": "x"})
    hosted = RoutingObjects(service=SERVICE, ingress_routes=[secure], traefiks=[traefik()])
    assert found(hosted)[0] == ("ingress", "llm.example:443", "requests", True)
    other = RoutingObjects(service=SERVICE, ingress_routes=[route("x", name="another")], traefiks=[traefik()])
    assert found(other) == [CLUSTER_IP, LAST]


def test_nginx_has_an_ingress_for_each_protocol() -> None:
    """An annotation has the protocol."""
    backend = {"backend": {"service": {"name": "svc"}}}
    grpc = {
        "metadata": {"annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"}},
        "spec": {"rules": [{"host": "grpc.example", "http": {"paths": [backend]}}], "tls": [{}]},
    }
    http = {
        "metadata": {},
        "spec": {"rules": [{"http": {"paths": [backend]}}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
    }
    routing = RoutingObjects(service=SERVICE, ingresses=[http, grpc])
    assert found(routing)[0] == ("ingress", "grpc.example:443", "requests", True)
    assert found(routing, "http")[0] == ("ingress", "1.2.3.4:80", "requests", False)


def test_a_gateway_by_its_route_and_listener() -> None:
    """Address of the Gateway where the route has no host name; the listener that it names."""
    parent = {"name": "gw", "namespace": "net", "sectionName": "grpc"}
    spec = {"parentRefs": [parent], "rules": [{"backendRefs": [{"name": "svc", "port": 8001}]}]}
    one = {"kind": "GRPCRoute", "metadata": {"namespace": "llm"}, "spec": spec}
    gateway = {
        "metadata": {"name": "gw", "namespace": "net"},
        "spec": {
            "listeners": [
                {"name": "http", "port": 80, "protocol": "HTTP"},
                {"name": "grpc", "port": 8443, "protocol": "HTTPS"},
            ]
        },
        "status": {"addresses": [{"value": "5.6.7.8"}]},
    }
    routing = RoutingObjects(service=SERVICE, routes=[one], gateways=[gateway])
    assert found(routing)[0] == ("ingress", "5.6.7.8:8443", "requests", True)
    assert found(routing, "http") == [("service", "10.0.0.1:8000", "connections", False), LAST]


def test_each_host_of_a_route_is_an_access_path_and_a_wildcard_is_none() -> None:
    """No connection can be made to a wildcard, and a certificate is for the hosts that it names."""
    match = "(HostRegexp(`^[^.]+[.]a$`) || Host(`b.a`) || Host(`c`)) && PathPrefix(`/`)"
    by_traefik = RoutingObjects(service=SERVICE, ingress_routes=[route(match)], traefiks=[traefik()])
    assert [address for kind, address, *_ in found(by_traefik) if kind == "ingress"] == ["b.a:80", "c:80"]
    http = {"paths": [{"backend": {"service": {"name": "svc"}}}]}
    rules = [{"host": host, "http": http} for host in ("*.a", "b.a", "c")]
    ingress: dict[str, Any] = {"metadata": {}, "spec": {"rules": rules, "tls": [{"hosts": ["*.a"], "secretName": "a"}]}}
    by_nginx = found(RoutingObjects(service=SERVICE, ingresses=[ingress]), "http")
    assert [(address, tls) for kind, address, _, tls in by_nginx if kind == "ingress"] == [
        ("b.a:443", True),
        ("c:80", False),
    ]
    ingress["spec"]["rules"] = [{"http": http}]  # any host, at an address that no certificate names
    ingress["status"] = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    any_host = RoutingObjects(service=SERVICE, ingresses=[ingress])
    assert found(any_host, "http")[0] == ("ingress", "1.2.3.4:443", "requests", True)


@pytest.mark.parametrize(
    ("hostnames", "addresses"),
    [
        (["*.a", "b.a", "c"], ["b.a:443", "b.a:80", "c:80"]),
        (["*.a"], []),
        ([], ["e:8443"]),
    ],
)
def test_a_listener_serves_the_hosts_of_its_own_name(hostnames: list[str], addresses: list[str]) -> None:
    """A route without host names has that of the listener, and a listener without one has the route's."""
    parents = [{"name": "gw"}]
    spec = {"parentRefs": parents, "hostnames": hostnames, "rules": [{"backendRefs": [{"name": "svc"}]}]}
    listeners = [
        {"name": "a", "hostname": "*.a", "port": 443, "protocol": "HTTPS"},
        {"name": "e", "hostname": "e", "port": 8443, "protocol": "HTTPS"},
        {"name": "all", "port": 80, "protocol": "HTTP"},
    ]
    one = {"kind": "GRPCRoute", "metadata": {"namespace": "llm"}, "spec": spec}
    gateway = {"metadata": {"name": "gw", "namespace": "llm"}, "spec": {"listeners": listeners}}
    paths = found(RoutingObjects(service=SERVICE, routes=[one], gateways=[gateway]))
    assert [address for kind, address, *_ in paths if kind == "ingress"] == addresses


GATE = AccessPath(kind="ingress", address="a:1", balances="requests")
SVC = AccessPath(kind="service", address="b:2", balances="connections")
FORWARD = AccessPath(kind="forward", address="", balances="one pod")


def every() -> list[AccessPath]:
    return [GATE, SVC, FORWARD]


def test_the_first_access_path_that_answers_is_taken() -> None:
    """Of the kind in the settings; when none answers, the error lists those that were tried."""
    assert choose_access_path(every, "auto", lambda path: path is SVC) is SVC
    assert choose_access_path(every, "auto", lambda _: False) is FORWARD
    assert choose_access_path(every, "service", lambda _: True) is SVC
    with pytest.raises(TargetError, match=r"not reachable through its ingress from here \(a:1\): run inside the"):
        choose_access_path(every, "ingress", lambda _: False)
    with pytest.raises(TargetError, match=r"no nodeport routes to it"):
        choose_access_path(every, "nodeport", lambda _: True)


@pytest.mark.parametrize("kind", ["auto", "ingress"])
def test_a_gateway_may_answer_a_moment_later(kind: str) -> None:
    """The run waits for it, although the Service, which does not balance requests, answers at once."""
    probed: list[AccessPath] = []
    progress: list[str] = []

    def answers(path: AccessPath) -> bool:
        probed.append(path)
        return path is SVC or len(probed) == 3

    assert choose_access_path(every, kind, answers, within_s=60, say=progress.append) is GATE
    assert probed == [GATE] * 3
    assert progress == ["waiting for a response through ingress a:1"]


def test_a_gateway_may_get_its_address_a_moment_later() -> None:
    """The access paths are looked up anew each time."""
    looks: Iterator[list[AccessPath]] = iter([[], [GATE]])
    assert choose_access_path(lambda: next(looks), "ingress", lambda _: True, within_s=60) is GATE


def test_after_the_deadline_the_next_best_access_path_is_taken() -> None:
    assert choose_access_path(every, "auto", lambda path: path is SVC, within_s=0.2) is SVC
