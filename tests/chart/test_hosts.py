"""Several host names and certificates for each kind of access from outside."""

from typing import Any

import pytest

from support.charts.cases import TRITON_CASES
from support.charts.helm import objects, rejection
from support.charts.leaves import GATEWAY, NGINX, TRAEFIK, merged
from support.charts.structural import schemas, violations

NAME = "demo-triton-trtllm"
GROUPED = [("llm-tls", ["llm.example.com", "*.llm.example.com"]), ("org-tls", ["llm.example.org", "llm.example.net"])]
HOSTS = [host for _, hosts in GROUPED for host in hosts]


def ingress(base: Any, **values: Any) -> dict[str, Any]:
    return merged(base, {"ingress": values})


def of_kind(values: Any, kind: str) -> dict[str, dict[str, Any]]:
    """Specs by name."""
    return {name: each["spec"] for (found, name), each in objects(values).items() if found == kind}


def test_nginx_has_a_rule_for_each_host_and_a_certificate_for_each_secret() -> None:
    """On both Ingresses; an entry without a Secret has that of ingress.tlsSecret."""
    found = of_kind(TRITON_CASES["emulated-nginx-hosts"], "Ingress")
    assert set(found) == {f"{NAME}-grpc", f"{NAME}-http"}
    for spec in found.values():
        assert [(each["secretName"], each["hosts"]) for each in spec["tls"]] == GROUPED
        assert [each["host"] for each in spec["rules"]] == HOSTS
        assert len({str(each["http"]) for each in spec["rules"]}) == 1


def test_traefik_has_an_ingress_route_for_each_secret() -> None:
    """An IngressRoute has one Secret. The first keeps its name, and that of another one depends on its Secret alone."""
    values = TRITON_CASES["emulated-traefik-hosts"]
    first, second = of_kind(values, "IngressRoute").items()
    assert (first[0], first[1]["tls"], second[1]["tls"]) == (NAME, {"secretName": "llm-tls"}, {"secretName": "org-tls"})
    wildcard = "HostRegexp(`^[^.]+[.]llm[.]example[.]com$`)"
    assert [rule["match"].partition(" && ")[0] for rule in first[1]["routes"]] == [
        f"(Host(`llm.example.com`) || {wildcard})"
    ] * 2
    assert second[1]["routes"][0]["match"].startswith("(Host(`llm.example.org`) || Host(`llm.example.net`)) && ")
    assert [len(spec["routes"]) for _, spec in (first, second)] == [2, 2]
    moved = of_kind(ingress(values, hosts=[{"host": "a.example.com"}, *values["ingress"]["hosts"][2:]]), "IngressRoute")
    assert set(moved) == {NAME, second[0]}


def test_traefik_may_serve_hosts_with_and_without_tls() -> None:
    """The plain host names have an IngressRoute without the field."""
    values = ingress(TRAEFIK, host="llm.internal", hosts=[{"host": "llm.example.com", "tlsSecret": "tls"}])
    assert ["tls" in spec for spec in of_kind(values, "IngressRoute").values()] == [False, True]


def test_routes_of_a_gateway_have_every_host_and_listener() -> None:
    """Within the limits of the Gateway API 1.2, and with references that differ in their section."""
    values = TRITON_CASES["emulated-gateway-hosts"]
    grpc, http = of_kind(values, "GRPCRoute")[NAME], of_kind(values, "HTTPRoute")[NAME]
    assert grpc["hostnames"] == ["llm.example.com", "*.grpc.example.com", "llm.example.org"]
    assert http["hostnames"] == ["http.llm.example.com", "http.llm.example.org"]
    assert grpc["parentRefs"] == http["parentRefs"]
    assert [each["sectionName"] for each in grpc["parentRefs"]] == ["https", "https-grpc", "https-org"]
    oldest = schemas("gateway-api-1.2")
    assert list(violations(grpc, oldest["GRPCRoute"])) == list(violations(http, oldest["HTTPRoute"])) == []


def test_a_route_attaches_to_all_listeners_by_default() -> None:
    """One reference without a section."""
    assert of_kind(GATEWAY, "GRPCRoute")[NAME]["parentRefs"] == [{"name": "public"}]


@pytest.mark.parametrize("base", [NGINX, TRAEFIK, GATEWAY], ids=["nginx", "traefik", "gateway"])
def test_the_list_may_be_all_there_is(base: Any) -> None:
    """Without ingress.host the manifests are those of that one host."""
    one, two = ingress(base, host="llm.example.com"), ingress(base, host="", hosts=[{"host": "llm.example.com"}])
    assert objects(one) == objects(two)


def test_a_list_is_unset_by_null() -> None:
    """As values of an umbrella chart do it."""
    null = ingress(GATEWAY, hosts=None, gateway={"sectionNames": None, "httpHosts": None})
    assert objects(null) == objects(GATEWAY)


MANY = [{"host": f"{number}.example.com"} for number in range(16)]
REJECTED = {
    "any host and more": (
        ingress(TRAEFIK, hosts=[{"host": "llm.example.com"}]),
        'ingress.host "*" matches any host, and ingress.hosts lists more',
    ),
    "a host twice": (
        ingress(NGINX, hosts=[{"host": "llm.example.com"}]),
        "ingress.host and hosts contain llm.example.com twice",
    ),
    "an HTTP host twice": (
        ingress(GATEWAY, gateway={"httpHost": "a.example.com", "httpHosts": ["a.example.com"]}),
        "ingress.gateway.httpHost and httpHosts contain a.example.com twice",
    ),
    "a listener twice": (
        ingress(GATEWAY, gateway={"sectionName": "https", "sectionNames": ["https"]}),
        "ingress.gateway.sectionName and sectionNames contain https twice",
    ),
    "a host of gRPC and HTTP": (
        ingress(GATEWAY, hosts=[{"host": "a.example.com"}], gateway={"httpHosts": ["a.example.com"]}),
        "ingress.gateway.httpHost or httpHosts has a.example.com, which is a host name of gRPC",
    ),
    "more hosts than a route can have": (
        ingress(GATEWAY, hosts=MANY),
        "one GRPCRoute has at most 16 host names, and the values give it 17",
    ),
    "more HTTP hosts than a route can have": (
        ingress(GATEWAY, gateway={"httpHosts": [f"{number}.example.org" for number in range(17)]}),
        "one HTTPRoute has at most 16 host names, and the values give it 17",
    ),
    "a certificate at a Gateway": (
        ingress(GATEWAY, hosts=[{"host": "a.example.com", "tlsSecret": "tls"}]),
        "ingress.hosts[0] has a tlsSecret, and with ingress.kind gateway certificates belong to the listeners",
    ),
    "NGINX without one of its certificates": (
        ingress(NGINX, tlsSecret="", hosts=[{"host": "a.example.com", "tlsSecret": "tls"}]),
        "NGINX supports gRPC only over TLS, and llm.example.com has no certificate",
    ),
    "any host in the list": (ingress(NGINX, hosts=[{"host": "*"}]), "hosts/0/host"),
    "a wildcard in the middle": (ingress(NGINX, hosts=[{"host": "a.*.example.com"}]), "hosts/0/host"),
    "a host in capitals": (ingress(GATEWAY, gateway={"httpHosts": ["LLM.example.com"]}), "httpHosts/0"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_contradictory_hosts_are_rejected(case: str) -> None:
    """The message names the value and what to change."""
    values, message = REJECTED[case]
    assert message in rejection(values)
