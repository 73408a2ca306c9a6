"""Permissions to list gateways are checked only for gateways that the cluster has."""

from typing import Any

import pytest

from loadgen.kube.client import permissions as rights

TRAEFIK = {"name": "ingressroutes"}, {"name": "middlewares"}


class Cluster:
    """An API with some kinds and objects, of which some may not be listed."""

    def __init__(self, served: dict[str, Any], objects: dict[str, Any], forbidden: set[str]) -> None:
        self.served, self.objects, self.forbidden = served, objects, forbidden

    def get(self, path: str, **_: str) -> dict[str, Any] | None:
        kinds = self.served.get(path.removeprefix("/apis/"))
        return None if kinds is None else {"resources": [*kinds]}

    def items(self, path: str, **_: str) -> list[Any]:
        plural = path.rpartition("/")[2]
        assert plural not in self.forbidden
        return list(self.objects.get(plural, []))

    def allowed(self, verb: str, resource: str, **_: Any) -> bool:
        return resource not in self.forbidden


def missing(served: dict[str, Any], objects: dict[str, Any], *forbidden: str) -> list[str]:
    api: Any = Cluster(served, objects, set(forbidden))
    return rights.check(api, "llm", rights.ways_in(api, "llm"))[1]


LOST = "a gateway before the workload may not be found, and requests may go past it"
GATEWAY_API = {"gateway.networking.k8s.io/v1": [{"name": "httproutes"}, {"name": "gateways"}]}


def test_kinds_that_are_not_installed_are_not_reported() -> None:
    """Without Traefik and Gateway API, only Ingresses, which every cluster has."""
    everything = ("ingresses", "ingressroutes", "httproutes", "grpcroutes", "gateways", "services")
    assert missing({}, {}, *everything) == [
        f"needs list on ingresses.networking.k8s.io in namespace llm: without it, {LOST}"
    ]
    assert missing({"traefik.io/v1alpha1": TRAEFIK, **GATEWAY_API}, {}, "services", "gateways", "grpcroutes") == []


@pytest.mark.parametrize(
    ("served", "objects", "forbidden", "said"),
    [
        ({"traefik.io/v1alpha1": TRAEFIK}, {}, "ingressroutes", "ingressroutes.traefik.io in namespace llm"),
        ({"traefik.io/v1alpha1": TRAEFIK}, {"ingressroutes": [{}]}, "services", "services in the whole cluster"),
        (GATEWAY_API, {}, "httproutes", "httproutes.gateway.networking.k8s.io in namespace llm"),
        (GATEWAY_API, {"httproutes": [{}]}, "gateways", "gateways.gateway.networking.k8s.io in the whole cluster"),
    ],
)
def test_kinds_that_may_not_be_listed_are_reported(served: Any, objects: Any, forbidden: str, said: str) -> None:
    """Routes of installed kinds, and the gateways of existing routes."""
    assert missing(served, objects, forbidden) == [f"needs list on {said}: without it, {LOST}"]
