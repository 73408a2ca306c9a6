"""State and journal that the observer writes for the events of its watches, as the local stack writes them."""

import queue
from datetime import UTC, datetime

import pytest

from loadgen.dataset.stack import StackFolder
from loadgen.kube.observe.observer import Observer, observe
from loadgen.kube.observe.watch_event import WatchEvent
from support.kube.watched import CONFIG, deployment, event, journal, now, pod, rescale_event


def test_a_pod_is_a_replica_with_addresses_of_its_own(folder, observer):
    """Ports on the pod's own IP, the phase from its conditions, the gateway from the configuration."""
    observer.handle(event("pods", "ADDED", pod("a"), now(folder)))
    observer.flush(now(folder))
    assert not (folder.path / "stack" / "state.json").exists()  # the replica count is not known yet
    observer.handle(event("workloads", "ADDED", deployment(1), now(folder)))
    observer.flush(now(folder))
    state = StackFolder(folder.path).read()
    assert (state.phase, state.gateway) == ("ready", "10.96.0.7:80")
    [replica] = state.replicas
    assert (replica.name, replica.phase, replica.metrics) == ("a", "ready", "http://10.244.1.5:8002/metrics")


def test_a_rescale_is_matched_with_its_event_in_either_order(folder, observer):
    """The time comes from the workload, the reason from the event; a change without an event was not the HPA's."""
    at = now(folder)
    observer.handle(event("workloads", "LISTED", {"items": [deployment(1)]}, at))
    observer.handle(event("rescales", "ADDED", rescale_event(4, at + 1), at + 1))
    observer.handle(event("workloads", "MODIFIED", deployment(4), at + 1))
    observer.flush(at + 1.1)
    observer.handle(event("workloads", "MODIFIED", deployment(2), at + 10))
    observer.flush(at + 11)
    assert len(journal(folder)) == 1  # the second is held back until its event is overdue
    observer.flush(at + 16)
    first, second = journal(folder)
    assert (first["kind"], first["t_s"], first["data"]) == ("hpa_rescale", 101.0, {"before": 1, "after": 4})
    assert (first["reason"], first["message"][:20]) == ("SuccessfulRescale", "New size: 4; reason:")
    assert (second["t_s"], second["reason"]) == (110.0, "NotByAutoscaler")


def test_the_deletion_of_an_expired_event_is_not_a_rescale(folder, observer):
    """The API deletes events after an hour; a manual change at that time does not match the event."""
    at = now(folder)
    observer.handle(event("workloads", "LISTED", {"items": [deployment(1)]}, at))
    observer.handle(event("rescales", "DELETED", rescale_event(3, at + 1), at + 1))
    observer.handle(event("workloads", "MODIFIED", deployment(3), at + 1))
    observer.flush(at + 9)
    assert journal(folder)[-1]["reason"] == "NotByAutoscaler"


def node(ready: str, at_unix_s: float) -> dict:
    stamp = datetime.fromtimestamp(at_unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": ready, "reason": "NodeStatusUnknown", "lastTransitionTime": stamp}
    return {"metadata": {"name": "node-1"}, "status": {"conditions": [condition]}}


def test_a_lost_node_has_its_replicas_and_the_time_for_which_it_was_silent(folder):
    """One of two pods is on the node, which renewed its lease 45 s before the API declared it lost."""
    at = float(round(now(folder)))  # the API stamps whole seconds
    requests: list[str] = []
    observer = Observer(folder, CONFIG, request_lease=requests.append)
    for name, place in (("a", "node-1"), ("b", "node-2")):
        observer.handle(event("pods", "MODIFIED", pod(name) | {"spec": {"nodeName": place}}, at))
    observer.handle(event("nodes", "MODIFIED", node("True", at - 50), at))
    observer.handle(event("nodes", "MODIFIED", node("Unknown", at + 40), at + 41))
    assert requests == ["node-1"]
    assert journal(folder)[-1]["kind"] != "node_lost"  # held back until the lease is known
    lease = WatchEvent(source="leases", type="LEASE_RENEWED", at_s=at + 44, node="node-1", last_contact_s=at - 5)
    observer.handle(lease)
    recorded = journal(folder)[-1]
    assert (recorded["kind"], recorded["t_s"]) == ("node_lost", pytest.approx(140, abs=0.5))
    assert recorded["data"] == {"node": "node-1", "pods": ["a"], "silent_s": 45.0}


def test_a_node_that_is_missing_after_a_gap_is_lost(folder, observer):
    """A replica was on it, and its lease is not read until the end."""
    at = now(folder)
    observer.handle(event("pods", "MODIFIED", pod("a") | {"spec": {"nodeName": "node-1"}}, at))
    observer.handle(event("nodes", "LISTED", {"items": [node("True", at - 50)]}, at))
    observer.handle(event("nodes", "LISTED", {"items": []}, at + 8))
    observer.close(at + 9)
    recorded = journal(folder)[-1]
    assert (recorded["kind"], recorded["t_s"], recorded["data"]) == (
        "node_lost",
        108.0,
        {"node": "node-1", "pods": ["a"]},
    )


def test_each_write_of_the_hpa_s_status_is_recorded_once(folder, observer):
    """A new list repeats the last one."""
    hpa = {"metadata": {"name": "triton", "resourceVersion": "5"}, "spec": {}, "status": {}}
    for kind in ("first", "again"):
        observer.handle(event("hpas", "LISTED", {"items": [hpa]}, now(folder) + len(kind)))
    assert [each["kind"] for each in journal(folder)] == ["hpa_sync"]
    newer = {**hpa, "metadata": {"name": "triton", "resourceVersion": "6"}}
    observer.handle(event("hpas", "MODIFIED", newer, now(folder) + 20))
    assert [each["kind"] for each in journal(folder)] == ["hpa_sync"] * 2


def test_closing_records_what_was_held_back(folder, observer):
    """A rescale without a report has no reason, since its cause is unknown; the last phase is `stopping`."""
    observer.handle(event("workloads", "ADDED", deployment(1), now(folder)))
    observer.handle(event("workloads", "MODIFIED", deployment(2), now(folder)))
    observer.close(now(folder) + 1)
    assert StackFolder(folder.path).read().phase == "stopping"
    assert [(each["kind"], each["reason"]) for each in journal(folder)] == [("hpa_rescale", None)]


def test_times_of_the_api_are_converted_to_the_local_clock(folder):
    """The API's clock is 30 s ahead: a pod with the timestamp 110 s was created at 80 s."""
    observer = Observer(folder, CONFIG.model_copy(update={"skew_s": 30.0}), request_lease=lambda node: None)
    at = float(round(now(folder)))
    made = datetime.fromtimestamp(at + 10, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    one = pod("a")
    one["metadata"]["creationTimestamp"] = made
    observer.handle(event("pods", "ADDED", one, at))
    recorded = {each["kind"]: each["t_s"] for each in journal(folder)}
    assert recorded["replica_created"] == pytest.approx(80, abs=0.5)
    assert recorded["replica_ready"] == pytest.approx(100, abs=0.5)  # it has no timestamp: the time of observation


def replica_set(name: str, owner: str = "triton") -> dict:
    return {"metadata": {"name": name, "ownerReferences": [{"kind": "Deployment", "name": owner}]}}


def test_a_rollout_starts_with_a_new_replica_set(folder, observer):
    """ReplicaSets of the first list are older than the run; those of other workloads are ignored."""
    at = now(folder)
    for change in (
        ("LISTED", {"items": [replica_set("old")]}),
        ("MODIFIED", replica_set("old")),
        ("ADDED", replica_set("other", owner="x")),
        ("ADDED", replica_set("new")),
        ("MODIFIED", replica_set("new")),
    ):
        observer.handle(event("replicasets", *change, at))
    (recorded,) = journal(folder)
    assert (recorded["kind"], recorded["t_s"], recorded["data"]) == ("rollout_started", 100.0, {"set": "new"})


def test_each_kubernetes_event_of_a_pod_is_recorded_once(folder, observer):
    """Only events of the workload's pods, even before the pod is observed, and none from before the run."""
    at = float(round(now(folder)))

    def pulled(name: str, uid: str, at_unix_s: float, count: int = 1) -> dict:
        stamp = datetime.fromtimestamp(at_unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        involved = {"kind": "Pod", "name": name}
        fields = {"reason": "Pulled", "message": "in 41 s", "type": "Normal", "count": count, "lastTimestamp": stamp}
        return {"metadata": {"uid": uid}, "involvedObject": involved, **fields}

    for kind, raw in (
        ("ADDED", pulled("triton-7f-x", "1", at)),
        ("MODIFIED", pulled("triton-7f-x", "1", at)),
        ("MODIFIED", pulled("triton-7f-x", "1", at + 5, count=2)),
        ("ADDED", pulled("other-1", "2", at)),
        ("ADDED", pulled("triton-7f-x", "3", at - 500)),
        ("DELETED", pulled("triton-7f-x", "4", at)),
    ):
        observer.handle(event("events", kind, raw, at))
    recorded = journal(folder, raw=True)
    assert [(each["kind"], each["pod"], each["reason"]) for each in recorded] == [
        ("pod_event", "triton-7f-x", "Pulled")
    ] * 2
    assert [each["data"]["count"] for each in recorded] == [1, 2]


def test_the_metrics_url_of_a_replica_follows_the_configuration(folder):
    """Through the API server by the pod's name; None without permission."""
    for url, expected in (("http://relay/{pod}:8002/metrics", "http://relay/a:8002/metrics"), (None, None)):
        observer = Observer(folder, CONFIG.model_copy(update={"pod_url": url}), request_lease=lambda node: None)
        observer.handle(event("pods", "ADDED", pod("a"), now(folder)))
        observer.handle(event("workloads", "ADDED", deployment(1), now(folder)))
        observer.flush(now(folder))
        assert StackFolder(folder.path).read().replicas[0].metrics == expected


def test_an_ipv6_address_has_brackets(folder, observer):
    """In every address of a replica."""
    raw = pod("a")
    raw["status"]["podIP"] = "fd00::5"
    observer.handle(event("pods", "ADDED", raw, now(folder)))
    observer.handle(event("workloads", "ADDED", deployment(1), now(folder)))
    observer.flush(now(folder))
    (replica,) = StackFolder(folder.path).read().replicas
    assert replica.metrics == "http://[fd00::5]:8002/metrics"
    assert (replica.http, replica.grpc) == ("[fd00::5]:8000", "[fd00::5]:8001")


def test_the_configured_metric_is_recorded_at_each_sync(folder, observer):
    """Not the first of several, and None while it cannot be read."""

    def hpa(*values: tuple[str, str]) -> dict:
        metrics = [{"type": "Pods", "pods": {"metric": {"name": n}, "current": {"averageValue": v}}} for n, v in values]
        spec = [{"type": "Pods", "pods": {"metric": {"name": "ratio"}, "target": {"averageValue": "150m"}}}]
        return {"metadata": {"name": "triton"}, "spec": {"metrics": spec}, "status": {"currentMetrics": metrics}}

    observer = Observer(folder, CONFIG.model_copy(update={"metric": "ratio"}), request_lease=lambda node: None)
    for raw in (hpa(("busy", "900m"), ("ratio", "2")), {**hpa(), "status": {"currentMetrics": [{"type": ""}]}}):
        observer.handle(event("hpas", "MODIFIED", raw, now(folder)))
    recorded = [each["data"] for each in journal(folder)]
    assert [(each["metric_milli"], each["target_milli"]) for each in recorded] == [(2000, 150), (None, 150)]


class PollLimit:
    """A stop that is never requested, but ends the test after a number of polls."""

    def __init__(self, polls: int) -> None:
        self._polls = polls

    def wait(self, until_monotonic_s: float) -> str | None:
        self._polls -= 1
        return None if self._polls >= 0 else "the test is over"


class Thread:
    def __init__(self, *, alive: bool, stopped: bool = False) -> None:
        self.name, self.stopped, self._alive = "pods", stopped, alive

    def is_alive(self) -> bool:
        return self._alive


@pytest.mark.parametrize(
    ("thread", "code"),
    [(Thread(alive=True), 0), (Thread(alive=False, stopped=True), 0), (Thread(alive=False), 4)],
)
def test_a_watcher_that_died_ends_the_observer_with_an_error(folder, observer, thread, code):
    """The run would lack its events otherwise; everything before is recorded."""
    events: queue.Queue = queue.Queue()
    events.put(event("workloads", "LISTED", {"items": [deployment(1)]}, now(folder)))
    assert observe(PollLimit(polls=3), observer, [thread], events) == code
    assert StackFolder(folder.path).read().phase == "stopping"
