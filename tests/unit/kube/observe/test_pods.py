"""Pods that have the names of others, and pods that end without being deleted; times are seconds since 1970."""

from datetime import UTC, datetime

import pytest

from loadgen.kube.observe.pods import Pods


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


def told(changes):
    return [(each.kind, each.unix_s) for each in changes if each.kind.startswith("replica_")]


def test_a_pod_that_gets_the_name_of_another_is_another():
    """A LeaderWorkerSet: llm-0 ends at 170.6 s and is there again at once, by a stamp of 170 s."""
    pods = Pods(0.0)
    list(pods.take("ADDED", pod("one", 100), 101.0))
    assert told(pods.take("DELETED", pod("one", 100), 170.6))[-1] == ("replica_stopped", 170.6)
    second = told(pods.take("ADDED", pod("two", 170), 170.9))
    assert second[0] == ("replica_created", 170.6)
    assert ("replica_started", 175.0) in second
    assert [each.name for each in pods.there()] == ["llm-0"]


def test_a_pod_that_was_replaced_under_its_name_in_a_gap_ended_before():
    """Nobody looked from 100 to 200 s; the one of the list was made at 150 s."""
    pods = Pods(0.0)
    list(pods.listed([pod("one", 90)], 100.0))
    changes = told(pods.listed([pod("two", 150)], 200.0))
    assert changes[:3] == [("replica_draining", 150.0), ("replica_stopped", 150.0), ("replica_created", 150.0)]


@pytest.mark.parametrize("reason", ["Evicted", "Preempting", "Terminated"])
def test_a_pod_that_failed_is_gone_although_its_object_stays(reason):
    """With the reason; it is told once, whatever is seen of it later."""
    pods = Pods(0.0)
    list(pods.take("ADDED", pod("one", 100), 120.0))
    failed = pod("one", 100, phase="Failed", finished=130, reason=reason, message="was low on memory")
    changes = list(pods.take("MODIFIED", failed, 131.5))
    assert told(changes) == [("replica_draining", 130.0), ("replica_stopped", 130.0)]
    assert (changes[-1].reason, changes[-1].message) == (reason, "was low on memory")
    assert pods.there() == []
    assert list(pods.listed([failed], 140.0)) == []
    assert list(pods.take("DELETED", failed, 150.0)) == []


def test_a_pod_without_any_container_ended_by_its_conditions():
    """A node that shuts down, or had no room for it, leaves none."""
    disrupted = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": stamp(130)}
    pods = Pods(0.0)
    list(pods.take("ADDED", pod("one", 100), 120.0))
    failed = pod("one", 100, phase="Failed", conditions=[disrupted], containerStatuses=[])
    assert told(pods.take("MODIFIED", failed, 131.5))[-1] == ("replica_stopped", 130.0)
    refused = pod("two", 140, name="x", phase="Failed", conditions=[], containerStatuses=None, startTime=stamp(141))
    assert told(pods.take("ADDED", refused, 145.0))[-1] == ("replica_stopped", 141.0)


def test_what_ended_before_the_run_is_none_of_its_pods():
    """Pods that were evicted yesterday are still listed."""
    pods = Pods(1000.0)
    assert list(pods.listed([pod("one", 100, phase="Failed", finished=130)], 1001.0)) == []
    assert pods.there() == []


def test_a_pod_that_is_being_deleted_ends_with_its_object():
    """Its containers have ended in good order; that is not another end."""
    pods = Pods(0.0)
    list(pods.take("ADDED", pod("one", 100), 120.0))
    ending = pod("one", 100, phase="Succeeded", finished=130)
    ending["metadata"] |= {"deletionTimestamp": stamp(155), "deletionGracePeriodSeconds": 30}
    assert told(pods.take("MODIFIED", ending, 130.5)) == [("replica_draining", 125.0)]
    assert told(pods.take("DELETED", ending, 131.2)) == [("replica_stopped", 131.2)]


def test_pods_are_remembered_where_they_were():
    """On the node until 130 s; one that was moved away in good order was not lost with it."""
    pods = Pods(0.0)
    list(pods.take("ADDED", pod("one", 100), 120.0))
    assert pods.on("node-1", 150.0) == ["llm-0"]
    list(pods.take("DELETED", pod("one", 100), 130.0))
    assert (pods.on("node-1", 125.0), pods.on("node-1", 131.0), pods.on("node-2", 125.0)) == (["llm-0"], [], [])
    list(pods.take("ADDED", pod("two", 140), 141.0))
    leaving = pod("two", 140)
    leaving["metadata"]["deletionTimestamp"] = stamp(150)
    list(pods.take("MODIFIED", leaving, 150.0))
    list(pods.take("DELETED", leaving, 155.0))
    assert pods.on("node-1", 150.0) == ["llm-0"]
    assert pods.on("node-1", 150.0, given_up=False) == []
