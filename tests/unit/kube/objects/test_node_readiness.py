"""Events of nodes that are lost and come back; times are made up: small whole numbers of seconds since 1970."""

from datetime import UTC, datetime

from loadgen.kube.objects.node_readiness import NodeReadiness


def stamp(unix_s):
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def node(ready, at):
    condition = {"type": "Ready", "status": ready, "reason": "NodeStatusUnknown", "lastTransitionTime": stamp(at)}
    return {"metadata": {"name": "node-1"}, "status": {"conditions": [condition]}}


def replicas(*names):
    return lambda at_s: list(names)


def test_a_node_is_lost_once_and_comes_back_once():
    """Ready at 100, unknown at 160 with two replicas, ready again at 200."""
    readiness = NodeReadiness()
    assert list(readiness.update(node("True", 100), replicas("b", "a"), 999.0)) == []
    (lost,) = readiness.update(node("Unknown", 160), replicas("b", "a"), 999.0)
    assert (lost.kind, lost.unix_s, lost.reason) == ("node_lost", 160.0, "NodeStatusUnknown")
    assert lost.data == {"node": "node-1", "pods": ["a", "b"]}
    assert list(readiness.update(node("Unknown", 160), replicas(), 999.0)) == []
    (back,) = readiness.update(node("True", 200), replicas(), 999.0)
    assert (back.kind, back.unix_s) == ("node_back", 200.0)


def test_the_loss_of_a_node_without_replicas_is_not_reported():
    """Nodes of a large cluster come and go; the replicas that count are those at the time of the loss."""
    readiness = NodeReadiness(ready=True)
    assert list(readiness.update(node("Unknown", 160), lambda at_s: ["a"] if at_s < 160 else [], 999.0)) == []
    assert list(readiness.update(node("True", 200), replicas("a"), 999.0)) == []
    assert [each.kind for each in readiness.update(node("False", 300), replicas("a"), 999.0)] == ["node_lost"]


def test_a_new_node_is_neither_lost_nor_back():
    """A node that joins is not ready at first, and one that was not ready before the run cannot be lost."""
    readiness = NodeReadiness()
    assert list(readiness.update(node("False", 100), replicas("a"), 999.0)) == []
    assert list(readiness.update(node("True", 130), replicas("a"), 999.0)) == []


def test_a_node_that_is_removed_is_lost_only_with_replicas():
    """A cluster autoscaler removes empty nodes; a spot instance disappears with its pods."""
    readiness = NodeReadiness(ready=True)
    assert list(readiness.remove(node("True", 100), [], 300.0)) == []
    (lost,) = readiness.remove(node("True", 100), ["a"], 300.0)
    assert (lost.kind, lost.unix_s, lost.reason) == ("node_lost", 300.0, "NodeDeleted")
