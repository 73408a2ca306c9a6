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
    assert scarce["advice"].startswith(f"{event.pod} was unschedulable {scarce['window']} (0/2 nodes are available: ")
    assert f"add more {GPU}, " in scarce["advice"]
    assert 0 < first_second(scarce) < last_second(scarce) < run.analysis["run"]["length_s"]
    assert event.pod in (run.folder.path / "report.md").read_text()
    # no request is lost, and the replica came when it could
    assert len(run.folder.read("requests")) == run.folder.read_info().expected_rows
    assert run.analysis["whole"]["failed"] == 0
    assert run.analysis["headline"]["peak_replicas"] == 3


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
