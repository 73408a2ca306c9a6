"""The main job on a real control plane while components of it fail: the report shows each fault with its window."""

import time
from pathlib import Path

import pytest

from support.kube.jobs import TO_PEAK_S, component_pid, first_second, job, peak, triton_pods
from support.kube.sandboxes import inside

FAULTS = "sandbox_faults.py"

pytestmark = pytest.mark.timeout(600)


def test_faults_at_the_peak_are_reported(tmp_path: Path) -> None:
    """A killed pod, a stopped adapter and a killed API server do not stop the load, and each fault has its window."""
    with job(tmp_path, FAULTS) as run:
        box = run.sandbox
        victim = triton_pods(box)[0][0]
        time.sleep(TO_PEAK_S)
        inside(box, "kubectl", "-n", "triton", "delete", "pod", victim, "--grace-period=0", "--force")
        inside(box, "kubectl", "-n", "monitoring", "scale", "deployment", "prometheus-adapter", "--replicas=0")
        time.sleep(25)
        inside(box, "kill", "-9", str(component_pid(box, "kube-apiserver")))
        code = run.end()
    assert code in (0, 1), run.output()[-3000:]
    assert victim in set(run.events("replica_stopped").pod)
    assert len(run.events("replica_created")) == 3  # the first two, and the replacement of the victim
    lost = run.finding("replica.lost")
    assert lost["measured"] == 1
    assert lost["advice"].startswith(f"{victim} stopped without a scale-down")
    blind = run.finding("autoscaler.blind")
    assert blind["measured"] > 10
    assert "FailedGetPodsMetric" in blind["advice"]
    assert "kubernetes" in run.finding("collect.gap")["advice"].partition(":")[0]
    # the number of replicas did not change
    assert run.events("hpa_rescale").empty
    outcomes = run.folder.read("requests").outcome
    assert (outcomes == "ok").mean() > 0.9
    # the windows of all faults are in the peak
    start_s, end_s = peak(run)
    for finding in (lost, blind, run.finding("collect.gap")):
        assert start_s < first_second(finding) < end_s, finding["window"]
