"""Unschedulable replicas."""

import pytest

from loadgen.analyze.findings.placement import unschedulable_replicas
from loadgen.analyze.results import Window
from loadgen.analyze.scaling.replicas import fleet
from support.runs.tables import by_code, event, life, observed, request, rescale

REQUESTS = [request(n, float(n)) for n in range(60)]
READY = life("a", -9, -5)
SAID = (
    "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available: 2 No preemption "
    "victims found for incoming pod."
)


def waits(at, pod, message=SAID):
    said = {"reason": "Unschedulable", "message": message}
    return [event(at, "replica_created", pod), event(at, "replica_unschedulable", pod) | said]


def found(run):
    return unschedulable_replicas(run, fleet(run))


def test_an_unschedulable_replica_is_reported_with_the_schedulers_reason():
    """b waits from 20 s on and is placed at 50 s; the advice names the missing resource."""
    events = [*READY, *waits(20, "b"), event(50, "replica_scheduled", "b")]
    each = by_code(found(observed(requests=REQUESTS, events=events)), "replica.unschedulable")
    assert (each.measured, each.window) == (30.0, Window(20.0, 50.0))
    why = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu"
    assert each.advice.startswith(f"b was unschedulable from 0:20 to 0:50 ({why}), until it was scheduled. ")
    assert "add more nvidia.com/gpu, " in each.advice
    assert "maxReplicas" in each.advice


def test_overlapping_waits_count_once():
    """b from 10 to 30 s (given up), c from 20 s to the end of the load at 60 s: 50 s in all."""
    events = [*READY, *waits(10, "b"), *waits(20, "c"), rescale(29.5, 3, 2), event(30, "replica_draining", "b")]
    each = by_code(found(observed(requests=REQUESTS, events=events)), "replica.unschedulable")
    assert (each.measured, each.window) == (50.0, Window(10.0, 60.0))
    assert "b was unschedulable from 0:10 to 0:30" in each.advice
    assert "until it was deleted; c was unschedulable from 0:20 to 1:00" in each.advice
    assert "until the load ended. " in each.advice


@pytest.mark.parametrize(
    ("reason", "needed"),
    [
        ("0/2 nodes are available: 2 Insufficient nvidia.com/mig-1g.10gb", "more nvidia.com/mig-1g.10gb"),
        ("0/2 nodes are available: 2 cannot allocate all claims", "more devices for its resource claims"),
        (
            "0/2 nodes are available: 1 Insufficient memory, 1 cannot allocate all claims",
            "more devices for its resource claims and memory",
        ),
        ("0/2 nodes are available: 2 resourceclaim not available on the node", "more devices for its resource claims"),
    ],
)
def test_gpus_by_another_name_or_by_a_claim_are_what_is_needed(reason, needed):
    """A MIG slice is a resource of its own; for a claim the scheduler names none."""
    events = [*READY, *waits(20, "b", f"{reason}. still not schedulable, preemption: 0/2 nodes are available.")]
    each = by_code(found(observed(requests=REQUESTS, events=events)), "replica.unschedulable")
    assert f"({reason})" in each.advice
    assert f"add {needed}, free resources" in each.advice


def test_reasons_other_than_resources_are_reported():
    """Every node is cordoned; without a message the reason is used."""
    cordoned = waits(20, "b", "0/2 nodes are available: 2 node(s) were unschedulable.")
    each = by_code(found(observed(requests=REQUESTS, events=[*READY, *cordoned])), "replica.unschedulable")
    assert "(0/2 nodes are available: 2 node(s) were unschedulable)" in each.advice
    assert "add a node that fits, " in each.advice
    each = by_code(found(observed(requests=REQUESTS, events=[*READY, *waits(20, "b", None)])), "replica.unschedulable")
    assert "(Unschedulable)" in each.advice


def test_waits_outside_the_load_are_not_reported():
    """b is placed before the load begins, c waits when it has ended."""
    events = [*READY, *waits(-8, "b"), event(-1, "replica_scheduled", "b"), *waits(61, "c")]
    assert found(observed(requests=REQUESTS, events=events)) == []


def test_a_replica_costs_nothing_before_it_has_a_node():
    """a from the start, b placed at 50 s and gone at 55 s, c never placed: 60 + 5 s."""
    events = [
        *READY,
        *waits(20, "b"),
        *waits(20, "c"),
        event(50, "replica_scheduled", "b"),
        event(55, "replica_stopped", "b"),
        event(58, "replica_stopped", "c"),
    ]
    replicas, seconds = fleet(observed(requests=REQUESTS, events=events)).billed.within(0.0, 60.0)
    assert float(replicas @ seconds) == 65.0
