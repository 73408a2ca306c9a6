"""Replicas and nodes that were lost without a scale-down."""

import pytest

from loadgen.analyze.findings.losses import losses, lost_replicas
from loadgen.analyze.results import Window
from loadgen.analyze.scaling.replicas import fleet
from support.runs.tables import by_code, event, life, observed, request, rescale

TWO = life("a", -9, -5) + life("b", -9, -5)
REQUESTS = [request(n, float(n)) for n in range(60)]


def found(run):
    return losses(run, fleet(run))


def test_a_replica_of_a_scale_down_is_not_lost():
    """2 to 1 at 30.7 s by the moment it was seen; the API stamps 30 s."""
    run = observed(requests=REQUESTS, events=TWO[:4] + life("b", -9, -5, 30, 35) + [rescale(30.7, 2, 1)])
    assert found(run) == []


def test_a_replica_without_a_scale_down_is_lost():
    """a is deleted at 20 s; c takes its place and is ready at 32 s; then 2 to 1 at 40 s is an ordinary scale-down."""
    events = [
        event(-9, "hpa_sync", current=2, desired=2),
        *life("a", -9, -5, 20, 20.5),
        *TWO[4:],
        *life("c", 21, 32, 40, 45),
        rescale(40.2, 2, 1),
    ]
    broken = [request(60, 19.5, None, None, "error", "reset", ended_s=20.5)]
    run = observed(requests=REQUESTS + broken, events=events)
    assert lost_replicas(run, fleet(run)) == [("a", 20.0)]
    lost = by_code(found(run), "replica.lost")
    assert (lost.measured, lost.window) == (1.0, Window(20.0, 32.0))
    assert "a stopped without a scale-down" in lost.advice
    assert "12.0 s at most" in lost.advice
    assert "1 request failed" in lost.advice


def test_without_a_replacement_the_window_lasts_to_the_end_of_the_load():
    """b stops at 50 s and is not replaced."""
    run = observed(
        requests=REQUESTS,
        events=[event(-9, "hpa_sync", current=2, desired=2), *TWO[:4], *life("b", -9, -5, 50, 51)],
    )
    lost = by_code(found(run), "replica.lost")
    assert lost.window == Window(50.0, 60.0)
    assert "were not ready again before the load ended" in lost.advice


def test_replicas_that_stop_after_the_load_are_not_lost():
    """The stack shuts down."""
    run = observed(requests=REQUESTS, events=life("a", -9, -5, 61, 62))
    assert found(run) == []


def test_a_node_is_lost_from_its_last_lease_renewal():
    """Silent for 45 s when it is called lost at 50 s; back at 55 s; two of three broken requests ended meanwhile."""
    broken = [request(60 + n, 1.0, None, None, "error", "reset", ended_s=at) for n, at in enumerate((4.0, 6.0, 54.0))]
    lost = event(50, "node_lost", node="node-1", pods=["b"], silent_s=45.0)
    back = event(55, "node_back", node="node-1", pods=[])
    each = by_code(found(observed(requests=REQUESTS + broken, events=[*TWO, lost, back])), "node.lost")
    assert (each.measured, each.window) == (50.0, Window(5.0, 55.0))
    assert each.advice.startswith(
        "node-1 last renewed its lease at 0:05 and became not ready at 0:50. Replicas on it: b; "
    )
    assert "2 requests failed" in each.advice


@pytest.mark.parametrize(("lost_s", "window"), [(50.0, Window(50.0, 60.0)), (-10.0, Window(0.0, 60.0))])
def test_a_node_that_stays_lost_is_lost_to_the_end(lost_s, window):
    """Where no lease could be read the time begins when it was called lost; what was before the load does not count."""
    run = observed(requests=REQUESTS, events=[*TWO, event(lost_s, "node_lost", node="node-2", pods=["a"])])
    each = by_code(found(run), "node.lost")
    assert each.window == window
    assert "Replicas on it: a; " in each.advice


def test_a_node_without_replicas_is_not_reported():
    """A cluster autoscaler removes empty nodes."""
    assert found(observed(requests=REQUESTS, events=[*TWO, event(30, "node_lost", node="node-9", pods=[])])) == []


def test_a_lost_readiness_ends_the_ready_span():
    """b is not ready from 20 to 30 s: one replica is ready then, two before and after."""
    events = [*TWO, event(20, "replica_not_ready", "b"), event(30, "replica_ready", "b")]
    ready = fleet(observed(requests=REQUESTS, events=events)).ready
    assert ready.at(ready.t_s).tolist()[-3:] == [2.0, 1.0, 2.0]
