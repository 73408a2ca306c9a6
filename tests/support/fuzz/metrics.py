"""Targets: metrics pages, answers of Prometheus and of the metrics APIs, and the files that name where to read them."""

import json
import math
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import requests
from hypothesis import strategies as st

from loadgen.base.clock import Clock
from loadgen.base.errors import CollectError
from loadgen.collect import custom_metrics, node_use
from loadgen.collect.journal import Journal
from loadgen.collect.raw import parse
from loadgen.collect.scrape_targets import Node, NodeUse, StackTargets
from loadgen.collect.signals import Gauge, RecordingRule
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import RunInfo, ValidityLimits
from loadgen.dataset.stack import StackFolder
from loadgen.kube.discover.prometheus import labels_of, query, rule_timing, scrape_interval_s, server_time_s
from loadgen.local.autoscaler import adapter_answer
from loadgen.local.gateway import routes_in
from loadgen.local.prometheus import replicas_in
from loadgen.local.triton import pending_requests
from support.fuzz.damage import damaged_bytes, json_bytes
from support.fuzz.target import Target

INFO = RunInfo(
    run_id="r",
    scenario="s",
    anchor_unix_s=1.7e9,
    anchor_monotonic_s=10.0,
    target="local",
    protocol="grpc",
    stream=True,
    validity=ValidityLimits(send_lag_p99_s=0.1, scrape_gap_s=10.0, min_samples=10),
)
_PAGE = b"""\
# HELP nv_inference_request_success Number of successful requests
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="m",version="1"} 12
nv_inference_queue_duration_us{model="m",version="1"} 3.5e6
nv_inference_compute_infer_duration_us{model="m",version="1"} 9000000
nv_inference_pending_request_count{model="m",version="1"} 3
"""
_SERIES: list[Any] = [
    {"metric": {"__name__": "up", "pod": "a"}, "values": [[1.7e9, "1"], [1.7e9 + 5, "0.5"]]},
    {"metric": {"instance": "127.0.0.1:8002"}, "values": [[1.7e9, "+Inf"], [1.7e9 + 5, "NaN"]]},
]
_CUSTOM: dict[str, Any] = {"items": [{"describedObject": {"kind": "Pod", "name": "a"}, "value": "1500m"}]}
_USAGE: dict[str, str] = {"cpu": "250m", "memory": "1048576Ki"}
_USE: dict[str, Any] = {
    "items": [
        {"metadata": {"name": "a"}, "timestamp": "2026-11-24T12:00:00Z", "usage": _USAGE},
        {"metadata": {"name": "a"}, "timestamp": "2026-11-24T12:00:00Z", "containers": [{"usage": _USAGE}]},
    ]
}
_EVENT = {"t_s": 1.5, "kind": "replica_ready", "pod": "a", "reason": None, "message": "x", "data": {"a": [1]}}
_STATE: dict[str, Any] = {
    "phase": "ready",
    "gateway": "127.0.0.1:80",
    "prometheus": "http://127.0.0.1:9090",
    "custom_metrics": None,
    "model": "m",
    "desired": 2,
    "metric_milli": 100,
    "versions": {"triton": "2.60"},
    "replicas": [
        {"name": "a", "phase": "ready", "http": "127.0.0.1:1", "grpc": None, "metrics": "http://127.0.0.1:2/metrics"},
        {"name": "b", "phase": "started", "metrics": "127.0.0.1:3"},
    ],
}
_INSTANT = {
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": {"pod": "a"}, "value": [1.7e9, "2"]}]},
}
_SERVICE = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:8000"}]}, "status": "enabled"}
_RULES = {
    "groups": [
        {"interval": 15, "rules": [{"name": "r", "query": 'rate(x{namespace="n"}[1m30s])', "type": "recording"}]}
    ]
}
_TARGETS = {"activeTargets": [{"labels": {"namespace": "n", "pod": "a"}, "scrapeInterval": "15s"}]}
_TIME = {"resultType": "scalar", "result": [1.7e9, "1700000000.5"]}


def _page(body: bytes) -> None:
    for value in parse(body.decode(errors="replace"), "m").values():
        assert math.isfinite(value)


def _signal(body: bytes) -> None:
    try:
        decoded = json.loads(body)
    except RecursionError:
        return  # the reader of Prometheus reports it
    for kind in (Gauge(), RecordingRule()):
        for reading in kind.parse(decoded):
            assert math.isfinite(reading.value)
            assert math.isfinite(reading.unix_s)


def _custom(body: bytes) -> None:
    with patch.object(custom_metrics, "fetch", return_value=body.decode(errors="replace")):
        for sample in custom_metrics.read("http://127.0.0.1:1", Clock(anchor_unix_s=0.0, anchor_monotonic_s=0.0)):
            assert math.isfinite(sample.value)


def _node_use(body: bytes) -> None:
    node = Node(name="a", cpu_cores=8.0, memory_bytes=2.0**34)
    where = NodeUse(nodes_url="http://h/n", replicas_url="http://h/p", nodes={"a": node}, node_of={"a": "a"})
    with patch.object(node_use, "fetch", return_value=body.decode(errors="replace")):
        for sample in node_use.NodeUseReader(Clock(anchor_unix_s=0.0, anchor_monotonic_s=0.0)).read(where):
            assert 0 <= sample.value < math.inf


def _journal(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(body + b"\n")
        for event in Journal(path).read():
            assert math.isfinite(event.t_s)
            event.row()


def _state(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "stack").mkdir()
        (Path(folder) / "stack" / "state.json").write_bytes(body)
        StackTargets(RunFolder(Path(folder)), INFO).current()
        StackFolder(Path(folder)).read()


def _prometheus_of_cluster(body: bytes) -> None:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return  # `prometheus.query` reports it
    fields = data if isinstance(data, dict) else {}
    for timing in rule_timing(fields.get("groups"), "r", "n"):
        assert timing is None or 0 < timing < 1e9
    interval_s = scrape_interval_s(fields.get("activeTargets"), "n", ["a"])
    assert interval_s is None or 0 < interval_s < 1e9
    labels_of(fields.get("result"))
    server_time_s(data)


def _query(body: bytes) -> None:
    response = requests.Response()
    response.status_code, response._content = 200, body
    with patch.object(requests.Session, "get", return_value=response):
        query("http://127.0.0.1:1", "/api/v1/query", query="up")


def _local_stack(body: bytes) -> None:
    adapter_answer(body)
    routes_in(body)
    replicas_in(body)
    pending_requests(body.decode(errors="replace"), "m")


TARGETS = (
    Target(
        name="prometheus-query",
        valid=(json.dumps(_INSTANT).encode(),),
        inputs=json_bytes(_INSTANT),
        parse=_query,
        calls=("loadgen.kube.discover.prometheus:query",),
    ),
    Target(
        name="metrics-page",
        valid=(_PAGE,),
        inputs=damaged_bytes(_PAGE, *_PAGE.splitlines(keepends=True)),
        parse=_page,
        calls=("loadgen.collect.raw:parse", "loadgen.collect.raw:_samples", "loadgen.collect.signals:Exposed.total"),
        errors=(CollectError,),
    ),
    Target(
        name="prometheus-series",
        valid=(json.dumps(_SERIES).encode(),),
        inputs=json_bytes(_SERIES, [_SERIES[0]] * 3),
        parse=_signal,
        calls=("loadgen.collect.signals:Gauge.parse", "loadgen.collect.signals:_series"),
        errors=(ValueError,),
    ),
    Target(
        name="custom-metrics",
        valid=(json.dumps(_CUSTOM).encode(),),
        inputs=json_bytes(_CUSTOM),
        parse=_custom,
        calls=("loadgen.collect.custom_metrics:read", "loadgen.collect.custom_metrics:number"),
        errors=(CollectError,),
    ),
    Target(
        name="node-use",
        valid=(json.dumps(_USE).encode(),),
        inputs=json_bytes(_USE),
        parse=_node_use,
        calls=(
            "loadgen.collect.node_use:NodeUseReader._node",
            "loadgen.collect.node_use:NodeUseReader._replica",
            "loadgen.collect.node_use:_items",
        ),
        errors=(CollectError,),
    ),
    Target(
        name="journal",
        valid=(json.dumps(_EVENT).encode(),),
        inputs=json_bytes(_EVENT),
        parse=_journal,
        calls=("loadgen.collect.journal:Journal.read", "loadgen.dataset.events:parse_event"),
    ),
    Target(
        name="stack-state",
        valid=(json.dumps(_STATE).encode(),),
        inputs=json_bytes(_STATE),
        parse=_state,
        calls=(
            "loadgen.collect.scrape_targets:StackTargets.current",
            "loadgen.collect.scrape_targets:metrics_url",
            "loadgen.dataset.stack:StackFolder.read",
        ),
    ),
    Target(
        name="prometheus-of-cluster",
        valid=(json.dumps({**_RULES, **_TARGETS, **_TIME}).encode(),),
        inputs=json_bytes({**_RULES, **_TARGETS, **_TIME}),
        parse=_prometheus_of_cluster,
        calls=(
            "loadgen.kube.discover.prometheus:rule_timing",
            "loadgen.kube.discover.prometheus:scrape_interval_s",
            "loadgen.kube.discover.prometheus:server_time_s",
            "loadgen.kube.discover.prometheus:labels_of",
            "loadgen.kube.discover.prometheus:_valid",
            "loadgen.kube.discover.prometheus:_seconds",
        ),
    ),
    Target(
        name="local-stack",
        valid=(json.dumps(_INSTANT).encode(), json.dumps(_SERVICE).encode(), _PAGE),
        inputs=st.one_of(json_bytes(_INSTANT, _SERVICE), damaged_bytes(_PAGE)),
        parse=_local_stack,
        calls=(
            "loadgen.local.autoscaler:adapter_answer",
            "loadgen.local.gateway:routes_in",
            "loadgen.local.prometheus:replicas_in",
            "loadgen.local.triton:pending_requests",
        ),
    ),
)
