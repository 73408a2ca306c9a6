"""`--target kube`, `loadgen deploy` and `destroy` on a real control plane: what is found, refused, seen and said."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.dataset.folder import RunFolder
from loadgen.kube.discover.endpoint import reachable
from loadgen.local.loopback import free_ports
from loadgen.sandbox import emulated
from loadgen.sandbox.commands import Sandbox
from support.kube.cluster import eventually
from support.kube.given import Given, run, some_cluster
from support.kube.scenarios import SCENARIOS

pytestmark = [pytest.mark.timeout(600), pytest.mark.any_cluster]

BIN = Path(sys.executable).parent
SHORT = str(SCENARIOS / "short_load.py")
NAMESPACE, RELEASE = "loadgen-target", "llm"
VALUES: dict[str, Any] = {
    "mode": "emulated",
    "fullnameOverride": "llm",
    "image": {"tag": emulated.TAG},
    "emulated": {"loadSeconds": 1, "plays": "llmapi"},
    "server": {"resources": {}, "sharedMemory": "64Mi", "longestGenerationSeconds": 30},
    "metrics": {"scrapeInterval": "1s"},
    "rules": {"interval": "1s", "window": "10s"},
    "autoscaling": {"maxReplicas": 2},
}
"""What the helper `deployed` installs; the LLM API is played, as the main job plays engines."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Given | Sandbox]:
    with some_cluster() as one:
        if isinstance(one, Given):
            mine = [NAMESPACE, f"{NAMESPACE}-two", f"{NAMESPACE}-stuck"]
            there = run(one, "kubectl", "get", "namespaces", *mine, "--ignore-not-found", "--output=name").stdout
            assert not there, f"these tests make namespaces that are there already: {there}"
            one.made.extend(mine)
        yield one


@pytest.fixture(scope="module")
def deployed(cluster: Given | Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A release of the chart by `loadgen deploy`; what it said."""
    file = tmp_path_factory.mktemp("values") / "values.yaml"
    file.write_text(yaml.safe_dump(VALUES))
    done = loadgen(cluster, "deploy", RELEASE, f"--namespace={NAMESPACE}", f"--values={file}", "--set=gpu.perPod=0")
    assert done.returncode == 0, done.stderr
    yield done.stderr
    loadgen(cluster, "destroy", RELEASE, f"--namespace={NAMESPACE}")


def loadgen(cluster: Given | Sandbox, *argv: str) -> subprocess.CompletedProcess[str]:
    return run(cluster, str(BIN / "loadgen"), *argv, timeout_s=300)


def locust(
    cluster: Given | Sandbox, runs: Path, *argv: str, kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    other = ["/usr/bin/env", f"KUBECONFIG={kubeconfig}"] if kubeconfig else []
    command = [*other, str(BIN / "locust"), "-f", SHORT, "--headless", "--target=kube", *argv]
    return run(cluster, *command, timeout_s=300, LOADGEN_RUNS_DIR=str(runs))


def kubectl(cluster: Given | Sandbox, *argv: str) -> str:
    done = run(cluster, "kubectl", *argv)
    assert done.returncode == 0, done.stderr
    return done.stdout


def folder(runs: Path) -> RunFolder:
    (path,) = (each for each in runs.iterdir() if each.is_dir())
    return RunFolder(path)


def finding(runs: Path, code: str) -> dict[str, Any]:
    analysis = json.loads((folder(runs).path / "analysis.json").read_text())
    return next(each for each in analysis["findings"] if each["code"] == code)


def test_deploy_says_how_far_it_is(deployed: str) -> None:
    """From the chart to ready replicas, by the phases of its pods."""
    said = deployed.splitlines()
    assert said[0].startswith(f"installing the chart triton-trtllm as {RELEASE} in namespace {NAMESPACE} of context ")
    assert any(line.startswith("0 of 1 replica ready, 1 ") for line in said)
    assert said[-1] == f"Deployment llm in namespace {NAMESPACE} is ready"


def test_what_is_there_is_found_and_all_of_it_is_seen(cluster: Given | Sandbox, deployed: str, tmp_path: Path) -> None:
    """Without any name: workload, autoscaler, Service and Prometheus, in another namespace than the context's.

    The Service balances connections, and the page says so; every signal of the LLM API's mode is recorded, and what
    the autoscaler itself reads; clocks are compared.
    """
    done = locust(cluster, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Deployment llm in namespace {NAMESPACE}" in done.stderr
    info = folder(tmp_path).read_info()
    assert info.cluster is not None
    assert (info.cluster.hpa, info.cluster.service, info.cluster.balances) == ("llm", "llm", "connections")
    assert info.cluster.lacking == ()
    assert info.emulated is not None
    assert info.autoscaler is not None
    assert (info.autoscaler.metric, info.autoscaler.target) == ("triton:queue_compute:ratio", 1.0)
    assert (info.autoscaler.rate_window_s, info.autoscaler.scrape_interval_s) == (10.0, 1.0)
    assert (info.autoscaler.min_replicas, info.autoscaler.max_replicas) == (1, 2)
    assert info.autoscaler.scale_down_window_s == 300.0
    assert set(info.cluster.skew_s) == {"kubernetes", "prometheus"}
    if isinstance(cluster, Sandbox):  # one clock
        assert all(abs(skew) <= info.cluster.skew_error_s[name] + 0.01 for name, skew in info.cluster.skew_s.items())
    samples = folder(tmp_path).read("samples")
    wanted = {"ratio", "up", "engine_active", "engine_waiting", "kv_used_ratio", "autoscaler_ratio"}
    assert set(samples.signal) >= wanted | {"raw_queue_us", "raw_compute_us", "raw_success", "raw_pending"}
    compute = samples[samples.signal == "raw_compute_us"].value
    assert compute.max() > compute.min()
    events = folder(tmp_path).read("events")
    assert set(events.kind) >= {"replica_created", "replica_ready", "hpa_sync", "pod_condition", "container_state"}
    assert finding(tmp_path, "endpoint.connections")["severity"] == "warning"


def test_from_outside_everything_comes_through_the_api_server(
    cluster: Given | Sandbox, deployed: str, tmp_path: Path
) -> None:
    """Requests by a port-forward, which is unfit for a verdict and says so; Prometheus, pages of pods by its proxy."""
    if isinstance(cluster, Given):
        pytest.skip("whether a given cluster's network can be reached from here is not known")
    with opened(cluster, tmp_path) as kubeconfig:
        outside = Given(kubeconfig)
        done = locust(outside, tmp_path / "runs")
    assert done.returncode == 3, done.stderr[-3000:]
    runs = tmp_path / "runs"
    assert finding(runs, "validity.endpoint")["severity"] == "invalid"
    assert (folder(runs).read("requests").outcome == "ok").all()
    assert set(folder(runs).read("samples").signal) >= {"ratio", "raw_queue_us", "autoscaler_ratio"}
    assert "forwarding to pod llm-" in (folder(runs).logs / "forward.log").read_text()
    secret = json.loads((folder(runs).path / "stack" / "relay.json").read_text())["secret"].encode()
    files = [each for each in runs.rglob("*") if each.is_file() and secret in each.read_bytes()]
    assert {each.parent.name for each in files} == {"stack"}


@contextmanager
def opened(sandbox: Sandbox, path: Path) -> Iterator[Path]:
    """A kubeconfig for the API server of a sandbox at a port of this machine."""
    config = json.loads(kubectl(sandbox, "config", "view", "--raw", "--output=json"))
    server = config["clusters"][0]["cluster"]
    address, port = server["server"].removeprefix("https://"), free_ports(1)[0]
    server |= {"server": f"https://127.0.0.1:{port}", "tls-server-name": address.partition(":")[0]}
    file = path / "outside.json"
    file.write_text(json.dumps(config))
    command = [str(BIN / "loadgen"), "sandbox", "open", f"--name={sandbox.name}", f"--port={port}", address]
    opener = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: reachable(f"127.0.0.1:{port}"), "the opened port", 30)
        yield file
    finally:
        opener.terminate()
        opener.wait(10)


def test_rights_that_lack_are_named_before_the_load(cluster: Given | Sandbox, deployed: str, tmp_path: Path) -> None:
    """With what the run loses without each; without those that it cannot do without there is no run."""
    may = [
        "--resource=pods,services,horizontalpodautoscalers.autoscaling,deployments.apps,replicasets.apps",
        "--verb=get,list,watch",
    ]
    kubeconfig = account(cluster, tmp_path, "some", *may)
    done = locust(cluster, tmp_path / "some-runs", f"--kube-namespace={NAMESPACE}", kubeconfig=kubeconfig)
    said = done.stderr
    assert done.returncode in (0, 3), said[-3000:]
    assert f"missing RBAC permissions: list/watch on events in namespace {NAMESPACE} (reasons of rescales" in said
    assert "missing RBAC permissions: list/watch on nodes cluster-wide (lost nodes are not recorded)" in said
    assert "custom.metrics.k8s.io in namespace" in said
    assert "needs list on services in the whole cluster, or --kube-prometheus: without it, the signal" in said
    assert said.index("missing RBAC permissions: list/watch on events") < said.index("sending ")
    assert finding(tmp_path / "some-runs", "cluster.lacking")["measured"] == len(
        folder(tmp_path / "some-runs").read_info().cluster.lacking  # type: ignore[union-attr]
    )
    kubeconfig = account(cluster, tmp_path, "few", "--resource=deployments.apps", "--verb=list")
    done = locust(cluster, tmp_path / "few-runs", f"--kube-namespace={NAMESPACE}", kubeconfig=kubeconfig)
    assert done.returncode == 2
    assert (
        "missing RBAC permissions: list/watch on pods in namespace "
        f"{NAMESPACE}; list/watch on deployments.apps in namespace {NAMESPACE}. Ask an administrator for a Role"
    ) in done.stderr


def account(cluster: Given | Sandbox, path: Path, name: str, *rules: str) -> Path:
    """A kubeconfig of a service account that may do so much in the namespace under test."""
    place = f"--namespace={NAMESPACE}"
    kubectl(cluster, place, "create", "serviceaccount", name)
    kubectl(cluster, place, "create", "role", name, *rules)
    kubectl(cluster, place, "create", "rolebinding", name, f"--role={name}", f"--serviceaccount={NAMESPACE}:{name}")
    token = kubectl(cluster, place, "create", "token", name).strip()
    config = json.loads(kubectl(cluster, "config", "view", "--raw", "--flatten", "--output=json"))
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
    file = path / f"{name}.json"
    file.write_text(json.dumps(config))
    return file


def test_two_that_fit_are_listed(cluster: Given | Sandbox, deployed: str, tmp_path: Path) -> None:
    """The error names both and the flag that chooses; what is chosen, here deployed first, must have a replica."""
    values = {**VALUES, "autoscaling": {"enabled": False}, "server": {**VALUES["server"], "replicas": 0}}
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    done = locust(cluster, tmp_path, f"--kube-namespace={NAMESPACE}-two", f"--kube-deploy={file}")
    assert done.returncode == 2
    assert f"installing the chart triton-trtllm as triton in namespace {NAMESPACE}-two" in done.stderr
    assert f"Deployment llm in namespace {NAMESPACE}-two is scaled to zero" in done.stderr
    done = locust(cluster, tmp_path)
    assert done.returncode == 2
    assert (
        f"2 candidates in any namespace: {NAMESPACE}-two/llm, {NAMESPACE}/llm; choose one with --kube-namespace"
    ) in done.stderr
    kubectl(cluster, "delete", "namespace", f"{NAMESPACE}-two", "--wait=false")


def test_a_deployment_that_does_not_come_says_why(cluster: Given | Sandbox, tmp_path: Path) -> None:
    """A node selector that no node has: the scheduler's words, within the time that was given."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({**VALUES, "pod": {"nodeSelector": {"pool": "nowhere"}}}))
    where = f"--namespace={NAMESPACE}-stuck"
    done = loadgen(cluster, "deploy", "stuck", where, f"--values={file}", "--timeout-s=8")
    assert done.returncode == 4
    assert "1 waiting for a node" in done.stderr
    assert "is not ready within 8 s" in done.stderr
    assert "a pod cannot be scheduled: 0/" in done.stderr
    assert loadgen(cluster, "destroy", "stuck", where).returncode == 0


def test_destroy_leaves_nothing(cluster: Given | Sandbox, deployed: str) -> None:
    """No object of the release; a second time there is nothing to remove, and that is said."""
    done = loadgen(cluster, "destroy", RELEASE, f"--namespace={NAMESPACE}")
    assert done.returncode == 0, done.stderr
    assert f"release {RELEASE} was removed from namespace {NAMESPACE}" in done.stderr
    kinds = "deployments,replicasets,services,configmaps,hpa,pdb,podmonitors,prometheusrules,pods"
    query = (f"--namespace={NAMESPACE}", "get", kinds, f"-lapp.kubernetes.io/instance={RELEASE}", "--output=name")
    assert kubectl(cluster, *query).strip() == ""
    done = loadgen(cluster, "destroy", RELEASE, f"--namespace={NAMESPACE}")
    assert done.returncode == 4
    assert "not found" in done.stderr
