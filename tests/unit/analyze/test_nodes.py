"""Nodes with replicas on them that were short of a resource, and who used it; one node, a load of 60 s."""

import pytest

from loadgen.analyze.findings.pressure import nodes_under_pressure
from loadgen.analyze.nodes import nodes
from loadgen.analyze.results import Window
from loadgen.analyze.scaling.replicas import fleet
from loadgen.dataset.run_info import ClusterInfo
from support.runs.tables import event, info, life, observed, request, series

CLUSTER = ClusterInfo(
    context="c", namespace="llm", kind="Deployment", workload="triton", endpoint="ingress", balances="requests"
)
REQUESTS = [request(n, float(n)) for n in range(60)]


def on_node(pod, node, scheduled_s=-9.0, stopped_s=None):
    """A replica that is ready a second after it was scheduled."""
    end = () if stopped_s is None else (stopped_s - 1, stopped_s)
    rows = life(pod, scheduled_s - 1, scheduled_s + 1, *end)
    rows = [row for row in rows if row["kind"] != "replica_scheduled"]
    return [*rows, event(scheduled_s, "replica_scheduled", pod, node=node)]


def conditions(node, at_s=-5.0, **changed):
    """All conditions of a node; `changed` ones are True."""
    names = ("MemoryPressure", "DiskPressure", "PIDPressure")
    return [
        event(at_s, "node_condition", node=node, condition=name, status="True" if name in changed else "False", pods=[])
        for name in names
    ]


def judged(events, samples=(), **changes):
    about = info(cluster=CLUSTER, **changes)
    run = observed(about, requests=REQUESTS, events=events, samples=list(samples))
    found = nodes(run, fleet(run))
    return found, nodes_under_pressure(run, found)


def use(node, cpu, replicas=None, pod="a"):
    """CPU use every 15 s: of the node, and of a replica on it."""
    times = (15.0, 30.0, 45.0)
    rows = series("node_cpu_ratio", node, dict(zip(times, cpu, strict=True)))
    return rows if replicas is None else rows + series("replica_cpu_ratio", pod, dict.fromkeys(times, replicas))


def test_a_node_with_resources_to_spare():
    """All conditions False, 40 % of its CPUs."""
    found, findings = judged(on_node("a", "n1") + conditions("n1"), use("n1", (0.2, 0.4, 0.3)))
    assert (found.verdict, findings) == ("no pressure", [])
    assert "used more than 40 % of its CPUs" in found.reason
    assert (found.nodes[0].cpu_peak_ratio, found.nodes[0].cpu_peak_s) == (0.4, 30.0)


@pytest.mark.parametrize(
    ("own", "verdict", "text"),
    [
        (0.1, "neighbour", "Something else on the nodes of the replicas took their resources"),
        (0.7, "replicas", "The replicas used up the resources of their nodes"),
        (None, "pressure", "who used them is not known"),
    ],
)
def test_who_used_the_cpus_of_a_busy_node(own, verdict, text):
    """98 % of its CPUs at 30 s: a mean of the 15 s before; the larger part decides."""
    found, (finding,) = judged(on_node("a", "n1") + conditions("n1"), use("n1", (0.5, 0.98, 0.5), own))
    assert found.verdict == verdict
    assert text in found.reason
    assert "node n1 used up to 98 % of its CPUs" in found.reason
    assert (finding.code, finding.measured, finding.window) == ("node.pressure", 15.0, Window(15.0, 30.0))


def test_memory_pressure_lasts_until_it_is_false():
    """From 20 to 50 s; at 45 s the node uses 99 % of its memory, its replica 20 %."""
    events = on_node("a", "n1") + conditions("n1")
    for at_s, status in ((20.0, "True"), (50.0, "False")):
        events.append(event(at_s, "node_condition", node="n1", condition="MemoryPressure", status=status, pods=["a"]))
    samples = series("node_memory_ratio", "n1", {30.0: 0.9, 45.0: 0.99}) + series(
        "replica_memory_ratio", "a", {44.0: 0.2}
    )
    found, (finding,) = judged(events, samples)
    assert found.verdict == "neighbour"
    assert "reported MemoryPressure from 20 s, for 30 s, with 99 % of its memory in use (its replicas 20 %)" in (
        found.reason
    )
    assert (finding.measured, finding.window) == (30.0, Window(20.0, 50.0))


def test_pressure_counts_only_while_replicas_are_on_the_node():
    """Disk pressure before the load and until its end; the replica is gone at 25 s: 25 s, and whose is not known."""
    events = on_node("a", "n1", stopped_s=25.0) + conditions("n1", DiskPressure=True)
    found, (finding,) = judged(events, use("n1", (0.1, 1.0, 1.0)))
    assert (found.verdict, finding.measured) == ("pressure", 25.0)
    assert [each.resource for each in found.nodes[0].pressure] == ["DiskPressure", "CPU"]  # 15 to 25 s of 15 to 30 s
    assert "kubectl describe node" in finding.advice


def test_times_of_several_nodes_count_once():
    """n1 is under pressure from 0 s, n2 from 30 s, both to the end: 60 s; the node with a known neighbour is first."""
    events = [
        *on_node("a", "n1"),
        *on_node("b", "n2"),
        *conditions("n1", PIDPressure=True),
        *conditions("n2"),
        event(30.0, "node_condition", node="n2", condition="DiskPressure", status="True", pods=["b"]),
    ]
    found, (finding,) = judged(events, use("n2", (0.99, 0.5, 0.5), 0.1, pod="b"))
    assert [each.name for each in found.nodes] == ["n2", "n1"]
    assert finding.measured == 60.0
    assert "(2 nodes in all)" in found.reason


def test_without_the_metrics_api_the_cpu_is_not_known():
    """The conditions alone show no neighbour."""
    found, findings = judged(on_node("a", "n1") + conditions("n1"))
    assert (found.verdict, findings) == ("not known", [])
    assert "their use of CPU was not recorded" in found.reason


def test_folders_of_earlier_releases_have_no_conditions():
    """Neither conditions nor the node of a replica: one sentence."""
    found, findings = judged(life("a", -9, -5))
    assert (found.verdict, found.nodes, findings) == ("not known", (), [])


def test_a_replica_without_a_recorded_node_is_on_the_one_that_names_it():
    """The condition names pod a; the event of its scheduling has no node."""
    named = {"node": "n1", "condition": "PIDPressure", "status": "True", "pods": ["a", "other"]}
    events = [*life("a", -9, -5), event(-5.0, "node_condition", **named)]
    found, (finding,) = judged(events)
    assert (found.nodes[0].replicas, finding.measured) == (("a",), 60.0)


def test_a_run_without_a_cluster_has_no_nodes():
    """The local stack."""
    run = observed(requests=REQUESTS, events=life("a", -9, -5))
    assert nodes(run, fleet(run)) is None
