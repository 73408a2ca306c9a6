"""Endpoint discovery: the first reachable of L7 gateway, Service, NodePort and port-forward."""

import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from loadgen.base.console import Say
from loadgen.base.errors import StackError, TargetError
from loadgen.base.urls import parse_url
from loadgen.kube.client import permissions
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.discover.access_paths import AccessPath, RoutingObjects, access_paths
from loadgen.kube.discover.result import Discovered
from loadgen.kube.discover.workload import ScaledWorkload
from loadgen.kube.objects.raw import Raw
from loadgen.kube.objects.workload import Workload
from loadgen.scenario.settings import Scenario

_CONNECT_S = 2.0
_RETRY_S = 0.5
_TRAEFIK = "app.kubernetes.io/name=traefik"


def discover_access_path(
    api: Api, scaled: ScaledWorkload, scenario: Scenario, requested: str, *, within_s: float, say: Say
) -> Discovered[AccessPath]:
    """The access path that the settings name, or for `auto` the first reachable one.

    A port-forward is returned without an address: the caller opens it.

    Args:
        api: The cluster.
        scaled: Workload and its Service.
        scenario: Scenario whose protocol is used.
        requested: The setting `kube.endpoint`: a kind, `auto`, or a URL.
        within_s: How long to wait for the preferred path before falling back to the next one.
        say: Receives progress, one sentence at a time.

    Raises:
        TargetError: no path is reachable, or the account may not open a port-forward.
    """
    workload, service = scaled.workload, scaled.service
    if "://" in requested:
        url = parse_url(requested, schemes=("http", "https", "grpc", "grpcs"), example="grpc://triton.example:80")
        tls = url.scheme.endswith("s")
        return Discovered(AccessPath(kind="url", address=url.address(443 if tls else 80), balances="unknown", tls=tls))

    def list_paths() -> list[AccessPath]:
        return list(access_paths(routing_objects(api, workload, service), workload, scenario.wire))

    def answers(path: AccessPath) -> bool:
        return reachable(path.address) and path.endpoint(scenario.wire).is_triton()

    missing: list[str] = []
    if requested in ("auto", "ingress") and service is not None:
        _, missing = permissions.check(api, workload.namespace, permissions.for_gateways(api, workload.namespace))
    try:
        path = choose_access_path(list_paths, requested, answers, within_s=within_s, say=say)
    except TargetError as error:
        raise TargetError("; ".join([str(error), *missing])) from error
    if path.kind == "forward":
        permissions.check(api, workload.namespace, [permissions.PORT_FORWARD])
    return Discovered(path, missing=() if path.kind == "ingress" else tuple(missing))


def routing_objects(api: Api, workload: Workload, service: Raw | None) -> RoutingObjects:
    """List the objects that may route to the workload; kinds that are not installed or not permitted are empty."""

    def items(*parts: str, **query: str) -> list[Any]:
        try:
            return api.items(path_of(*parts), **query)
        except StackError:
            return []

    namespace = ("namespaces", workload.namespace)
    gateway_api = ("apis", "gateway.networking.k8s.io", "v1")
    return RoutingObjects(
        service=service,
        ingress_routes=items("apis", "traefik.io", "v1alpha1", *namespace, "ingressroutes"),
        traefiks=items("api", "v1", "services", labelSelector=_TRAEFIK),
        ingresses=items("apis", "networking.k8s.io", "v1", *namespace, "ingresses"),
        routes=[
            {**each, "kind": kind}
            for kind, plural in (("GRPCRoute", "grpcroutes"), ("HTTPRoute", "httproutes"))
            for each in items(*gateway_api, *namespace, plural)
        ],
        gateways=items(*gateway_api, "gateways"),
        nodes=items("api", "v1", "nodes"),
    )


def choose_access_path(
    list_paths: Callable[[], Sequence[AccessPath]],
    kind: str,
    answers: Callable[[AccessPath], bool],
    *,
    within_s: float = 0.0,
    say: Say = lambda _: None,
) -> AccessPath:
    """The first access path of a kind (`auto`: of any kind) that is reachable; a port-forward is not probed.

    A gateway learns that a replica is ready some time after the cluster does, so the preferred kind has `within_s`
    seconds to respond before the next one is tried.

    Raises:
        TargetError: no path is reachable; the message lists those that were tried.
    """
    deadline = time.monotonic() + within_s
    waiting = False
    while True:
        expired = time.monotonic() >= deadline
        paths = [path for path in list_paths() if kind in ("auto", path.kind)]
        preferred = [path for path in paths if path.kind == paths[0].kind]
        for path in paths if expired else preferred:
            if path.kind == "forward" or answers(path):
                return path
        tried = ", ".join(path.address for path in paths) or f"no {kind} routes to it"
        if expired:
            raise TargetError(
                f"the workload is not reachable through its {kind} from here ({tried}): run inside the cluster "
                "(charts/loadgen), give an address with --kube-endpoint, or use --kube-endpoint forward to try it out"
            )
        if not waiting:
            say(f"waiting for a response through {', '.join(map(str, preferred)) or tried}")
            waiting = True
        time.sleep(_RETRY_S)


def reachable(address: str) -> bool:
    """Whether `host:port` accepts connections."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S):
            return True
    except OSError:
        return False
