"""What the observer writes for what its watches see: state and journal, as the local stack writes them."""

import json
import queue
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loadgen.dataset.folder import RunFolder
from loadgen.dataset.stack import StackFolder
from loadgen.kube.observe.config import ObserverConfig
from loadgen.kube.observe.observer import Observer, watch
from support.servers.metrics import run_folder

OBSERVED = ObserverConfig(
    namespace="triton", workload="triton", hpa="triton", selector="app=triton", gateway="10.96.0.7:80", model="m"
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return run_folder(tmp_path)


@pytest.fixture
def observer(folder: RunFolder) -> Observer:
    return Observer(folder, OBSERVED, ask=lambda node: None)


def pod(name: str, *, ready: bool = True, uid: str | None = None) -> dict:
    container = {"name": "server", "restartCount": 0, "state": {"running": {}}}
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"name": name, "uid": uid or f"uid-{name}", "creationTimestamp": "2026-11-24T12:00:00Z"},
        "status": {"podIP": "10.244.1.5", "conditions": [condition], "containerStatuses": [container]},
    }


def deployment(replicas: int) -> dict:
    return {"metadata": {"name": "triton"}, "spec": {"replicas": replicas}}


def stamped(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rescaled(size: int, at_unix_s: float) -> dict:
    about = {"kind": "HorizontalPodAutoscaler", "name": "triton"}
    return {
        "metadata": {"uid": f"to-{size}"},
        "involvedObject": about,
        "reason": "SuccessfulRescale",
        "message": f"New size: {size}; reason: pods metric r above target",
        "lastTimestamp": stamped(at_unix_s),
        "count": 1,
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
    """The workload's change is the moment, the event has the reason; what has none was not the autoscaler's."""
    at = now(folder)
    observer.take(("workloads", "LISTED", {"items": [deployment(1)]}, at))
    observer.take(("rescales", "ADDED", rescaled(4, at + 1), at + 1))
    observer.take(("workloads", "MODIFIED", deployment(4), at + 1))
    observer.settle(at + 1.1)
    observer.take(("workloads", "MODIFIED", deployment(2), at + 10))
    observer.settle(at + 11)
    assert len(journal(folder)) == 1  # the second still waits for its reason
    observer.settle(at + 16)
    first, second = journal(folder)
    assert (first["kind"], first["t_s"], first["data"]) == ("hpa_rescale", 101.0, {"before": 1, "after": 4})
    assert (first["reason"], first["message"][:20]) == ("SuccessfulRescale", "New size: 4; reason:")
    assert (second["t_s"], second["reason"]) == (110.0, "NotByAutoscaler")


def test_an_event_that_expires_is_no_rescale(folder, observer):
    """The API deletes events after an hour; a count that somebody sets then is not the one of that event."""
    at = now(folder)
    observer.take(("workloads", "LISTED", {"items": [deployment(1)]}, at))
    observer.take(("rescales", "DELETED", rescaled(3, at + 1), at + 1))
    observer.take(("workloads", "MODIFIED", deployment(3), at + 1))
    observer.settle(at + 9)
    assert journal(folder)[-1]["reason"] == "NotByAutoscaler"


def unheard(since_unix_s: float, why: str = "the API server did not answer") -> dict:
    return {"since": since_unix_s, "why": why}


def gaps(folder: RunFolder) -> list[tuple]:
    told = [each for each in journal(folder) if each["kind"] == "collect_gap"]
    return [(each["data"]["watch"], each["data"]["from_s"], each["data"]["to_s"], each["message"]) for each in told]


def test_what_was_deleted_while_no_watch_ran_is_gone_and_the_time_is_a_gap(folder, observer):
    """The API server was away from 103 to 108 s: one pod is not in the new list."""
    at = now(folder)
    observer.take(("workloads", "ADDED", deployment(1), at))
    observer.take(("pods", "LISTED", {"items": [pod("a")]}, at))
    observer.take(("pods", "UNHEARD", unheard(at + 3), at + 5))
    observer.take(("pods", "UNHEARD", unheard(at + 3, "another reason"), at + 7))
    observer.take(("pods", "LISTED", {"items": []}, at + 8))
    observer.settle(at + 8)
    assert StackFolder(folder.path).read().replicas == ()
    kinds = [each["kind"] for each in journal(folder)]
    assert {"replica_draining", "replica_stopped", "collect_gap"} <= set(kinds)
    assert gaps(folder) == [("pods", 103.0, 108.0, "the watch of pods: the API server did not answer")]


@pytest.mark.parametrize("source", ["hpas", "workloads", "events", "rescales", "nodes", "replicasets"])
def test_every_watch_has_gaps_of_its_own(folder, observer, source):
    """Not only that of pods."""
    at = now(folder)
    observer.take((source, "UNHEARD", unheard(at + 3), at + 5))
    observer.take((source, "LISTED", {"items": []}, at + 8))
    assert [gap[:3] for gap in gaps(folder)] == [(source, 103.0, 108.0)]


def test_an_outage_that_lasts_to_the_end_is_a_gap(folder, observer):
    """No list comes any more."""
    at = now(folder)
    observer.take(("pods", "LISTED", {"items": []}, at))
    observer.take(("pods", "UNHEARD", unheard(at + 3), at + 5))
    observer.end(at + 60)
    assert [gap[:3] for gap in gaps(folder)] == [("pods", 103.0, 160.0)]


def test_a_watch_that_is_begun_again_at_once_has_no_gap(folder, observer):
    """What it saw last was too old, and half a second later it has a new list."""
    at = now(folder)
    observer.take(("pods", "UNHEARD", unheard(at), at + 0.1))
    observer.take(("pods", "LISTED", {"items": []}, at + 0.5))
    assert journal(folder) == []


def test_a_rescale_in_a_gap_waits_until_its_words_can_be_heard(folder, observer):
    """The workload is listed again at 110 s, the autoscaler's events only at 130 s: they say 104 s."""
    at = float(round(now(folder)))
    observer.take(("workloads", "LISTED", {"items": [deployment(1)]}, at))
    for source in ("workloads", "rescales", "hpas"):
        observer.take((source, "UNHEARD", unheard(at + 1), at + 2))
    observer.take(("workloads", "LISTED", {"items": [deployment(3)]}, at + 10))
    observer.settle(at + 29)
    assert [each["kind"] for each in journal(folder)] == ["collect_gap"]
    observer.take(("hpas", "LISTED", {"items": []}, at + 30))
    observer.take(("rescales", "LISTED", {"items": [rescaled(3, at + 4)]}, at + 30))
    observer.settle(at + 30)
    told = next(each for each in journal(folder) if each["kind"] == "hpa_rescale")
    assert (told["t_s"], told["reason"]) == (pytest.approx(104, abs=0.5), "SuccessfulRescale")


def node(ready: str, at_unix_s: float) -> dict:
    stamp = datetime.fromtimestamp(at_unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": ready, "reason": "NodeStatusUnknown", "lastTransitionTime": stamp}
    return {"metadata": {"name": "node-1"}, "status": {"conditions": [condition]}}


def test_a_lost_node_is_told_with_its_replicas_and_how_long_it_was_silent(folder):
    """Of two pods one is on the node, which renewed its lease 45 s before the API called it lost."""
    at = float(round(now(folder)))  # the API stamps whole seconds
    asked: list[str] = []
    observer = Observer(folder, OBSERVED, ask=asked.append)
    for name, place in (("a", "node-1"), ("b", "node-2")):
        observer.take(("pods", "MODIFIED", pod(name) | {"spec": {"nodeName": place}}, at))
    observer.take(("nodes", "MODIFIED", node("True", at - 50), at))
    observer.take(("nodes", "MODIFIED", node("Unknown", at + 40), at + 41))
    assert asked == ["node-1"]
    assert journal(folder)[-1]["kind"] != "node_lost"  # nobody waits for the lease
    observer.take(("leases", "HEARD", {"node": "node-1", "renewed_s": at - 5}, at + 44))
    told = journal(folder)[-1]
    assert (told["kind"], told["t_s"]) == ("node_lost", pytest.approx(140, abs=0.5))
    assert told["data"] == {"node": "node-1", "pods": ["a"], "silent_s": 45.0}


def test_a_node_that_went_while_no_watch_ran_is_lost(folder, observer):
    """It is not in the new list, a replica was on it, and nothing comes of its lease until the end."""
    at = now(folder)
    observer.take(("pods", "MODIFIED", pod("a") | {"spec": {"nodeName": "node-1"}}, at))
    observer.take(("nodes", "LISTED", {"items": [node("True", at - 50)]}, at))
    observer.take(("nodes", "LISTED", {"items": []}, at + 8))
    observer.end(at + 9)
    told = journal(folder)[-1]
    assert (told["kind"], told["t_s"], told["data"]) == ("node_lost", 108.0, {"node": "node-1", "pods": ["a"]})


def test_a_write_of_the_autoscaler_s_status_is_told_once(folder, observer):
    """A list that is asked for again shows the last one once more."""
    hpa = {"metadata": {"name": "triton", "resourceVersion": "5"}, "spec": {}, "status": {}}
    for kind in ("first", "again"):
        observer.take(("hpas", "LISTED", {"items": [hpa]}, now(folder) + len(kind)))
    assert [each["kind"] for each in journal(folder)] == ["hpa_sync"]
    newer = {**hpa, "metadata": {"name": "triton", "resourceVersion": "6"}}
    observer.take(("hpas", "MODIFIED", newer, now(folder) + 20))
    assert [each["kind"] for each in journal(folder)] == ["hpa_sync"] * 2


def test_the_last_word_is_that_it_stops(folder, observer):
    """A rescale that waits for its reason is told without it: whose it was is not known."""
    observer.take(("workloads", "ADDED", deployment(1), now(folder)))
    observer.take(("workloads", "MODIFIED", deployment(2), now(folder)))
    observer.end(now(folder) + 1)
    assert StackFolder(folder.path).read().phase == "stopping"
    assert [(each["kind"], each["reason"]) for each in journal(folder)] == [("hpa_rescale", None)]


def test_times_of_the_api_are_put_on_our_clock(folder):
    """Its clock is 30 s ahead: a pod that it stamps 110 s was made at 80 s, and what we see is at our own time."""
    observer = Observer(folder, OBSERVED.model_copy(update={"skew_s": 30.0}), ask=lambda node: None)
    at = float(round(now(folder)))
    made = datetime.fromtimestamp(at + 10, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    one = pod("a")
    one["metadata"]["creationTimestamp"] = made
    observer.take(("pods", "ADDED", one, at))
    told = {each["kind"]: each["t_s"] for each in journal(folder)}
    assert told["replica_created"] == pytest.approx(80, abs=0.5)
    assert told["replica_ready"] == pytest.approx(100, abs=0.5)  # it has no stamp


def replica_set(name: str, owner: str = "triton") -> dict:
    return {"metadata": {"name": name, "ownerReferences": [{"kind": "Deployment", "name": owner}]}}


def test_a_rollout_begins_with_a_new_replica_set(folder, observer):
    """Those of the first list were there before; one of another workload is none of ours."""
    at = now(folder)
    for seen in (
        ("LISTED", {"items": [replica_set("old")]}),
        ("MODIFIED", replica_set("old")),
        ("ADDED", replica_set("other", owner="x")),
        ("ADDED", replica_set("new")),
        ("MODIFIED", replica_set("new")),
    ):
        observer.take(("replicasets", *seen, at))
    (told,) = journal(folder)
    assert (told["kind"], told["t_s"], told["data"]) == ("rollout_started", 100.0, {"set": "new"})


def test_what_is_said_of_a_pod_is_told_once(folder, observer):
    """Of our pods only, also before the pod itself is seen; not what was said before the run."""
    at = float(round(now(folder)))

    def event(name: str, uid: str, at_unix_s: float, count: int = 1) -> dict:
        stamp = datetime.fromtimestamp(at_unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {"kind": "Pod", "name": name}
        fields = {"reason": "Pulled", "message": "in 41 s", "type": "Normal", "count": count, "lastTimestamp": stamp}
        return {"metadata": {"uid": uid}, "involvedObject": about, **fields}

    for kind, raw in (
        ("ADDED", event("triton-7f-x", "1", at)),
        ("MODIFIED", event("triton-7f-x", "1", at)),
        ("MODIFIED", event("triton-7f-x", "1", at + 5, count=2)),
        ("ADDED", event("other-1", "2", at)),
        ("ADDED", event("triton-7f-x", "3", at - 500)),
        ("DELETED", event("triton-7f-x", "4", at)),
    ):
        observer.take(("events", kind, raw, at))
    told = journal(folder, raw=True)
    assert [(each["kind"], each["pod"], each["reason"]) for each in told] == [
        ("pod_event", "triton-7f-x", "Pulled")
    ] * 2
    assert [each["data"]["count"] for each in told] == [1, 2]


def test_pages_of_pods_are_where_they_can_be_read(folder):
    """Through the API server by the pod's name; nowhere without the right."""
    for url, found in (("http://relay/{pod}:8002/metrics", "http://relay/a:8002/metrics"), (None, None)):
        observer = Observer(folder, OBSERVED.model_copy(update={"pod_url": url}), ask=lambda node: None)
        observer.take(("pods", "ADDED", pod("a"), now(folder)))
        observer.take(("workloads", "ADDED", deployment(1), now(folder)))
        observer.settle(now(folder))
        assert StackFolder(folder.path).read().replicas[0].metrics == found


def test_an_address_of_version_six_has_brackets(folder, observer):
    """In every address of a replica."""
    raw = pod("a")
    raw["status"]["podIP"] = "fd00::5"
    observer.take(("pods", "ADDED", raw, now(folder)))
    observer.take(("workloads", "ADDED", deployment(1), now(folder)))
    observer.settle(now(folder))
    (replica,) = StackFolder(folder.path).read().replicas
    assert replica.metrics == "http://[fd00::5]:8002/metrics"
    assert (replica.http, replica.grpc) == ("[fd00::5]:8000", "[fd00::5]:8001")


def test_the_metric_that_the_run_follows_is_told_of_a_pass(folder, observer):
    """Not the first of several, and none while it is not read."""

    def hpa(*values: tuple[str, str]) -> dict:
        metrics = [{"type": "Pods", "pods": {"metric": {"name": n}, "current": {"averageValue": v}}} for n, v in values]
        spec = [{"type": "Pods", "pods": {"metric": {"name": "ratio"}, "target": {"averageValue": "150m"}}}]
        return {"metadata": {"name": "triton"}, "spec": {"metrics": spec}, "status": {"currentMetrics": metrics}}

    observer = Observer(folder, OBSERVED.model_copy(update={"metric": "ratio"}), ask=lambda node: None)
    for raw in (hpa(("busy", "900m"), ("ratio", "2")), {**hpa(), "status": {"currentMetrics": [{"type": ""}]}}):
        observer.take(("hpas", "MODIFIED", raw, now(folder)))
    told = [each["data"] for each in journal(folder)]
    assert [(each["metric_milli"], each["target_milli"]) for each in told] == [(2000, 150), (None, 150)]


class Reached:
    """A stop that is never asked for, but that ends a test which waits for ever."""

    def __init__(self, polls: int) -> None:
        self._polls = polls

    def wait(self, until_monotonic_s: float) -> str | None:
        self._polls -= 1
        return None if self._polls >= 0 else "the test is over"


class Thread:
    def __init__(self, *, alive: bool, given_up: bool = False) -> None:
        self.name, self.given_up, self._alive = "pods", given_up, alive

    def is_alive(self) -> bool:
        return self._alive


@pytest.mark.parametrize(
    ("thread", "code"),
    [(Thread(alive=True), 0), (Thread(alive=False, given_up=True), 0), (Thread(alive=False), 4)],
)
def test_a_watch_that_is_gone_ends_the_observer_with_an_error(folder, observer, thread, code):
    """The run notices that, and not that nothing is told any more; what was seen until then is written."""
    seen: queue.Queue = queue.Queue()
    seen.put(("workloads", "LISTED", {"items": [deployment(1)]}, now(folder)))
    assert watch(Reached(polls=3), observer, [thread], seen) == code
    assert StackFolder(folder.path).read().phase == "stopping"
