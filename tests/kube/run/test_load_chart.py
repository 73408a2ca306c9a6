"""The chart `loadgen` on a real control plane: load from pods, a verdict that is the Job's end, runs that stay.

The server under test is a release of the other chart; the image of `triton-loadgen` is this installation's programs.
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
from loadgen.sandbox.images import reference, table, write_images
from loadgen.sandbox.plane.addons import manifests
from support.charts.helm import LOADGEN, TRITON
from support.kube.cluster import NO_ONE_NAMESPACE, Cluster, Json, eventually, ready, volume
from support.kube.sandboxes import config_of, inside

pytestmark = pytest.mark.timeout(300)

PROGRAMS = Path(sys.executable).parent
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
    """Releases of the chart in one namespace, all with the same claim."""

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
        """The condition that ends a Job, once it has ended."""

        def look() -> Json | None:
            conditions = self.cluster.get("job", job)["status"].get("conditions") or []
            return next((each for each in conditions if each["type"] in ("Complete", "Failed")), None)

        try:
            return eventually(look, f"the end of {job}", within_s=150) or {}
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.words(job)}") from None

    def pods(self, which: str) -> list[Json]:
        return list(json.loads(self.cluster.kubectl("get", "pods", f"-l{which}", "--output=json"))["items"])

    def words(self, job: str) -> str:
        return self.cluster.run("logs", f"-ljob-name={job}", "--prefix", "--tail=200").stdout

    def runs(self, below: str = ".") -> dict[str, RunInfo]:
        """Runs on the volume by their names."""
        (disk,) = self.cluster.sandbox.folder.glob(f"nodes/volumes/{self.claim}")
        found = [RunFolder(file.parent) for file in (disk / below).glob("*/run.json")]
        return {each.path.name: each.read_info() for each in found}

    def folder_of(self, run: str, below: str = ".") -> RunFolder:
        (disk,) = self.cluster.sandbox.folder.glob(f"nodes/volumes/{self.claim}")
        return RunFolder.open(disk / below / run)


@pytest.fixture(scope="module")
def loads(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    box = cluster.sandbox
    config = config_of(box)
    own = {"match": reference("triton-loadgen"), "path": [str(PROGRAMS)], "workdir": str(PROGRAMS.parents[1])}
    write_images(config, [own, emulated.image(find_tritonserver(), box.folder / "triton"), *table(config)])
    cluster.kubectl("apply", NO_ONE_NAMESPACE, "--filename=-", stdin=manifests("coredns"))
    folder = tmp_path_factory.mktemp("values")
    served = {
        "mode": "emulated",
        "image": {"tag": emulated.TAG},
        "emulated": {"loadSeconds": 0},
        "server": {"resources": {}, "probes": {"startup": {"periodSeconds": 1}}},
        "autoscaling": {"enabled": False},
        "metrics": {"monitor": "none"},
        "rules": {"enabled": False},
    }
    (folder / "llm.yaml").write_text(yaml.safe_dump(served))
    found = Load(cluster, folder, "load-runs")
    found.helm("install", "llm", str(chart_folder(TRITON)), f"--values={folder / 'llm.yaml'}")
    volume(cluster, found.claim)
    eventually(lambda: any(map(ready, found.pods("app.kubernetes.io/instance=llm"))), "a server", within_s=120)
    yield found
    write_images(config, table(config))


def test_a_master_and_its_workers_are_one_run(loads: Load) -> None:
    """A Job of three pods: each arrival is sent once, by one of two workers, into the master's folder; it passes."""
    loads.install("crew", workers={"count": 2})
    end = loads.end("crew-loadgen-1")
    assert end["type"] == "Complete", loads.words("crew-loadgen-1")
    ((name, info),) = loads.runs().items()
    assert info.state == "finished"
    assert info.target == f"grpc://llm-{TRITON}:8001"
    rows = loads.folder_of(name).read("requests")
    assert len(rows) == info.expected_rows == rows["request_id"].nunique()
    assert set(rows["worker"]) == {0, 1}
    # each worker was checked against a reference server of its own: the master's is another pod's loopback
    assert {each.name for each in loads.folder_of(name).logs.glob("reference-*.log")} == {
        "reference-1.log",
        "reference-2.log",
    }
    loads.helm("uninstall", "crew")


def test_a_night_that_fails_is_kept_and_not_tried_again(loads: Load) -> None:
    """The CronJob's Job: FAIL is exit code 1, said by the condition; one pod; the run lies where it is to be kept.

    Its target is the namespace, observed with the rights that the chart gives the pod's account.
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
    assert (end["type"], end["reason"]) == ("Failed", "PodFailurePolicy"), loads.words("now")
    assert "failed with exit code 1" in end["message"]
    assert len(loads.pods("job-name=now")) == 1
    assert loads.cluster.get("job", "now")["status"]["failed"] == 1
    # the run of this test, and what an earlier night could not keep
    kept = loads.runs("kept")
    assert kept == loads.runs()
    newest = loads.folder_of(max(kept), "kept")
    assert analyze_folder(newest).verdict == "fail"
    assert (newest.path / "report.html").is_file()
    assert newest.read_info().target == "kube"
    events = newest.read("events")
    assert f"llm-{TRITON}" in "".join(events["pod"].dropna())
    assert "ttft" in loads.words("now").lower()
    loads.helm("uninstall", "nightly")


def test_the_web_ui_is_a_service_inside(loads: Load) -> None:
    """Kind Deployment: the page is served by a Service of the cluster, and workers have found their master."""
    loads.install("web", kind="Deployment", workers={"count": 1})
    eventually(lambda: any(map(ready, loads.pods("app.kubernetes.io/component=web"))), "a ready web UI", within_s=90)
    service = loads.cluster.get("service", "web-loadgen")["spec"]
    assert service["type"] == "ClusterIP"
    url = f"http://{service['clusterIP']}:8089"
    ask = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"

    def asked(path: str) -> str:
        return inside(loads.cluster.sandbox, sys.executable, "-c", ask, url + path, check=False)

    assert "<title>Locust" in asked("/")
    eventually(
        lambda: '"state": "ready"' in asked("/stats/requests") or '"ready"' in asked("/stats/requests"), "a worker"
    )
    loads.helm("uninstall", "web")
