"""The main job on a real control plane when no GPU is left for one more replica."""

import json
import time
from pathlib import Path

import pytest

from loadgen.sandbox.commands import Sandbox
from support.kube.cluster import IMAGE, eventually
from support.kube.jobs import first_second, job, last_second
from support.kube.sandboxes import inside

GPUS_LEFT = 2
GPU = "nvidia.com/gpu"

pytestmark = pytest.mark.timeout(600)


def test_a_replica_without_a_free_gpu_is_reported(tmp_path: Path) -> None:
    """With three desired replicas and two free GPUs, the report has the scheduler's reason why the third one waits."""
    with job(tmp_path, "sandbox_wave.py") as run:
        box = run.sandbox
        occupy(box)
        eventually(lambda: waiting(box), "a replica without a node", 90)
        time.sleep(10)
        inside(box, "kubectl", "delete", "pods", "--selector=app=batch", "--grace-period=1", "--wait=false")
        code = run.end()
    assert code in (0, 1, 3), run.output()[-3000:]
    # requests may be sent late on a busy machine; nothing else may make the run invalid
    broken = {each["code"] for each in run.analysis["findings"] if each["severity"] == "invalid" and not each["passed"]}
    assert broken <= {"validity.send_lag"}
    (event,) = run.events("replica_unschedulable").itertuples()
    assert event.reason == "Unschedulable"
    assert event.message.startswith(f"0/2 nodes are available: 2 Insufficient {GPU}.")
    assert event.pod in set(run.events("replica_scheduled").pod)
    scarce = run.finding("replica.unschedulable")
    assert scarce["measured"] >= 9
    assert scarce["advice"].startswith(f"{event.pod} was unschedulable {scarce['window']} (0/2 nodes are available: ")
    assert f"add more {GPU}, " in scarce["advice"]
    assert 0 < first_second(scarce) < last_second(scarce) < run.analysis["run"]["length_s"]
    assert event.pod in (run.folder.path / "report.md").read_text()
    # no request is lost, and the replica is created once a GPU is free
    assert len(run.folder.read("requests")) == run.folder.read_info().expected_rows
    assert run.analysis["whole"]["failed"] == 0
    assert run.analysis["headline"]["peak_replicas"] == 3


def occupy(box: Sandbox) -> None:
    """Allocate all GPUs but two to other pods; the first replica has one of the two."""
    nodes = json.loads(inside(box, "kubectl", "get", "nodes", "--output=json"))
    gpus = sum(int(node["status"]["allocatable"][GPU]) for node in nodes["items"])
    for number in range(gpus - GPUS_LEFT):
        limits = json.dumps({"spec": {"containers": [container(f"batch-{number}")]}})
        run = ("kubectl", "run", f"batch-{number}", f"--image={IMAGE}", "--labels=app=batch", f"--overrides={limits}")
        inside(box, *run)


def container(name: str) -> dict[str, object]:
    """Return a container that occupies one GPU until it is deleted."""
    return {"name": name, "image": IMAGE, "command": ["sleep", "600"], "resources": {"limits": {GPU: "1"}}}


def waiting(box: Sandbox) -> bool:
    """Return whether a replica is unschedulable."""
    pods = json.loads(inside(box, "kubectl", "-n", "triton", "get", "pods", "--output=json"))
    conditions = [each for pod in pods["items"] for each in pod["status"].get("conditions", [])]
    return any(each.get("reason") == "Unschedulable" for each in conditions)
