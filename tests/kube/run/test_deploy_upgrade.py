"""`loadgen deploy` over a release that is there, and a run in mid-rollout: only the last version counts."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.sandbox import emulated
from loadgen.sandbox.commands import Sandbox
from support.kube.given import Given, run, some_cluster
from support.kube.scenarios import SCENARIOS

pytestmark = [pytest.mark.timeout(600), pytest.mark.any_cluster]

BIN = Path(sys.executable).parent
SHORT = str(SCENARIOS / "short_load.py")
NAMESPACE, RELEASE = "loadgen-target-upgrade", "llm"
VALUES: dict[str, Any] = {
    "mode": "emulated",
    "fullnameOverride": "llm",
    "image": {"tag": emulated.TAG},
    "emulated": {"loadSeconds": 1},
    "gpu": {"perPod": 0},
    "server": {"replicas": 2, "resources": {}, "sharedMemory": "64Mi", "longestGenerationSeconds": 5},
    "autoscaling": {"enabled": False},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Given | Sandbox]:
    with some_cluster() as one:
        if isinstance(one, Given):
            there = run(one, "kubectl", "get", "namespaces", NAMESPACE, "--ignore-not-found", "--output=name").stdout
            assert not there, f"these tests make a namespace that is there already: {there}"
            one.made.append(NAMESPACE)
        yield one


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("values") / "values.yaml"
    file.write_text(yaml.safe_dump(VALUES))
    return file


@pytest.fixture(scope="module")
def first(cluster: Given | Sandbox, values: Path) -> set[str]:
    """Names of the pods of a release that is ready."""
    done = deploy(cluster, values)
    assert done.returncode == 0, done.stderr
    return ready_pods(cluster)


def deploy(cluster: Given | Sandbox, values: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "loadgen"), "deploy", RELEASE, f"--namespace={NAMESPACE}", f"--values={values}", *more]
    return run(cluster, *command, timeout_s=300)


def kubectl(cluster: Given | Sandbox, *argv: str) -> str:
    done = run(cluster, "kubectl", f"--namespace={NAMESPACE}", *argv)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ready_pods(cluster: Given | Sandbox) -> set[str]:
    """Those that are ready and stay."""
    query = ("get", "pods", f"-lapp.kubernetes.io/instance={RELEASE}", "--output=json")
    return {
        pod["metadata"]["name"]
        for pod in json.loads(kubectl(cluster, *query))["items"]
        if "deletionTimestamp" not in pod["metadata"]
        and {"type": "Ready", "status": "True"}.items()
        <= next(each for each in pod["status"]["conditions"] if each["type"] == "Ready").items()
    }


def test_an_upgrade_is_ready_when_the_new_pods_serve(cluster: Given | Sandbox, values: Path, first: set[str]) -> None:
    """All of them, and no old one is left; meanwhile it says how far the rollout is."""
    done = deploy(cluster, values, "--set=emulated.loadSeconds=3")
    assert done.returncode == 0, done.stderr
    now = ready_pods(cluster)
    assert len(now) == 2
    assert not now & first
    said = done.stderr.splitlines()
    assert any("; rollout in progress: " in line and "pending termination" in line for line in said)
    assert said[-1] == f"Deployment llm in namespace {NAMESPACE} is ready"


def test_an_upgrade_that_changes_no_pod_is_ready_at_once(
    cluster: Given | Sandbox, values: Path, first: set[str]
) -> None:
    """There is nothing to wait for."""
    before = deploy(cluster, values)
    assert before.returncode == 0, before.stderr
    pods = ready_pods(cluster)
    done = deploy(cluster, values)
    assert done.returncode == 0, done.stderr
    assert ready_pods(cluster) == pods
    assert len(done.stderr.splitlines()) == 2


def test_a_run_in_mid_rollout_begins_with_the_new_version(
    cluster: Given | Sandbox, first: set[str], tmp_path: Path
) -> None:
    """It waits with a sentence, though old pods could answer at once."""
    before = ready_pods(cluster)
    patch = {"spec": {"template": {"metadata": {"annotations": {"version": "next"}}}}}
    kubectl(cluster, "patch", "deployment", "llm", f"--patch={json.dumps(patch)}")
    command = [str(BIN / "locust"), "-f", SHORT, "--headless", "--target=kube", f"--kube-namespace={NAMESPACE}"]
    done = run(cluster, *command, timeout_s=300, LOADGEN_RUNS_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.index("; rollout in progress: ") < done.stderr.index("sending ")
    (folder,) = (each for each in tmp_path.iterdir() if each.is_dir())
    context = kubectl(cluster, "config", "current-context").strip()
    for child in ("observer", "relay"):
        assert json.loads((folder / "stack" / f"{child}.json").read_text())["context"] == context
    assert not ready_pods(cluster) & before


def test_an_upgrade_that_cannot_be_pulled_is_told(cluster: Given | Sandbox, values: Path, first: set[str]) -> None:
    """Old pods are ready all the while, and that is no success."""
    before = ready_pods(cluster)
    done = deploy(cluster, values, "--set=image.repository=no.example/none", "--timeout-s=10")
    assert done.returncode == 4
    assert "is not ready within 10 s: 0 of 2 replicas ready" in done.stderr
    assert f"the image no.example/none:{emulated.TAG} cannot be pulled (" in done.stderr
    assert ready_pods(cluster) == before
