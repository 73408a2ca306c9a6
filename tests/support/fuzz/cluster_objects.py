"""Targets: objects of the Kubernetes API, of every kind that is read."""

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loadgen.dataset.folder import RunFolder
from loadgen.kube.client.response import Response, document
from loadgen.kube.discover import autoscaler, keda
from loadgen.kube.discover.access_paths import RoutingObjects, access_paths
from loadgen.kube.discover.prometheus import RuleTiming, choose_prometheus
from loadgen.kube.discover.selection import choose_hpa, choose_service, choose_workload
from loadgen.kube.objects import node_conditions
from loadgen.kube.objects.pod_startup import find_blockers, find_progress, startup_stage, summary
from loadgen.kube.objects.rollout_status import rollout_pending, updated_pods
from loadgen.kube.objects.shapes import SHAPES, checked
from loadgen.kube.objects.workload import Workload, workload_of
from loadgen.kube.observe.config import ObserverConfig
from loadgen.kube.observe.observer import Observer
from loadgen.kube.observe.watch_event import LISTED, WatchEvent
from support.fuzz.damage import json_bytes
from support.fuzz.kubernetes_objects import (
    DEPLOYMENT,
    EVENT,
    FAILED,
    GATEWAY,
    HPA,
    INGRESS,
    INGRESS_ROUTE,
    LWS,
    NODE,
    PENDING,
    POD,
    REPLICA_SET,
    RESCALE,
    ROUTE,
    SCALED_OBJECT,
    SERVICE,
)
from support.fuzz.metrics import INFO
from support.fuzz.target import Target

API_SERVER = "https://127.0.0.1:6443"
_WORKLOAD = workload_of({**DEPLOYMENT, "kind": "Deployment"})

Parse = Callable[[Any], object]


def _objects(kind: str, *valid: Any, read: Parse, calls: Sequence[str]) -> Target:
    """A target for the readers of one kind of object, behind the check of its fields."""
    assert kind in SHAPES
    bodies = [json.dumps(each).encode() for each in valid]

    def parse(body: bytes) -> None:
        read(checked(kind, document(Response(200, {}, body), API_SERVER)))

    return Target(
        name=f"kubernetes-{kind.replace(' ', '-')}",
        valid=tuple(bodies),
        inputs=json_bytes(*valid),
        parse=parse,
        calls=("loadgen.kube.objects.shapes:parsed", "loadgen.kube.client.response:document", *calls),
        examples=10,
    )


def _read_workload(kind: str) -> Parse:
    def read(raw: Any) -> None:
        workload = choose_workload([{**raw, "kind": kind}], name=None, location="here")
        assert isinstance(workload, Workload)
        rollout_pending({**raw, "kind": kind}, 2)
        updated_pods({**raw, "kind": kind}, [POD, PENDING], [REPLICA_SET])
        find_blockers([], [EVENT], workload=raw)
        _observe("workloads", raw)

    return read


def _observe(source: str, raw: Any) -> None:
    """Let the observer handle an object that was listed, modified and deleted, and write what follows from it."""
    config = ObserverConfig(namespace="n", workload="llm", hpa="llm", metric="ratio", selector="app=llm", model="m")
    with tempfile.TemporaryDirectory() as folder:
        RunFolder(Path(folder)).write_info(INFO)
        observer = Observer(RunFolder(Path(folder)), config, lambda _: None)
        observer.handle(WatchEvent(source="workloads", type=LISTED, at_s=1.8e9, items=[DEPLOYMENT]))
        if "uid" not in raw["metadata"]:
            return  # the watcher refuses it
        observer.handle(WatchEvent(source="pods", type=LISTED, at_s=1.8e9, items=[POD] if source != "pods" else []))
        for number, kind in enumerate(("ADDED", "MODIFIED", "DELETED")):
            observer.handle(WatchEvent(source=source, type=kind, at_s=1.8e9 + number, object=raw))
            observer.flush(1.8e9 + number)
        observer.close(1.8e9 + 100)


def _read_pod(raw: Any) -> None:
    startup_stage(raw)
    summary([raw], 1)
    find_blockers([raw, PENDING], [EVENT])
    updated_pods({**LWS, "kind": "LeaderWorkerSet"}, [raw, POD], None)
    _observe("pods", raw)


def _read_event(raw: Any) -> None:
    find_blockers([PENDING], [raw], replicas=2, workload=DEPLOYMENT)
    find_progress([PENDING], [raw])
    _observe("events", raw)
    _observe("rescales", raw)


def _read_hpa(raw: Any) -> None:
    choose_hpa([raw], _WORKLOAD, name=None)
    keda.scaled_object(raw)
    metrics = [*autoscaler.pods_metrics(raw), *keda.trigger_metrics(raw, SCALED_OBJECT)[0]]
    autoscaler.no_pods_metric(raw)
    for metric in metrics:
        autoscaler.autoscaler_of(raw, metric, RuleTiming(None, None), None)
    autoscaler.manifest_of(raw)
    _observe("hpas", raw)


def _read_service(raw: Any) -> None:
    service = choose_service([raw], _WORKLOAD, name=None)
    choose_prometheus([raw])
    _paths(RoutingObjects(service=service, nodes=[NODE]))
    _paths(RoutingObjects(service=SERVICE, traefiks=[raw], ingress_routes=[INGRESS_ROUTE]))


def _paths(routing: RoutingObjects) -> None:
    for protocol in ("grpc", "http"):
        list(access_paths(routing, _WORKLOAD, protocol))


def _read_node(raw: Any) -> None:
    _observe("nodes", raw)
    read = node_conditions.reduced(raw)
    assert all(math.isfinite(event.unix_s) for event in node_conditions.NodeConditions().update(read, ["a"], 1.7e9))
    for amount in (node_conditions.node_state(read).cpu_cores, node_conditions.node_state(read).memory_bytes):
        assert amount is None or 0 < amount < math.inf
    _paths(RoutingObjects(service=SERVICE, nodes=[raw]))


def _route(kind: str) -> Parse:
    return lambda raw: _paths(RoutingObjects(service=SERVICE, routes=[{**raw, "kind": kind}], gateways=[GATEWAY]))


_ACCESS = "loadgen.kube.discover.access_paths"
_OBJECTS = "loadgen.kube.objects"
TARGETS = (
    _objects(
        "deployments",
        DEPLOYMENT,
        read=_read_workload("Deployment"),
        calls=(
            f"{_OBJECTS}.workload:workload_of",
            f"{_OBJECTS}.server_ports:server_ports",
            f"{_OBJECTS}.rollout_status:rollout_pending",
        ),
    ),
    _objects(
        "leaderworkersets", LWS, read=_read_workload("LeaderWorkerSet"), calls=(f"{_OBJECTS}.workload:workload_of",)
    ),
    _objects(
        "replicasets",
        REPLICA_SET,
        read=lambda raw: (
            updated_pods({**DEPLOYMENT, "kind": "Deployment"}, [POD], [raw]),
            _observe("replicasets", raw),
        ),
        calls=(f"{_OBJECTS}.rollout_status:updated_pods",),
    ),
    _objects(
        "pods",
        POD,
        PENDING,
        FAILED,
        read=_read_pod,
        calls=(
            f"{_OBJECTS}.pod_startup:find_blockers",
            f"{_OBJECTS}.pod_lifecycle:PodLifecycle.update",
            f"{_OBJECTS}.pod_states:PodStates.update",
            "loadgen.kube.observe.pods:PodTracker.update",
            f"{_OBJECTS}.raw:parse_time",
        ),
    ),
    _objects(
        "events",
        EVENT,
        RESCALE,
        read=_read_event,
        calls=(
            f"{_OBJECTS}.provisioners:provisioning_of",
            f"{_OBJECTS}.events:pod_event",
            "loadgen.kube.observe.rescales:new_size",
        ),
    ),
    _objects(
        "nodes",
        NODE,
        read=_read_node,
        calls=(
            f"{_OBJECTS}.node_readiness:NodeReadiness.update",
            f"{_OBJECTS}.node_conditions:NodeConditions.update",
            f"{_ACCESS}:_by_node",
        ),
    ),
    _objects(
        "horizontalpodautoscalers",
        HPA,
        read=_read_hpa,
        calls=(
            f"{_OBJECTS}.events:hpa_sync",
            "loadgen.kube.discover.autoscaler:autoscaler_of",
            f"{_OBJECTS}.raw:milli",
        ),
    ),
    _objects(
        "scaledobjects",
        SCALED_OBJECT,
        read=lambda raw: keda.trigger_metrics(HPA, raw),
        calls=("loadgen.kube.discover.keda:trigger_metrics",),
    ),
    _objects(
        "services",
        SERVICE,
        read=_read_service,
        calls=(
            f"{_OBJECTS}.server_ports:service_port",
            "loadgen.kube.discover.prometheus:choose_prometheus",
            f"{_ACCESS}:_by_traefik",
        ),
    ),
    _objects(
        "ingresses",
        INGRESS,
        read=lambda raw: _paths(RoutingObjects(service=SERVICE, ingresses=[raw])),
        calls=(f"{_ACCESS}:_by_ingress",),
    ),
    _objects(
        "ingressroutes",
        INGRESS_ROUTE,
        read=lambda raw: _paths(RoutingObjects(service=SERVICE, traefiks=[SERVICE], ingress_routes=[raw])),
        calls=(f"{_ACCESS}:_by_traefik",),
    ),
    _objects("grpcroutes", ROUTE, read=_route("GRPCRoute"), calls=(f"{_ACCESS}:_by_gateway",)),
    _objects("httproutes", ROUTE, read=_route("HTTPRoute"), calls=(f"{_ACCESS}:_by_gateway",)),
    _objects(
        "gateways",
        GATEWAY,
        read=lambda raw: _paths(
            RoutingObjects(service=SERVICE, routes=[{**ROUTE, "kind": "GRPCRoute"}], gateways=[raw])
        ),
        calls=(f"{_ACCESS}:_by_gateway",),
    ),
    _objects(
        "api group",
        {"preferredVersion": {"groupVersion": "custom.metrics.k8s.io/v1beta2"}},
        read=lambda raw: raw["preferredVersion"]["groupVersion"].encode("ascii"),
        calls=(),
    ),
    _objects(
        "api resources",
        {"resources": [{"name": "ingressroutes"}]},
        read=lambda raw: {each["name"] for each in raw.get("resources", [])},
        calls=(),
    ),
    _objects(
        "version", {"gitVersion": "v1.37.1"}, read=lambda raw: raw.get("gitVersion", "").removeprefix("v"), calls=()
    ),
)
