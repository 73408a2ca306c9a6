"""What the observer writes for what its watches see: state and journal, as the local stack writes them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loadgen.dataset import RunFolder
from loadgen.kube.observer import Observed, Observer
from loadgen.local.state import StackFolder
from observed import run_folder

OBSERVED = Observed(
    namespace="triton", workload="triton", hpa="triton", selector="app=triton", gateway="10.96.0.7:80", model="m"
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return run_folder(tmp_path)


@pytest.fixture
def observer(folder: RunFolder) -> Observer:
    return Observer(folder, OBSERVED, heard={}.get)


def pod(name: str, *, ready: bool = True) -> dict:
    container = {"name": "server", "restartCount": 0, "state": {"running": {}}}
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"name": name, "creationTimestamp": "2026-11-24T12:00:00Z"},
        "status": {"podIP": "10.244.1.5", "conditions": [condition], "containerStatuses": [container]},
    }


def deployment(replicas: int) -> dict:
    return {"metadata": {"name": "triton"}, "spec": {"replicas": replicas}}


def rescaled(size: int) -> dict:
    about = {"kind": "HorizontalPodAutoscaler", "name": "triton"}
    return {
        "involvedObject": about,
        "reason": "SuccessfulRescale",
        "message": f"New size: {size}; reason: pods metric r above target",
    }


RAW = ("pod_condition", "container_state", "pod_event")


def journal(folder: RunFolder, *, raw: bool = False) -> list[dict]:
    """What was told; of the API's own words on pods only where they are asked for."""
    file = folder.path / "stack" / "journal.jsonl"
    events = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [each for each in events if (each["kind"] in RAW) == raw]


def now(folder: RunFolder) -> float:
    return folder.read_info().clock.anchor_unix_s + 100.0


def test_a_pod_is_a_replica_with_addresses_of_its_own(folder, observer):
    """Ports on the pod's own IP; ready as soon as its condition says so; the gateway as it was told."""
    observer.take(("pods", "ADDED", pod("a"), now(folder)))
    observer.settle(now(folder))
    assert not (folder.path / "stack" / "state.json").exists()  # how many are wanted is not known yet
    observer.take(("workloads", "ADDED", deployment(1), now(folder)))
    observer.settle(now(folder))
    state = StackFolder(folder.path).read()
    assert (state.phase, state.gateway) == ("ready", "10.96.0.7:80")
    [replica] = state.replicas
    assert (replica.name, replica.phase, replica.metrics) == ("a", "ready", "http://10.244.1.5:8002/metrics")


def test_a_rescale_is_told_with_the_words_of_its_event_whichever_comes_first(folder, observer):
    """The workload's change is the moment, the event has the reason; a change by hand has none."""
    for seen in (
        ("workloads", "ADDED", deployment(1), 0.0),
        ("events", "ADDED", rescaled(4), 1.0),
        ("workloads", "MODIFIED", deployment(4), 1.0),
    ):
        observer.take((*seen[:3], now(folder) + seen[3]))
    observer.settle(now(folder) + 1.1)
    observer.take(("workloads", "MODIFIED", deployment(2), now(folder) + 10))
    observer.settle(now(folder) + 10.5)
    assert len(journal(folder)) == 1  # the second still waits for its reason
    observer.settle(now(folder) + 11.5)
    first, second = journal(folder)
    assert (first["kind"], first["t_s"], first["data"]) == ("hpa_rescale", 101.0, {"before": 1, "after": 4})
    assert first["message"].startswith("New size: 4; reason: ")
    assert (second["t_s"], second["message"]) == (110.0, None)


def test_what_was_deleted_while_no_watch_ran_is_gone_and_the_time_is_a_gap(folder, observer):
    """The API server was away from 103 to 108 s: one pod is not in the new list."""
    at = now(folder)
    observer.take(("workloads", "ADDED", deployment(1), at))
    observer.take(("pods", "LISTED", {"names": ["a"], "blind_since": None}, at))
    observer.take(("pods", "MODIFIED", pod("a"), at))
    observer.take(("pods", "LISTED", {"names": [], "blind_since": at + 3}, at + 8))
    observer.settle(at + 8)
    assert StackFolder(folder.path).read().replicas == ()
    kinds = [each["kind"] for each in journal(folder)]
    assert kinds[-3:] == ["replica_draining", "replica_stopped", "collect_gap"]
    assert journal(folder)[-1]["data"] == {"source": "kubernetes", "from_s": 103.0, "to_s": 108.0}


def node(ready: str, at_unix_s: float) -> dict:
    stamp = datetime.fromtimestamp(at_unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": ready, "reason": "NodeStatusUnknown", "lastTransitionTime": stamp}
    return {"metadata": {"name": "node-1"}, "status": {"conditions": [condition]}}


def test_a_lost_node_is_told_with_its_replicas_and_how_long_it_was_silent(folder):
    """Of two pods one is on the node, which renewed its lease 45 s before the API called it lost."""
    at = float(round(now(folder)))  # the API stamps whole seconds
    observer = Observer(folder, OBSERVED, heard={"node-1": at - 5}.get)
    for name, place in (("a", "node-1"), ("b", "node-2")):
        observer.take(("pods", "MODIFIED", pod(name) | {"spec": {"nodeName": place}}, at))
    observer.take(("nodes", "MODIFIED", node("True", at - 50), at))
    observer.take(("nodes", "MODIFIED", node("Unknown", at + 40), at + 41))
    told = journal(folder)[-1]
    assert (told["kind"], told["t_s"]) == ("node_lost", pytest.approx(140, abs=0.5))
    assert told["data"] == {"node": "node-1", "pods": ["a"], "silent_s": 45.0}


def test_a_node_that_went_while_no_watch_ran_is_lost(folder, observer):
    """It is not in the new list, a replica was on it, and no lease of it can be read."""
    at = now(folder)
    observer.take(("pods", "MODIFIED", pod("a") | {"spec": {"nodeName": "node-1"}}, at))
    observer.take(("nodes", "MODIFIED", node("True", at - 50), at))
    observer.take(("nodes", "LISTED", {"names": [], "blind_since": at + 1}, at + 8))
    told = journal(folder)[-1]
    assert (told["kind"], told["t_s"], told["data"]) == ("node_lost", 108.0, {"node": "node-1", "pods": ["a"]})


def test_the_last_word_is_that_it_stops(folder, observer):
    """A rescale that waits for its reason is told without it."""
    observer.take(("workloads", "ADDED", deployment(1), now(folder)))
    observer.take(("workloads", "MODIFIED", deployment(2), now(folder)))
    observer.end()
    assert StackFolder(folder.path).read().phase == "stopping"
    assert [each["kind"] for each in journal(folder)] == ["hpa_rescale"]
