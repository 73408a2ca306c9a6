"""Upgrades of a release with `loadgen deploy`, and runs during a rollout: only pods of the new version count."""

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
    with some_cluster() as cluster:
        if isinstance(cluster, Given):
            query = ("get", "namespaces", NAMESPACE, "--ignore-not-found", "--output=name")
            existing = run(cluster, "kubectl", *query).stdout
            assert not existing, f"these tests create a namespace that already exists: {existing}"
            cluster.made.append(NAMESPACE)
        yield cluster


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("values") / "values.yaml"
    file.write_text(yaml.safe_dump(VALUES))
    return file


@pytest.fixture(scope="module")
def first_pods(cluster: Given | Sandbox, values: Path) -> set[str]:
    """Install a release, wait until it is ready, and return the names of its pods."""
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
    """Return the names of the pods that are ready and not terminating."""
    query = ("get", "pods", f"-lapp.kubernetes.io/instance={RELEASE}", "--output=json")
    return {
        pod["metadata"]["name"]
        for pod in json.loads(kubectl(cluster, *query))["items"]
        if "deletionTimestamp" not in pod["metadata"]
        and {"type": "Ready", "status": "True"}.items()
        <= next(each for each in pod["status"]["conditions"] if each["type"] == "Ready").items()
    }


def test_an_upgrade_is_ready_when_only_new_pods_serve(
    cluster: Given | Sandbox, values: Path, first_pods: set[str]
) -> None:
    """An upgrade is ready when all new pods are ready and all old ones are gone; until then it prints its progress."""
    done = deploy(cluster, values, "--set=emulated.loadSeconds=3")
    assert done.returncode == 0, done.stderr
    pods = ready_pods(cluster)
    assert len(pods) == 2
    assert not pods & first_pods
    lines = done.stderr.splitlines()
    assert any("; rollout in progress: " in line and "pending termination" in line for line in lines)
    assert lines[-1] == f"Deployment llm in namespace {NAMESPACE} is ready"


def test_an_upgrade_that_changes_no_pod_is_ready_at_once(
    cluster: Given | Sandbox, values: Path, first_pods: set[str]
) -> None:
    """Without changes, `loadgen deploy` returns at once and keeps the pods."""
    before = deploy(cluster, values)
    assert before.returncode == 0, before.stderr
    pods = ready_pods(cluster)
    done = deploy(cluster, values)
    assert done.returncode == 0, done.stderr
    assert ready_pods(cluster) == pods
    assert len(done.stderr.splitlines()) == 2


def test_a_run_during_a_rollout_waits_for_the_new_version(
    cluster: Given | Sandbox, first_pods: set[str], tmp_path: Path
) -> None:
    """The run prints that a rollout is in progress and waits, although old pods are ready."""
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


def test_an_upgrade_with_an_image_that_cannot_be_pulled_fails(
    cluster: Given | Sandbox, values: Path, first_pods: set[str]
) -> None:
    """`loadgen deploy` fails with the image that cannot be pulled, although the old pods stay ready."""
    before = ready_pods(cluster)
    done = deploy(cluster, values, "--set=image.repository=no.example/none", "--timeout-s=10")
    assert done.returncode == 4
    assert "is not ready within 10 s: 0 of 2 replicas ready" in done.stderr
    assert f"the image no.example/none:{emulated.TAG} cannot be pulled (" in done.stderr
    assert ready_pods(cluster) == before
