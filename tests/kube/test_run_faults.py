"""The main job on a real control plane while parts of it break: each is on the page with its window."""

import json
import time
from pathlib import Path

import pytest
from jobs import first_second, job, peak
from sandboxes import inside

from loadgen.kube.sandbox.commands import Sandbox

FAULTS = "sandbox_faults.py"
TO_PEAK_S = 40.0
"""From the start of the load: the peak is from 30 s to 90 s, and what was not collected by then is up to 5 s old."""
RENEWED_EVERY_S = 10.0
"""A node renews its lease every 10 s: the last sign of life may be that much older than the loss."""

pytestmark = pytest.mark.timeout(600)


def test_what_breaks_at_the_peak_is_on_the_page(tmp_path: Path) -> None:
    """A pod is killed, the adapter stopped, the API server killed: requests go on, and each has its window."""
    with job(tmp_path, FAULTS) as run:
        box = run.sandbox
        victim = triton_pods(box)[0][0]
        time.sleep(TO_PEAK_S)
        inside(box, "kubectl", "-n", "triton", "delete", "pod", victim, "--grace-period=0", "--force")
        inside(box, "kubectl", "-n", "monitoring", "scale", "deployment", "prometheus-adapter", "--replicas=0")
        time.sleep(25)
        inside(box, "kill", "-9", str(part(box, "kube-apiserver")))
        code = run.end()
    assert code in (0, 1), run.said()[-3000:]
    assert victim in set(run.events("replica_stopped").pod)
    assert len(run.events("replica_created")) == 3  # the first two, and the one instead of the victim
    lost = run.finding("replica.lost")
    assert lost["measured"] == 1
    assert lost["advice"].startswith(f"{victim} stopped although the autoscaler had not given it up")
    blind = run.finding("autoscaler.blind")
    assert blind["measured"] > 10
    assert "FailedGetPodsMetric" in blind["advice"]
    assert "kubernetes" in run.finding("collect.gap")["advice"].partition(":")[0]
    # the number of replicas was held
    assert run.events("hpa_rescale").empty
    outcomes = run.folder.read("requests").outcome
    assert (outcomes == "ok").mean() > 0.9
    # each with its window, all of them in the peak
    start_s, end_s = peak(run)
    for finding in (lost, blind, run.finding("collect.gap")):
        assert start_s < first_second(finding) < end_s, finding["window"]


def test_a_node_that_is_lost_at_the_peak_is_on_the_page(tmp_path: Path) -> None:
    """From its last sign of life, long before Kubernetes calls it lost, with its replica and what broke."""
    with job(tmp_path, FAULTS) as run:
        box = run.sandbox
        gateway = node_of(box, "traefik", "app=traefik")
        prometheus = node_of(box, "monitoring", "app.kubernetes.io/name=prometheus")
        victim, node = next((pod, node) for pod, node in triton_pods(box) if node != gateway)
        time.sleep(TO_PEAK_S)
        inside(box, "kill", "-9", str(part(box, f"kubelet {node}")))
        code = run.end()
    # where Prometheus goes with the node, the signal is not seen any more, and the run says that it cannot be judged
    assert code in ((3,) if node == prometheus else (0, 1)), run.said()[-3000:]
    (event,) = [json.loads(data) for data in run.events("node_lost").data]
    assert (event["node"], event["pods"]) == (node, [victim])
    assert victim in set(run.events("replica_not_ready").pod)
    lost = run.finding("node.lost")
    assert lost["advice"].startswith(f"{node} was heard of last at ")
    assert f"Replicas on it: {victim};" in lost["advice"]
    start_s, end_s = peak(run)
    assert start_s - RENEWED_EVERY_S < first_second(lost) < end_s, lost["window"]
    assert lost["advice"] in (run.folder.path / "report.md").read_text()


def triton_pods(box: Sandbox) -> list[tuple[str, str]]:
    """Name and node of each."""
    template = "--output=jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}\n{end}"
    told = inside(box, "kubectl", "-n", "triton", "get", "pods", template)
    return [(name, node) for name, node in (line.split() for line in told.splitlines())]


def node_of(box: Sandbox, namespace: str, selector: str) -> str:
    """Where the one pod of a kind runs."""
    which = ("-n", namespace, "get", "pods", f"-l{selector}")
    return inside(box, "kubectl", *which, "--output=jsonpath={.items[0].spec.nodeName}")


def part(box: Sandbox, name: str) -> int:
    """Process id, inside, of a part of the cluster."""
    state = box.state()
    assert state is not None
    return next(part.pid for part in state.parts if part.name == name)
