"""The use of CPU and memory in lists as metrics-server serves them, read over a real connection."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from loadgen.base.clock import Clock
from loadgen.base.errors import CollectError
from loadgen.collect.node_use import NodeUseReader
from loadgen.collect.scrape_targets import Node, NodeUse, StackTargets
from loadgen.dataset.stack import NodeState, ReplicaState, StackFolder, StackState
from support.servers.http import serving
from support.servers.metrics import run_folder

GI = 2.0**30


@pytest.fixture
def pages() -> dict[str, bytes]:
    return {}


@pytest.fixture
def url(pages: dict[str, bytes]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path, b"")
            self.send_response_only(200 if body else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as base:
        yield base


def node(name: str, cpu: str, memory: str, stamp: str = "2026-11-24T12:00:00Z") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "creationTimestamp": stamp},
        "timestamp": stamp,
        "window": "20.064s",
        "usage": {"cpu": cpu, "memory": memory},
    }


def pod(name: str, *containers: tuple[str, str], stamp: str = "2026-11-24T12:00:00Z") -> dict[str, Any]:
    usage = [{"name": f"c{n}", "usage": {"cpu": cpu, "memory": memory}} for n, (cpu, memory) in enumerate(containers)]
    return {"metadata": {"name": name, "namespace": "llm"}, "timestamp": stamp, "window": "15s", "containers": usage}


def listed(*items: Any) -> bytes:
    return json.dumps({"kind": "NodeMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "items": items}).encode()


def use(url: str, *, replicas: bool = True, **changes: Any) -> NodeUse:
    known = {"n1": Node(name="n1", cpu_cores=8.0, memory_bytes=16 * GI)}
    fields = {"nodes": known, "node_of": {"a": "n1"}, **changes}
    return NodeUse(nodes_url=f"{url}/nodes", replicas_url=f"{url}/pods" if replicas else None, **fields)


def rows(reader: NodeUseReader, where: NodeUse) -> list[tuple[str, str | None, float]]:
    return [(row.signal, row.pod, row.value) for row in reader.read(where)]


def test_use_is_a_share_of_what_the_node_has(pages: dict[str, bytes], url: str) -> None:
    """2 of 8 CPUs, 4 of 16 GiB; a replica of two containers uses 1.5 CPUs and 3 GiB; others are not of this run."""
    pages["/nodes"] = listed(node("n1", "2000m", "4194304Ki"), node("other", "1", "1Gi"))
    pages["/pods"] = listed(pod("a", ("1", "2Gi"), ("500000000n", "1Gi")), pod("unknown", ("1", "1Gi")))
    assert rows(NodeUseReader(Clock.start()), use(url)) == [
        ("node_cpu_ratio", "n1", 0.25),
        ("node_memory_ratio", "n1", 0.25),
        ("replica_cpu_ratio", "a", 0.1875),
        ("replica_memory_ratio", "a", 0.1875),
    ]


def test_a_value_is_recorded_once(pages: dict[str, bytes], url: str) -> None:
    """The collector reads every three seconds, and the API has a new value about every 15 s."""
    reader, where = NodeUseReader(Clock.start()), use(url, replicas=False)
    pages["/nodes"] = listed(node("n1", "2", "4Gi"))
    assert len(rows(reader, where)) == 2
    assert rows(reader, where) == []
    pages["/nodes"] = listed(node("n1", "4", "4Gi", "2026-11-24T12:00:15Z"))
    assert rows(reader, where) == [("node_cpu_ratio", "n1", 0.5), ("node_memory_ratio", "n1", 0.25)]


def test_one_bad_item_costs_itself(pages: dict[str, bytes], url: str) -> None:
    """The items without a name, with a value that is no quantity, or below 0 are left out."""
    bad = [{}, 7, node("n1", "much", "1Gi"), node("n1", "-1", "1Gi"), {"metadata": {"name": "n1"}}]
    pages["/nodes"] = listed(*bad, node("n1", "8", "16Gi"))
    assert [value for *_, value in rows(NodeUseReader(Clock.start()), use(url, replicas=False))] == [1.0, 1.0]


def test_a_node_without_known_cpus_has_a_share_of_its_memory_only(pages: dict[str, bytes], url: str) -> None:
    """Its capacity names no CPUs."""
    pages["/nodes"] = listed(node("n1", "2", "8Gi"))
    where = use(url, replicas=False, nodes={"n1": Node(name="n1", memory_bytes=16 * GI)})
    assert rows(NodeUseReader(Clock.start()), where) == [("node_memory_ratio", "n1", 0.5)]


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b'{"items": 7}'])
def test_an_invalid_response_is_an_error(pages: dict[str, bytes], url: str, body: bytes) -> None:
    """metrics-server is not available (503), or something else answers."""
    pages["/nodes"] = body
    with pytest.raises(CollectError, match="the metrics API of the cluster"):
        NodeUseReader(Clock.start()).read(use(url))


def test_the_state_names_the_urls_the_nodes_and_the_node_of_each_replica(tmp_path) -> None:
    """As the observer of a cluster writes it."""
    folder = run_folder(tmp_path)
    replicas = (ReplicaState(name="a", phase="ready", node="n1"), ReplicaState(name="b", phase="created"))
    nodes = (NodeState(name="n1", cpu_cores=8.0),)
    state = StackState(model="m", desired=2, node_use="http://h/n", replicas=replicas, nodes=nodes)
    StackFolder(folder.path).write(state)
    found = StackTargets(folder, folder.read_info()).current().use
    assert found == NodeUse(nodes_url="http://h/n", nodes={"n1": Node(name="n1", cpu_cores=8.0)}, node_of={"a": "n1"})
