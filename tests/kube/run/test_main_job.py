"""The main job on a real control plane: the real HPA controller scales, and a GPU is missing for the third replica."""

import json
import re
import time
from collections.abc import Iterator

import pytest

from loadgen.sandbox.commands import Sandbox
from support.kube.cluster import IMAGE, eventually
from support.kube.jobs import Job, first_second, job, last_second
from support.kube.sandboxes import inside

GPUS_LEFT = 2
GPU = "nvidia.com/gpu"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """A wave that needs three replicas: two GPUs are free at first, the third once the HPA has waited for it."""
    with job(tmp_path_factory.mktemp("runs"), "sandbox_wave.py") as run:
        occupy(run.sandbox)
        eventually(lambda: waiting(run.sandbox), "a replica without a node", 90)
        time.sleep(10)
        inside(run.sandbox, "kubectl", "delete", "pods", "--selector=app=batch", "--grace-period=1", "--wait=false")
        code = run.end()
        assert code in (0, 1, 3), run.output()[-3000:]
        yield run


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


def test_the_real_controller_scales_up_and_down_again(finished: Job) -> None:
    """One wave scales from one replica to three and back, and the first scale-up has all its times."""
    analysis = finished.analysis
    # requests may be sent late on a busy machine; nothing else may make the run invalid
    broken = {each["code"] for each in analysis["findings"] if each["severity"] == "invalid" and not each["passed"]}
    assert broken <= {"validity.send_lag"}
    assert "autoscaler.blind" not in {each["code"] for each in analysis["findings"]}
    ups = [event for event in analysis["scaling"] if event["direction"] == "up"]
    assert ups[0]["before"] == 1
    assert max(event["after"] for event in ups) == 3
    assert ups[0]["complete"], ups[0]["missing"]
    assert ups[0]["reason"].endswith("reason: pods metric triton:queue_compute:ratio above target")
    head = analysis["headline"]
    assert (head["lowest_replicas"], head["peak_replicas"], head["last_replicas"]) == (1, 3, 1)
    assert set(finished.folder.read("samples").signal) >= {"ratio", "raw_queue_us", "engine_active"}
    assert (finished.folder.logs / "sandbox" / "kube-apiserver.log").is_file()
    assert "pods are processes of one machine" in (finished.folder.path / "report.md").read_text().replace("\n", " ")


def test_no_request_is_lost(finished: Job) -> None:
    """Every planned request has a row, and none failed."""
    assert len(finished.folder.read("requests")) == finished.folder.read_info().expected_rows
    assert finished.analysis["whole"]["failed"] == 0


def test_a_replica_without_a_free_gpu_is_reported(finished: Job) -> None:
    """The report has the scheduler's reason why the third replica waits, and for how long."""
    (event,) = finished.events("replica_unschedulable").itertuples()
    assert event.reason == "Unschedulable"
    assert event.message.startswith(f"0/2 nodes are available: 2 Insufficient {GPU}.")
    assert event.pod in set(finished.events("replica_scheduled").pod)
    scarce = finished.finding("replica.unschedulable")
    assert scarce["measured"] >= 9
    times = r"from \d+:\d\d to \d+:\d\d"
    assert re.match(rf"{event.pod} was unschedulable {times} \(0/2 nodes are available: ", scarce["advice"])
    assert f"add more {GPU}, " in scarce["advice"]
    assert 0 < first_second(scarce) < last_second(scarce) < finished.analysis["run"]["length_s"]
    assert event.pod in (finished.folder.path / "report.md").read_text()
