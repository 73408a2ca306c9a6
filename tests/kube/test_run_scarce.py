"""The main job when what it needs runs out: no Prometheus for a while, no GPU for one more replica."""

import json
import time
from pathlib import Path

import pytest
from cluster import IMAGE, eventually
from jobs import first_second, job, last_second, peak
from sandboxes import inside

from loadgen.kube.sandbox.commands import Sandbox

TO_PEAK_S = 40.0
"""From the start of the load: the peak is from 30 s to 90 s, and what was not collected by then is up to 5 s old."""
GPUS_LEFT = 2
GPU = "nvidia.com/gpu"

pytestmark = pytest.mark.timeout(600)


def test_a_prometheus_that_is_stopped_at_the_peak_is_on_the_page(tmp_path: Path) -> None:
    """The run cannot be judged, says so with the window, and keeps all that does not come from Prometheus."""
    with job(tmp_path, "sandbox_faults.py") as run:
        time.sleep(TO_PEAK_S)
        prometheus(run.sandbox, 0)
        time.sleep(20)
        prometheus(run.sandbox, 1)
        code = run.end()
    assert code == 3, run.said()[-3000:]
    unseen = run.finding("validity.scrape_gap")
    assert unseen["measured"] > 15
    assert unseen["advice"].startswith("Nothing came from Prometheus in this time, ")
    blind = run.finding("autoscaler.blind")
    assert "FailedGetPodsMetric" in blind["advice"]
    assert "prometheus" in run.finding("collect.gap")["advice"].partition(":")[0]
    start_s, end_s = peak(run)
    for finding in (unseen, run.finding("collect.gap")):
        assert start_s < first_second(finding) < last_second(finding) < end_s, finding["window"]
    assert start_s < first_second(blind) < end_s, blind["window"]
    page = (run.folder.path / "report.md").read_text()
    assert unseen["window"] in page
    # no request is lost, and the replicas' own counters were read all the time
    rows = run.folder.read("requests")
    assert len(rows) == run.folder.read_info().expected_rows
    assert (rows.outcome == "ok").mean() > 0.99
    assert run.events("hpa_rescale").empty
    samples = run.folder.read("samples")
    load_start_s = run.folder.read_info().load_start_s
    for pod in set(run.events("replica_ready").pod):
        raw = samples[(samples.signal == "raw_success") & (samples.pod == pod)].t_s - load_start_s
        inside_s = raw[(raw > start_s) & (raw < end_s)].sort_values()
        assert inside_s.diff().max() < 5, inside_s


def test_a_replica_that_no_node_has_a_gpu_for_is_on_the_page(tmp_path: Path) -> None:
    """Three replicas are wanted, two GPUs are left: the third waits, with the scheduler's reason, until one is free."""
    with job(tmp_path, "sandbox_wave.py") as run:
        box = run.sandbox
        occupy(box)
        eventually(lambda: waiting(box), "a replica without a node", 90)
        time.sleep(10)
        inside(box, "kubectl", "delete", "pods", "--selector=app=batch", "--grace-period=1", "--wait=false")
        code = run.end()
    assert code in (0, 1, 3), run.said()[-3000:]
    # a machine that is busy with other things may have sent late; nothing else keeps the run from being judged
    broken = {each["code"] for each in run.analysis["findings"] if each["severity"] == "invalid" and not each["passed"]}
    assert broken <= {"validity.send_lag"}
    (event,) = run.events("replica_unschedulable").itertuples()
    assert event.reason == "Unschedulable"
    assert event.message.startswith(f"0/2 nodes are available: 2 Insufficient {GPU}.")
    assert event.pod in set(run.events("replica_scheduled").pod)
    scarce = run.finding("replica.unschedulable")
    assert scarce["measured"] >= 9
    assert scarce["advice"].startswith(f"{event.pod} had no node {scarce['window']} (0/2 nodes are available: ")
    assert f"give it more {GPU}, " in scarce["advice"]
    assert 0 < first_second(scarce) < last_second(scarce) < run.analysis["run"]["length_s"]
    assert event.pod in (run.folder.path / "report.md").read_text()
    # no request is lost, and the replica came when it could
    assert len(run.folder.read("requests")) == run.folder.read_info().expected_rows
    assert run.analysis["whole"]["failed"] == 0
    assert run.analysis["headline"]["peak_replicas"] == 3


def prometheus(box: Sandbox, replicas: int) -> None:
    """Have the operator run so many."""
    patch = json.dumps({"spec": {"replicas": replicas}})
    inside(box, "kubectl", "-n", "monitoring", "patch", "prometheus", "sandbox", "--type=merge", f"--patch={patch}")


def occupy(box: Sandbox) -> None:
    """Other work takes all GPUs but two, one of which the first replica has."""
    told = inside(box, "kubectl", "get", "nodes", "--output=json")
    gpus = sum(int(node["status"]["allocatable"][GPU]) for node in json.loads(told)["items"])
    for number in range(gpus - GPUS_LEFT):
        limits = json.dumps({"spec": {"containers": [container(f"batch-{number}")]}})
        run = ("kubectl", "run", f"batch-{number}", f"--image={IMAGE}", "--labels=app=batch", f"--overrides={limits}")
        inside(box, *run)


def container(name: str) -> dict[str, object]:
    """Holds one GPU for as long as it is let."""
    return {"name": name, "image": IMAGE, "command": ["sleep", "600"], "resources": {"limits": {GPU: "1"}}}


def waiting(box: Sandbox) -> bool:
    """Whether a replica could not be placed."""
    told = json.loads(inside(box, "kubectl", "-n", "triton", "get", "pods", "--output=json"))
    conditions = [each for pod in told["items"] for each in pod["status"].get("conditions", [])]
    return any(each.get("reason") == "Unschedulable" for each in conditions)
