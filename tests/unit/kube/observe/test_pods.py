"""Pods that reuse a name, and pods that end without being deleted; times are seconds since 1970."""

from datetime import UTC, datetime

import pytest

from loadgen.kube.observe.pods import PodTracker


def stamp(unix_s):
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(uid, created, name="llm-0", phase="Running", finished=None, conditions=(), **fields):
    state = {"running": {"startedAt": stamp(created + 5)}}
    if finished is not None:
        state = {"terminated": {"exitCode": 137, "finishedAt": stamp(finished)}}
    ready = {"type": "Ready", "status": "True" if phase == "Running" else "False", "lastTransitionTime": None}
    return {
        "metadata": {"name": name, "uid": uid, "creationTimestamp": stamp(created)},
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": phase,
            "conditions": [*conditions, ready] if finished is None else [ready],
            "containerStatuses": [{"name": "server", "restartCount": 0, "state": state}],
            **fields,
        },
    }


def lifecycle(events):
    return [(each.kind, each.unix_s) for each in events if each.kind.startswith("replica_")]


def test_a_new_pod_with_the_name_of_an_earlier_one_is_another_pod():
    """A LeaderWorkerSet replaces llm-0 at 170.6 s; the API stamps the new pod with 170 s."""
    pods = PodTracker(0.0)
    list(pods.update("ADDED", pod("one", 100), 101.0))
    assert lifecycle(pods.update("DELETED", pod("one", 100), 170.6))[-1] == ("replica_stopped", 170.6)
    second = lifecycle(pods.update("ADDED", pod("two", 170), 170.9))
    assert second[0] == ("replica_created", 170.6)
    assert ("replica_started", 175.0) in second
    assert [each.name for each in pods.pods()] == ["llm-0"]


def test_a_pod_that_was_replaced_in_a_gap_ended_before_its_successor():
    """The gap lasts from 100 to 200 s; the listed pod was created at 150 s."""
    pods = PodTracker(0.0)
    list(pods.relist([pod("one", 90)], 100.0))
    events = lifecycle(pods.relist([pod("two", 150)], 200.0))
    assert events[:3] == [("replica_draining", 150.0), ("replica_stopped", 150.0), ("replica_created", 150.0)]


@pytest.mark.parametrize("reason", ["Evicted", "Preempting", "Terminated"])
def test_a_failed_pod_has_stopped_although_its_object_remains(reason):
    """Reported once, with its reason; later events of the object are ignored."""
    pods = PodTracker(0.0)
    list(pods.update("ADDED", pod("one", 100), 120.0))
    failed = pod("one", 100, phase="Failed", finished=130, reason=reason, message="was low on memory")
    events = list(pods.update("MODIFIED", failed, 131.5))
    assert lifecycle(events) == [("replica_draining", 130.0), ("replica_stopped", 130.0)]
    assert (events[-1].reason, events[-1].message) == (reason, "was low on memory")
    assert pods.pods() == []
    assert list(pods.relist([failed], 140.0)) == []
    assert list(pods.update("DELETED", failed, 150.0)) == []


def test_the_end_of_a_pod_without_containers_comes_from_its_conditions():
    """A node that shuts down or rejects the pod leaves no container status."""
    disrupted = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": stamp(130)}
    pods = PodTracker(0.0)
    list(pods.update("ADDED", pod("one", 100), 120.0))
    failed = pod("one", 100, phase="Failed", conditions=[disrupted], containerStatuses=[])
    assert lifecycle(pods.update("MODIFIED", failed, 131.5))[-1] == ("replica_stopped", 130.0)
    refused = pod("two", 140, name="x", phase="Failed", conditions=[], containerStatuses=None, startTime=stamp(141))
    assert lifecycle(pods.update("ADDED", refused, 145.0))[-1] == ("replica_stopped", 141.0)


def test_pods_that_ended_before_the_run_are_ignored():
    """The API still lists pods that were evicted long ago."""
    pods = PodTracker(1000.0)
    assert list(pods.relist([pod("one", 100, phase="Failed", finished=130)], 1001.0)) == []
    assert pods.pods() == []


def test_a_pod_that_is_being_deleted_stops_when_its_object_is_gone():
    """The end of its containers is not another end of the pod."""
    pods = PodTracker(0.0)
    list(pods.update("ADDED", pod("one", 100), 120.0))
    ending = pod("one", 100, phase="Succeeded", finished=130)
    ending["metadata"] |= {"deletionTimestamp": stamp(155), "deletionGracePeriodSeconds": 30}
    assert lifecycle(pods.update("MODIFIED", ending, 130.5)) == [("replica_draining", 125.0)]
    assert lifecycle(pods.update("DELETED", ending, 131.2)) == [("replica_stopped", 131.2)]


def test_stopped_pods_still_count_on_their_node_at_earlier_times():
    """On the node until 130 s; a drained pod can be excluded."""
    pods = PodTracker(0.0)
    list(pods.update("ADDED", pod("one", 100), 120.0))
    assert pods.on_node("node-1", 150.0) == ["llm-0"]
    list(pods.update("DELETED", pod("one", 100), 130.0))
    assert (pods.on_node("node-1", 125.0), pods.on_node("node-1", 131.0), pods.on_node("node-2", 125.0)) == (
        ["llm-0"],
        [],
        [],
    )
    list(pods.update("ADDED", pod("two", 140), 141.0))
    leaving = pod("two", 140)
    leaving["metadata"]["deletionTimestamp"] = stamp(150)
    list(pods.update("MODIFIED", leaving, 150.0))
    list(pods.update("DELETED", leaving, 155.0))
    assert pods.on_node("node-1", 150.0) == ["llm-0"]
    assert pods.on_node("node-1", 150.0, include_drained=False) == []
