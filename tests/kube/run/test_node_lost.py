"""The main job on a real control plane when a node is lost."""

import json
import time
from pathlib import Path

import pytest

from support.kube.jobs import TO_PEAK_S, component_pid, first_second, job, node_of, peak, triton_pods
from support.kube.sandboxes import inside

RENEWED_EVERY_S = 10.0
"""A node renews its lease every 10 s, so the last renewal may be that much older than the loss."""

pytestmark = pytest.mark.timeout(600)


def test_a_node_that_is_lost_at_the_peak_is_reported(tmp_path: Path) -> None:
    """The report has the node's last lease renewal, which is long before Kubernetes notices, and its replicas."""
    with job(tmp_path, "sandbox_faults.py") as run:
        box = run.sandbox
        gateway = node_of(box, "traefik", "app=traefik")
        prometheus = node_of(box, "monitoring", "app.kubernetes.io/name=prometheus")
        victim, node = next((pod, node) for pod, node in triton_pods(box) if node != gateway)
        time.sleep(TO_PEAK_S)
        inside(box, "kill", "-9", str(component_pid(box, f"kubelet {node}")))
        code = run.end()
    # if Prometheus ran on the node, the signal is missing from then on, and the run is invalid
    assert code in ((3,) if node == prometheus else (0, 1)), run.output()[-3000:]
    (event,) = [json.loads(data) for data in run.events("node_lost").data]
    assert (event["node"], event["pods"]) == (node, [victim])
    assert victim in set(run.events("replica_not_ready").pod)
    lost = run.finding("node.lost")
    assert lost["advice"].startswith(f"{node} last renewed its lease at ")
    assert f"Replicas on it: {victim};" in lost["advice"]
    start_s, end_s = peak(run)
    assert start_s - RENEWED_EVERY_S < first_second(lost) < end_s, lost["window"]
    assert lost["advice"] in (run.folder.path / "report.md").read_text()
