"""Conditions of the nodes with replicas on them, as the observer records them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from loadgen.dataset.folder import RunFolder
from loadgen.dataset.stack import NodeState, StackFolder
from loadgen.kube.observe.config import ObserverConfig
from loadgen.kube.observe.observer import Observer
from loadgen.kube.observe.watch_event import WatchEvent
from support.servers.metrics import run_folder

CONFIG = ObserverConfig(namespace="llm", workload="triton", selector="app=triton", model="m", node_use="http://h/n")


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return run_folder(tmp_path)


@pytest.fixture
def observer(folder) -> Observer:
    return Observer(folder, CONFIG, request_lease=lambda node: None)


def now(folder) -> float:
    return folder.read_info().clock.anchor_unix_s + 100.0


def stamped(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat().replace("+00:00", "Z")


def node(name: str, since_s: float, *, cpu: Any = "8", **statuses: str) -> dict[str, Any]:
    """A node whose conditions are as a kubelet reports them, but for those that are given."""
    usual = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}
    conditions = [
        {"type": kind, "status": status, "reason": f"{kind}{status}", "lastTransitionTime": stamped(since_s)}
        for kind, status in (usual | statuses).items()
    ]
    capacity = {"cpu": cpu, "memory": "16Gi", "pods": "110"}
    return {"metadata": {"name": name, "uid": name}, "status": {"conditions": conditions, "capacity": capacity}}


def pod(name: str, on: str) -> dict[str, Any]:
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-24T12:00:00Z"}
    return {
        "metadata": {"name": name, "uid": name, "creationTimestamp": "2026-11-24T12:00:00Z"},
        "spec": {"nodeName": on},
        "status": {"conditions": [scheduled]},
    }


def observe(observer, source, event_type, content, at_s):
    observer.handle(WatchEvent(source=source, type=event_type, at_s=at_s, object=content))
    observer.flush(at_s)


def recorded(folder, kind="node_condition") -> list[dict[str, Any]]:
    lines = (folder.path / "stack" / "journal.jsonl").read_text().splitlines()
    return [each for each in map(json.loads, lines) if each["kind"] == kind]


@pytest.mark.parametrize("pod_first", [True, False])
def test_the_conditions_of_a_node_are_recorded_once_it_has_a_replica(folder, observer, pod_first):
    """In either order of the watches; a condition that has held for an hour has the time of observation."""
    at = now(folder)
    events = [("pods", pod("a", "n1")), ("nodes", node("n1", at - 3600, MemoryPressure="True"))]
    for number, (source, content) in enumerate(events if pod_first else events[::-1]):
        observe(observer, source, "ADDED", content, at + number)
    observe(observer, "nodes", "ADDED", node("empty", at - 3600, DiskPressure="True"), at + 2)
    first, *rest = recorded(folder)
    assert (first["t_s"], first["reason"]) == (101.0, "MemoryPressureTrue")
    assert first["data"] == {"node": "n1", "condition": "MemoryPressure", "status": "True", "pods": ["a"]}
    assert [each["data"]["status"] for each in rest] == ["False", "False", "True"]


def test_a_change_is_recorded_with_its_time_and_a_heartbeat_is_not(folder, observer):
    """Pressure since 105 s, observed at 107 s; an unchanged status at 117 s; the time of a wrong clock is bounded."""
    at = now(folder)
    observe(observer, "pods", "ADDED", pod("a", "n1"), at)
    observe(observer, "nodes", "ADDED", node("n1", at - 3600), at)
    observe(observer, "nodes", "MODIFIED", node("n1", at + 5, MemoryPressure="True"), at + 7)
    observe(observer, "nodes", "MODIFIED", node("n1", at + 5, MemoryPressure="True"), at + 17)
    observe(observer, "nodes", "MODIFIED", node("n1", at + 9000), at + 20)
    changes = [(each["t_s"], each["data"]["status"]) for each in recorded(folder)[4:]]
    assert changes == [(105.0, "True"), (120.0, "False")]


def test_the_state_has_the_nodes_of_the_replicas(folder, observer):
    """CPUs, memory and the node of each replica, for the collector; a node without CPUs has none to divide by."""
    at = now(folder)
    observe(observer, "workloads", "ADDED", {"metadata": {"name": "triton"}, "spec": {"replicas": 2}}, at)
    for number, cpu in enumerate(("8", "0", "much")):
        observe(observer, "pods", "ADDED", pod(f"p{number}", f"n{number}"), at)
        observe(observer, "nodes", "ADDED", node(f"n{number}", at, cpu=cpu), at)
    observe(observer, "nodes", "ADDED", node("empty", at), at)
    state = StackFolder(folder.path).read()
    assert state.nodes == tuple(
        NodeState(name=f"n{number}", cpu_cores=cpu, memory_bytes=16.0 * 2**30)
        for number, cpu in enumerate((8.0, None, None))
    )
    assert ([each.node for each in state.replicas], state.node_use) == (["n0", "n1", "n2"], "http://h/n")


def test_the_event_of_a_scheduled_replica_has_its_node(folder, observer):
    """Also without the permission to read events, whose message has it, too."""
    observe(observer, "pods", "ADDED", pod("a", "n1"), now(folder))
    (scheduled,) = recorded(folder, "replica_scheduled")
    assert scheduled["data"] == {"node": "n1"}
