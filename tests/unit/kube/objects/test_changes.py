"""What watched objects come to as events; the times are made up, in seconds since 1970 they are small whole numbers."""

from datetime import UTC, datetime

import pytest

from loadgen.kube.objects.changes import (
    NodeStory,
    PodStory,
    hpa_sync,
    milli,
    node_changes,
    node_gone,
    pod_changes,
    pod_gone,
)


def stamp(unix_s):
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(*, scheduled=None, started=None, ready=None, restarts=0, terminated=None, deletion=None, grace=30):
    conditions = []
    if scheduled is not None:
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(scheduled)})
    if ready is not None:
        at, status = (ready, "True") if ready >= 0 else (-ready, "False")
        conditions.append({"type": "Ready", "status": status, "lastTransitionTime": stamp(at)})
    container = {"restartCount": restarts, "state": {"waiting": {"reason": "ContainerCreating"}}}
    if started is not None:
        container["state"] = {"running": {"startedAt": stamp(started)}}
    if terminated:
        container["lastState"] = {"terminated": terminated}
    meta = {"name": "triton-1", "creationTimestamp": stamp(100)}
    if deletion is not None:
        meta |= {"deletionTimestamp": stamp(deletion), "deletionGracePeriodSeconds": grace}
    return {"metadata": meta, "status": {"conditions": conditions, "containerStatuses": [container]}}


def told(story, raw, now_s=999.0):
    return [(change.kind, change.unix_s) for change in pod_changes(story, raw, now_s)]


def test_a_pod_tells_its_way_to_ready_once_each_at_the_times_of_the_api():
    """Created 100, scheduled 101, started 112, ready 120; seen again, nothing is new."""
    story = PodStory()
    assert told(story, pod()) == [("replica_created", 100.0)]
    assert told(story, pod(scheduled=101)) == [("replica_scheduled", 101.0)]
    whole = pod(scheduled=101, started=112, ready=120)
    assert told(story, whole) == [("replica_started", 112.0), ("replica_ready", 120.0)]
    assert told(story, whole) == []


def test_a_pod_that_is_first_seen_late_tells_all_of_it():
    """The observer began after it was ready."""
    kinds = [kind for kind, _ in told(PodStory(), pod(scheduled=101, started=112, ready=120))]
    assert kinds == ["replica_created", "replica_scheduled", "replica_started", "replica_ready"]


def test_draining_begins_when_the_deletion_was_asked_for():
    """The API stamps the end of the grace period: 160 with 30 s of grace is 130."""
    story = PodStory()
    told(story, pod(scheduled=101, started=112, ready=120))
    assert told(story, pod(started=112, ready=120, deletion=160)) == [("replica_draining", 130.0)]
    gone = [(change.kind, change.unix_s) for change in pod_gone(story, pod(), 141.5)]
    assert gone == [("replica_stopped", 141.5)]


def test_a_pod_that_vanishes_between_two_watches_drained_before_it_stopped():
    """Nobody saw its deletion: both are told at the moment it was missed."""
    story = PodStory()
    told(story, pod(started=112, ready=120))
    gone = [(change.kind, change.unix_s) for change in pod_gone(story, pod(), 150.0)]
    assert gone == [("replica_draining", 150.0), ("replica_stopped", 150.0)]


def test_a_crash_is_told_with_its_exit_code_and_the_way_back_again():
    """Exit 139 at 130, started again at 141, ready at 150."""
    story = PodStory()
    told(story, pod(scheduled=101, started=112, ready=120))
    ended = {"exitCode": 139, "reason": "Error", "finishedAt": stamp(130)}
    [crash, started] = pod_changes(story, pod(started=141, ready=-130, restarts=1, terminated=ended), 999.0)
    assert (crash.kind, crash.unix_s, crash.reason) == ("replica_crashed", 130.0, "Error")
    assert crash.data == {"exit_code": 139, "crashes": 1, "backoff_s": None}
    assert (started.kind, started.unix_s) == ("replica_started", 141.0)
    assert told(story, pod(started=141, ready=150, restarts=1, terminated=ended)) == [("replica_ready", 150.0)]


def test_a_pod_that_is_not_ready_for_a_while_tells_that_and_that_it_is_again():
    """A failed probe: ready at 120, not from 130, again at 140."""
    story = PodStory()
    told(story, pod(started=112, ready=120))
    assert told(story, pod(started=112, ready=-130)) == [("replica_not_ready", 130.0)]
    assert told(story, pod(started=112, ready=-130)) == []
    assert told(story, pod(started=112, ready=140)) == [("replica_ready", 140.0)]


def test_a_pod_that_drains_is_not_told_to_be_unready():
    """That a pod which was given up loses its readiness says nothing new."""
    story = PodStory()
    told(story, pod(started=112, ready=120))
    assert told(story, pod(started=112, ready=-131, deletion=160)) == [("replica_draining", 130.0)]


def node(ready, at):
    condition = {"type": "Ready", "status": ready, "reason": "NodeStatusUnknown", "lastTransitionTime": stamp(at)}
    return {"metadata": {"name": "node-1"}, "status": {"conditions": [condition]}}


def on_it(*names):
    return lambda at_s: list(names)


def test_a_node_is_lost_once_and_comes_back_once():
    """Ready at 100, unknown at 160 with two replicas on it, ready again at 200."""
    story = NodeStory()
    assert list(node_changes(story, node("True", 100), on_it("b", "a"), 999.0)) == []
    (lost,) = node_changes(story, node("Unknown", 160), on_it("b", "a"), 999.0)
    assert (lost.kind, lost.unix_s, lost.reason) == ("node_lost", 160.0, "NodeStatusUnknown")
    assert lost.data == {"node": "node-1", "pods": ["a", "b"]}
    assert list(node_changes(story, node("Unknown", 160), on_it(), 999.0)) == []
    (back,) = node_changes(story, node("True", 200), on_it(), 999.0)
    assert (back.kind, back.unix_s) == ("node_back", 200.0)


def test_a_node_without_replicas_is_nothing_to_the_workload():
    """In a cluster of hundreds some come and go; the replicas that count are those of the time at which it went."""
    story = NodeStory(ready=True)
    assert list(node_changes(story, node("Unknown", 160), lambda at_s: ["a"] if at_s < 160 else [], 999.0)) == []
    assert list(node_changes(story, node("True", 200), on_it("a"), 999.0)) == []
    assert [each.kind for each in node_changes(story, node("False", 300), on_it("a"), 999.0)] == ["node_lost"]


def test_a_node_that_joins_is_neither_lost_nor_back():
    """A new node is not ready at first, and one that was not ready before the run is no news."""
    story = NodeStory()
    assert list(node_changes(story, node("False", 100), on_it("a"), 999.0)) == []
    assert list(node_changes(story, node("True", 130), on_it("a"), 999.0)) == []


def test_a_node_that_is_taken_away_is_lost_only_with_replicas_on_it():
    """An autoscaler of nodes takes empty ones; a spot instance goes with what is on it."""
    story = NodeStory(ready=True)
    assert list(node_gone(story, node("True", 100), [], 300.0)) == []
    (lost,) = node_gone(story, node("True", 100), ["a"], 300.0)
    assert (lost.kind, lost.unix_s, lost.reason) == ("node_lost", 300.0, "NodeDeleted")


def test_the_status_of_an_hpa_is_one_pass_of_the_controller():
    """Values in milli, conditions whole; the message only where scaling is not active."""
    metric = {"type": "Pods", "pods": {"current": {"averageValue": "1250m"}}}
    wanted = {"type": "Pods", "pods": {"target": {"type": "AverageValue", "averageValue": "1"}}}
    active = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound", "message": "well"}
    hpa = {
        "spec": {"metrics": [wanted]},
        "status": {"currentReplicas": 1, "desiredReplicas": 2, "currentMetrics": [metric], "conditions": [active]},
    }
    sync = hpa_sync(hpa, 50.0)
    assert (sync.unix_s, sync.reason, sync.message) == (50.0, "ValidMetricFound", None)
    assert sync.data is not None
    assert (sync.data["metric_milli"], sync.data["target_milli"], sync.data["desired"]) == (1250, 1000, 2)
    failing = {**active, "status": "False", "reason": "FailedGetPodsMetric", "message": "no metrics"}
    blind = hpa_sync({"spec": {"metrics": [wanted]}, "status": {"conditions": [failing], "currentMetrics": None}}, 60.0)
    assert (blind.reason, blind.message) == ("FailedGetPodsMetric", "no metrics")
    assert blind.data is not None
    assert blind.data["metric_milli"] is None


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        *(("1500m", 1500), ("1.5", 1500), ("2", 2000), ("3k", 3_000_000), ("x", None), (None, None)),
        *(("100u", 1), ("1e3", 1_000_000), ("1Ki", 1_024_000), ("1E", None)),
    ],
)
def test_quantities_in_milli(quantity, expected):
    """As Kubernetes reads them; what does not fit into an int64 is not understood."""
    assert milli(quantity) == expected


def test_a_pod_that_no_node_has_room_for_tells_it_once_with_the_scheduler_s_words():
    """Created 100, said so at 101 and again in other words, placed at 140."""
    story, raw = PodStory(), pod()
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": stamp(101)}
    raw["status"]["conditions"] = [condition | {"message": "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."}]
    created, unschedulable = pod_changes(story, raw, 999.0)
    assert (created.kind, unschedulable.kind, unschedulable.unix_s) == (
        "replica_created",
        "replica_unschedulable",
        101.0,
    )
    assert (unschedulable.pod, unschedulable.reason) == ("triton-1", "Unschedulable")
    assert unschedulable.message == "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    raw["status"]["conditions"] = [condition | {"message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}]
    assert told(story, raw) == []
    assert told(story, pod(scheduled=140)) == [("replica_scheduled", 140.0)]


def test_a_pod_that_waits_for_its_scheduling_gates_is_not_unschedulable():
    """Nobody tried to place it yet."""
    raw = pod()
    raw["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
    assert told(PodStory(), raw) == [("replica_created", 100.0)]
