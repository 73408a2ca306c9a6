"""Targets: objects and answers of the Kubernetes API, kubeconfigs, and HPA manifests."""

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st

from loadgen.autoscale.manifest import parse_hpa
from loadgen.dataset.folder import RunFolder
from loadgen.kube.client.credentials import load_credentials
from loadgen.kube.client.response import Response, document, error_message, parse_date
from loadgen.kube.deploy.values import parse_set, read_values
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
from loadgen.kube.observe.watches import renew_time_s
from support.fuzz.damage import damaged, damaged_text, json_bytes, yaml_bytes
from support.fuzz.kubernetes_objects import (
    DEPLOYMENT,
    EVENT,
    FAILED,
    GATEWAY,
    HPA,
    INGRESS,
    INGRESS_ROUTE,
    LWS,
    MANIFEST,
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

_SERVER = "https://127.0.0.1:6443"
_WORKLOAD = workload_of({**DEPLOYMENT, "kind": "Deployment"})

Parse = Callable[[Any], object]


def _objects(kind: str, *valid: Any, read: Parse, calls: Sequence[str]) -> Target:
    """A target for the readers of one kind of object, behind the check of its fields."""
    assert kind in SHAPES
    bodies = [json.dumps(each).encode() for each in valid]

    def parse(body: bytes) -> None:
        read(checked(kind, document(Response(200, {}, body), _SERVER)))

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
_OF_KINDS = (
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


def _response(body: bytes) -> None:
    for status in (200, 302, 403, 500):
        message = error_message(Response(status, {"content-type": "application/json"}, body), _SERVER)
        assert len(message.splitlines()) == 1, message
        assert len(message) < 600
    document(Response(200, {}, body), _SERVER)


_KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
    "clusters": [
        {
            "name": "k",
            "cluster": {
                "server": "https://127.0.0.1:6443",
                "proxy-url": "http://127.0.0.1:3128",
                "insecure-skip-tls-verify": True,
            },
        }
    ],
    "users": [{"name": "u", "user": {"token": "some-secret-token", "username": "a", "password": "b"}}],
}


def _kubeconfig(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config"
        file.write_bytes(body)
        with patch.dict("os.environ", {"KUBECONFIG": str(file)}):
            load_credentials(None)


def _values(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "values.yaml"
        file.write_bytes(body)
        json.dumps(read_values(file, file))  # as for helm


_VALUES = {"mode": "engine", "image": {"tag": "26.07-py3"}, "server": {"env": [{"name": "A", "value": "1"}]}}

TARGETS = (
    *_OF_KINDS,
    Target(
        name="kubernetes-response",
        valid=(b'{"kind": "Status", "message": "pods is forbidden"}',),
        inputs=json_bytes({"kind": "Status", "message": "a\nb", "code": 403}) | st.just(b"<html>\n<body>\n"),
        parse=_response,
        calls=("loadgen.kube.client.response:document", "loadgen.kube.client.response:error_message"),
    ),
    Target(
        name="kubernetes-lease",
        valid=(json.dumps({"spec": {"renewTime": "2026-11-30T10:00:00.123456Z"}}).encode(),),
        inputs=json_bytes({"spec": {"renewTime": "2026-11-30T10:00:00.123456Z"}}),
        parse=renew_time_s,
        calls=("loadgen.kube.observe.watches:renew_time_s",),
        errors=(),
    ),
    Target(
        name="date-header",
        valid=("Mon, 30 Nov 2026 10:00:00 GMT",),
        inputs=damaged_text("Mon, 30 Nov 2026 10:00:00 GMT", "30 Nov 9999 23:59:59 -2359"),
        parse=parse_date,
        calls=("loadgen.kube.client.response:parse_date",),
        errors=(),
    ),
    Target(
        name="kubeconfig",
        examples=8,
        valid=(json.dumps(_KUBECONFIG).encode(),),
        inputs=yaml_bytes(_KUBECONFIG),
        parse=_kubeconfig,
        calls=(
            "loadgen.kube.client.credentials:_from_kubeconfig",
            "loadgen.kube.client.credentials:_require_yaml",
            "loadgen.kube.client.credentials:choose_proxy",
            "loadgen.base.urls:without_user",
        ),
    ),
    Target(
        name="chart-values",
        examples=10,
        valid=(json.dumps(_VALUES).encode(),),
        inputs=yaml_bytes(_VALUES),
        parse=_values,
        calls=("loadgen.kube.deploy.values:read_values", "loadgen.kube.deploy.values:merge"),
    ),
    Target(
        name="set-option",
        valid=("autoscaling.maxReplicas=8", 'a.b=[1, {"x": y}]'),
        inputs=damaged_text("autoscaling.maxReplicas=8", "a={b: 2026-11-30}", "a=&x [*x]", "a=2026-13-45"),
        parse=lambda text: json.dumps(parse_set(text)),
        calls=("loadgen.kube.deploy.values:parse_set",),
    ),
    Target(
        name="hpa-manifest",
        valid=(MANIFEST,),
        inputs=damaged(MANIFEST),
        parse=parse_hpa,
        calls=("loadgen.autoscale.manifest:parse_hpa", "loadgen.base.quantity:parse_quantity"),
    ),
)
