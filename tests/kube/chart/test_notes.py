"""What helm prints after an install: commands that can be pasted."""

import json
import shlex

import pytest

from loadgen.kube.deploy.chart import chart_folder
from support.charts.helm import LOADGEN, TRITON, helm, objects
from support.charts.load_cases import LOAD_CASES
from support.kube.cluster import Cluster

EMULATED = {"mode": "emulated"}


def notes(chart: str, values: dict[str, object], namespace: str = "serving") -> str:
    done = helm(
        "install", "demo", str(chart_folder(chart)), f"--namespace={namespace}", "--dry-run=client", values=values
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\nNOTES:\n", 1)[1]


def test_the_next_step_is_a_run_that_observes_the_cluster() -> None:
    said = notes(TRITON, EMULATED)
    assert "locust -f scenarios/waves.py --headless --target kube --kube-namespace serving\n" in said
    assert "helm test demo -n serving\n" in said


@pytest.mark.parametrize(("labels", "hinted"), [({}, True), ({"release": "kube-prometheus-stack"}, False)])
def test_a_label_that_nobody_set_is_hinted_at(labels: dict[str, str], hinted: bool) -> None:
    """Without it most installations of Prometheus see neither pods nor rules."""
    assert ("metrics.labels" in notes(TRITON, {**EMULATED, "metrics": {"labels": labels}})) is hinted


def test_reports_are_copied_off_their_volume_by_a_pod_that_the_api_takes(cluster: Cluster) -> None:
    """The command of the notes, as it is, in a dry run on the server of a namespace that refuses root."""
    cluster.kubectl(
        "label", "namespace", cluster.namespace, "pod-security.kubernetes.io/enforce=restricted", "--overwrite"
    )
    values = LOAD_CASES["job-namespace"]
    said = notes(LOADGEN, values, cluster.namespace)
    (line,) = [each for each in said.splitlines() if " run reader " in each]
    program, *arguments = shlex.split(line)
    assert program == "kubectl"
    done = cluster.run(*arguments, "--dry-run=server", "--output=json")
    assert done.returncode == 0, done.stderr
    (claim,) = [name for kind, name in objects(values, chart=LOADGEN) if kind == "PersistentVolumeClaim"]
    volumes = {each["name"]: each for each in json.loads(done.stdout)["spec"]["volumes"]}
    assert volumes["runs"]["persistentVolumeClaim"] == {"claimName": claim}
