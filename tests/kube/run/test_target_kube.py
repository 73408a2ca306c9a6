"""`--target kube`, `loadgen deploy` and `loadgen destroy` on a real control plane."""

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
"""Chart values of the release under test; the LLM API is emulated, as engines are in the main job."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Given | Sandbox]:
    with some_cluster() as cluster:
        if isinstance(cluster, Given):
            namespaces = [NAMESPACE, f"{NAMESPACE}-two", f"{NAMESPACE}-stuck"]
            query = ("get", "namespaces", *namespaces, "--ignore-not-found", "--output=name")
            existing = run(cluster, "kubectl", *query).stdout
            assert not existing, f"these tests create namespaces that already exist: {existing}"
            cluster.made.extend(namespaces)
        yield cluster


@pytest.fixture(scope="module")
def deploy_output(cluster: Given | Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Install a release of the chart with `loadgen deploy`, and yield the output of the command."""
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


def test_deploy_prints_its_progress(deploy_output: str) -> None:
    """`loadgen deploy` prints the chart that it installs, the phases of the pods, and when the workload is ready."""
    lines = deploy_output.splitlines()
    assert lines[0].startswith(f"installing the chart triton-trtllm as {RELEASE} in namespace {NAMESPACE} of context ")
    assert any(line.startswith("0 of 1 replica ready, 1 ") for line in lines)
    assert lines[-1] == f"Deployment llm in namespace {NAMESPACE} is ready"


def test_a_run_without_names_discovers_and_records_everything(
    cluster: Given | Sandbox, deploy_output: str, tmp_path: Path
) -> None:
    """A run discovers workload, autoscaler, Service and Prometheus outside the context's namespace.

    It warns that the Service balances connections. It records every signal of the `llmapi` mode and the metric that the
    autoscaler reads, and measures the clock skew.
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
    from_prometheus = {"ratio", "up", "engine_active", "engine_waiting", "kv_used_ratio", "autoscaler_ratio"}
    assert set(samples.signal) >= from_prometheus | {"raw_queue_us", "raw_compute_us", "raw_success", "raw_pending"}
    compute = samples[samples.signal == "raw_compute_us"].value
    assert compute.max() > compute.min()
    events = folder(tmp_path).read("events")
    assert set(events.kind) >= {"replica_created", "replica_ready", "hpa_sync", "pod_condition", "container_state"}
    assert finding(tmp_path, "endpoint.connections")["severity"] == "warning"


def test_a_run_from_outside_uses_only_the_api_server(
    cluster: Given | Sandbox, deploy_output: str, tmp_path: Path
) -> None:
    """Requests go through a port-forward, which makes the run invalid; metrics go through the API server's proxy."""
    if isinstance(cluster, Given):
        pytest.skip("the network of this cluster may be reachable from here; run it on a sandbox")
    with opened_api_server(cluster, tmp_path) as kubeconfig:
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
def opened_api_server(sandbox: Sandbox, path: Path) -> Iterator[Path]:
    """Forward a port of this machine to the API server of a sandbox, and yield a kubeconfig for it."""
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


def test_missing_permissions_are_listed_before_the_load(
    cluster: Given | Sandbox, deploy_output: str, tmp_path: Path
) -> None:
    """Missing permissions are listed with what the run cannot record; without the essential ones it does not start."""
    rules = [
        "--resource=pods,services,horizontalpodautoscalers.autoscaling,deployments.apps,replicasets.apps",
        "--verb=get,list,watch",
    ]
    kubeconfig = account(cluster, tmp_path, "some", *rules)
    done = locust(cluster, tmp_path / "some-runs", f"--kube-namespace={NAMESPACE}", kubeconfig=kubeconfig)
    output = done.stderr
    assert done.returncode in (0, 3), output[-3000:]
    assert f"missing RBAC permissions: list/watch on events in namespace {NAMESPACE} (reasons of rescales" in output
    assert "missing RBAC permissions: list/watch on nodes cluster-wide (lost nodes are not recorded)" in output
    assert "custom.metrics.k8s.io in namespace" in output
    assert "missing RBAC permissions: list on services cluster-wide, or --kube-prometheus (the signal" in output
    assert output.index("missing RBAC permissions: list/watch on events") < output.index("sending ")
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
    """Create a service account with these rules in the namespace under test, and return a kubeconfig for it."""
    namespace = f"--namespace={NAMESPACE}"
    kubectl(cluster, namespace, "create", "serviceaccount", name)
    kubectl(cluster, namespace, "create", "role", name, *rules)
    kubectl(cluster, namespace, "create", "rolebinding", name, f"--role={name}", f"--serviceaccount={NAMESPACE}:{name}")
    token = kubectl(cluster, namespace, "create", "token", name).strip()
    config = json.loads(kubectl(cluster, "config", "view", "--raw", "--flatten", "--output=json"))
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
    file = path / f"{name}.json"
    file.write_text(json.dumps(config))
    return file


def test_several_candidates_are_listed(cluster: Given | Sandbox, deploy_output: str, tmp_path: Path) -> None:
    """With two candidates the error lists both and the flag to choose one; a workload without replicas is refused."""
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


def test_a_deployment_that_is_not_ready_in_time_fails(cluster: Given | Sandbox, tmp_path: Path) -> None:
    """For a node selector without a matching node, `loadgen deploy` fails after its timeout with the reason."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({**VALUES, "pod": {"nodeSelector": {"pool": "nowhere"}}}))
    namespace = f"--namespace={NAMESPACE}-stuck"
    done = loadgen(cluster, "deploy", "stuck", namespace, f"--values={file}", "--timeout-s=8")
    assert done.returncode == 4
    assert "1 waiting for a node" in done.stderr
    assert "is not ready within 8 s" in done.stderr
    assert "a pod cannot be scheduled: 0/" in done.stderr
    assert loadgen(cluster, "destroy", "stuck", namespace).returncode == 0


def test_destroy_leaves_nothing(cluster: Given | Sandbox, deploy_output: str) -> None:
    """`loadgen destroy` deletes every object of the release; a second call fails, as the release is not found."""
    done = loadgen(cluster, "destroy", RELEASE, f"--namespace={NAMESPACE}")
    assert done.returncode == 0, done.stderr
    assert f"release {RELEASE} was removed from namespace {NAMESPACE}" in done.stderr
    kinds = "deployments,replicasets,services,configmaps,hpa,pdb,podmonitors,prometheusrules,pods"
    query = (f"--namespace={NAMESPACE}", "get", kinds, f"-lapp.kubernetes.io/instance={RELEASE}", "--output=name")
    assert kubectl(cluster, *query).strip() == ""
    done = loadgen(cluster, "destroy", RELEASE, f"--namespace={NAMESPACE}")
    assert done.returncode == 4
    assert "not found" in done.stderr
