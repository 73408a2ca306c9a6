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
    return rights.check(api, "llm", rights.for_gateways(api, "llm"))[1]


BYPASS = "traffic may bypass a gateway that this account cannot list"
GATEWAY_API = {"gateway.networking.k8s.io/v1": [{"name": "httproutes"}, {"name": "gateways"}]}


def test_kinds_that_are_not_installed_are_not_reported() -> None:
    """Without Traefik and Gateway API, only Ingresses, which every cluster has."""
    everything = ("ingresses", "ingressroutes", "httproutes", "grpcroutes", "gateways", "services")
    assert missing({}, {}, *everything) == [
        f"missing RBAC permissions: list on ingresses.networking.k8s.io in namespace llm ({BYPASS})"
    ]
    assert missing({"traefik.io/v1alpha1": TRAEFIK, **GATEWAY_API}, {}, "services", "gateways", "grpcroutes") == []


@pytest.mark.parametrize(
    ("served", "objects", "forbidden", "said"),
    [
        ({"traefik.io/v1alpha1": TRAEFIK}, {}, "ingressroutes", "ingressroutes.traefik.io in namespace llm"),
        ({"traefik.io/v1alpha1": TRAEFIK}, {"ingressroutes": [{}]}, "services", "services cluster-wide"),
        (GATEWAY_API, {}, "httproutes", "httproutes.gateway.networking.k8s.io in namespace llm"),
        (GATEWAY_API, {"httproutes": [{}]}, "gateways", "gateways.gateway.networking.k8s.io cluster-wide"),
    ],
)
def test_kinds_that_may_not_be_listed_are_reported(served: Any, objects: Any, forbidden: str, said: str) -> None:
    """Routes of installed kinds, and the gateways of existing routes."""
    assert missing(served, objects, forbidden) == [f"missing RBAC permissions: list on {said} ({BYPASS})"]
