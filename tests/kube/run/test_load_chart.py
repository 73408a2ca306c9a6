"""The chart `loadgen` on a real control plane: pods send the load, the Job's end is the verdict, a volume has the runs.

The server under test is a release of the chart `triton-trtllm`. In the sandbox, the image `triton-loadgen` consists of
the programs of this Python environment.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.analyze.read import analyze_folder
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import RunInfo
from loadgen.kube.deploy.chart import chart_folder
from loadgen.programs.find import find_tritonserver
from loadgen.sandbox import emulated
from loadgen.sandbox.images import table, write_images
from loadgen.sandbox.plane.addons import manifests
from support.charts.helm import LOADGEN, TRITON
from support.kube.cluster import NO_ONE_NAMESPACE, Cluster, Json, eventually, ready, volume
from support.kube.sandboxes import config_of, inside

pytestmark = pytest.mark.timeout(300)

LOCUSTFILE = """
import os
from loadgen.locust import Constant, Prompts, Scenario, Slo, TritonUser, Uniform, Validity

class Short(TritonUser):
    scenario = Scenario(
        name="short",
        load=Constant(per_s=4, duration_s=10),
        prompts=Prompts(input_tokens=Uniform(16, 32), output_tokens=Uniform(4, 8)),
        slo=Slo(ttft_p95_s=float(os.environ.get("TTFT_S", "25"))),
        validity=Validity(min_samples=10, send_lag_p99_s=5),
    )
"""


@dataclass(frozen=True)
class Load:
    """Releases of the chart in one namespace, all with the same PersistentVolumeClaim."""

    cluster: Cluster
    folder: Path
    claim: str

    def install(self, release: str, **values: Any) -> None:
        base: dict[str, Any] = {
            "target": {"url": f"grpc://llm-{TRITON}:8001"},
            "locustfile": {"content": LOCUSTFILE},
            "runs": {"claimName": self.claim},
            "resources": {},
        }
        file = self.folder / f"{release}.yaml"
        file.write_text(yaml.safe_dump({**base, **values}))
        self.helm("upgrade", "--install", release, str(chart_folder(LOADGEN)), f"--values={file}")

    def helm(self, *arguments: str) -> str:
        return inside(self.cluster.sandbox, "helm", f"--namespace={self.cluster.namespace}", *arguments)

    def end(self, job: str) -> Json:
        """Wait until a Job ends, and return its last condition."""

        def end_condition() -> Json | None:
            conditions = self.cluster.get("job", job)["status"].get("conditions") or []
            return next((each for each in conditions if each["type"] in ("Complete", "Failed")), None)

        try:
            return eventually(end_condition, f"the end of {job}", within_s=150) or {}
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.logs(job)}") from None

    def pods(self, selector: str) -> list[Json]:
        return list(json.loads(self.cluster.kubectl("get", "pods", f"-l{selector}", "--output=json"))["items"])

    def logs(self, job: str) -> str:
        return self.cluster.run("logs", f"-ljob-name={job}", "--prefix", "--tail=200").stdout

    def runs(self, below: str = ".") -> dict[str, RunInfo]:
        """Return the runs on the volume by their names."""
        (disk,) = self.cluster.sandbox.folder.glob(f"nodes/volumes/{self.claim}")
        folders = [RunFolder(file.parent) for file in (disk / below).glob("*/run.json")]
        return {each.path.name: each.read_info() for each in folders}

    def folder_of(self, run: str, below: str = ".") -> RunFolder:
        (disk,) = self.cluster.sandbox.folder.glob(f"nodes/volumes/{self.claim}")
        return RunFolder.open(disk / below / run)


@pytest.fixture(scope="module")
def loads(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    box = cluster.sandbox
    config = config_of(box)
    write_images(config, [emulated.image(find_tritonserver(), box.folder / "triton"), *table(config)])
    cluster.kubectl("apply", NO_ONE_NAMESPACE, "--filename=-", stdin=manifests("coredns"))
    folder = tmp_path_factory.mktemp("values")
    values = {
        "mode": "emulated",
        "image": {"tag": emulated.TAG},
        "emulated": {"loadSeconds": 0},
        "server": {"resources": {}, "probes": {"startup": {"periodSeconds": 1}}},
        "autoscaling": {"enabled": False},
        "metrics": {"monitor": "none"},
        "rules": {"enabled": False},
    }
    (folder / "llm.yaml").write_text(yaml.safe_dump(values))
    loads = Load(cluster, folder, "load-runs")
    loads.helm("install", "llm", str(chart_folder(TRITON)), f"--values={folder / 'llm.yaml'}")
    volume(cluster, loads.claim)
    eventually(lambda: any(map(ready, loads.pods("app.kubernetes.io/instance=llm"))), "a server", within_s=120)
    yield loads
    write_images(config, table(config))


def test_a_master_and_its_workers_write_one_run(loads: Load) -> None:
    """A Job of three pods passes: one of two workers sends each arrival, and the rows are in the master's folder."""
    loads.install("distributed", workers={"count": 2})
    end = loads.end("distributed-loadgen-1")
    assert end["type"] == "Complete", loads.logs("distributed-loadgen-1")
    ((name, info),) = loads.runs().items()
    assert info.state == "finished"
    assert info.target == f"grpc://llm-{TRITON}:8001"
    rows = loads.folder_of(name).read("requests")
    assert len(rows) == info.expected_rows == rows["request_id"].nunique()
    assert set(rows["worker"]) == {0, 1}
    # each worker has a reference server of its own, as it cannot reach the loopback of the master's pod
    assert {each.name for each in loads.folder_of(name).logs.glob("reference-*.log")} == {
        "reference-1.log",
        "reference-2.log",
    }
    loads.helm("uninstall", "distributed")


def test_a_failed_nightly_run_is_uploaded_and_not_retried(loads: Load) -> None:
    """A run of the CronJob that fails has exit code 1 in the Job's condition, only one pod, and is uploaded.

    The target is a workload of the namespace, observed with the permissions of the chart's service account.
    """
    loads.install(
        "nightly",
        kind="CronJob",
        target={"namespace": loads.cluster.namespace, "workload": f"llm-{TRITON}"},
        env=[{"name": "TTFT_S", "value": "0.0001"}],
        runs={"claimName": loads.claim, "keepUrl": "file:///runs/kept"},
    )
    loads.cluster.kubectl("create", "job", "now", "--from=cronjob/nightly-loadgen")
    end = loads.end("now")
    assert (end["type"], end["reason"]) == ("Failed", "PodFailurePolicy"), loads.logs("now")
    assert "failed with exit code 1" in end["message"]
    assert len(loads.pods("job-name=now")) == 1
    assert loads.cluster.get("job", "now")["status"]["failed"] == 1
    # the run of this test, and earlier runs on the volume that were not uploaded yet
    uploaded = loads.runs("kept")
    assert uploaded == loads.runs()
    newest = loads.folder_of(max(uploaded), "kept")
    assert analyze_folder(newest).verdict == "fail"
    assert (newest.path / "report.html").is_file()
    assert newest.read_info().target == "kube"
    events = newest.read("events")
    assert f"llm-{TRITON}" in "".join(events["pod"].dropna())
    assert "ttft" in loads.logs("now").lower()
    loads.helm("uninstall", "nightly")


def test_the_web_ui_has_a_service(loads: Load) -> None:
    """With kind Deployment, a Service of the cluster serves the web UI, and the worker is connected to the master."""
    loads.install("web", kind="Deployment", workers={"count": 1})
    eventually(lambda: any(map(ready, loads.pods("app.kubernetes.io/component=web"))), "a ready web UI", within_s=90)
    service = loads.cluster.get("service", "web-loadgen")["spec"]
    assert service["type"] == "ClusterIP"
    url = f"http://{service['clusterIP']}:8089"
    script = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"

    def get(path: str) -> str:
        return inside(loads.cluster.sandbox, sys.executable, "-c", script, url + path, check=False)

    assert "<title>Locust" in get("/")
    eventually(lambda: '"state": "ready"' in get("/stats/requests") or '"ready"' in get("/stats/requests"), "a worker")
    loads.helm("uninstall", "web")
