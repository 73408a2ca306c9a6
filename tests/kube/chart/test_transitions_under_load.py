"""Changes of the autoscaler at full length: pods that serve, the real HPA controller, and load throughout."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadgen.dataset.folder import RunFolder
from loadgen.sandbox import emulated
from loadgen.sandbox.commands import DEFAULT_NODES
from support.charts.transitions import TRANSITIONS, AutoscaledRelease, define_custom_resources
from support.kube.cluster import Cluster, eventually, ready
from support.kube.history import History
from support.kube.keda_metrics import serve
from support.kube.sandboxes import up
from support.kube.scenarios import SCENARIOS

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]

LOCUST = str(Path(sys.executable).with_name("locust"))
NAMESPACE, SIZE = "changes", 3
VALUES = {
    "mode": "emulated",
    "image": {"tag": emulated.TAG},
    "emulated": {"loadSeconds": 15},
    "gpu": {"perPod": 0},
    "server": {
        "resources": {},
        "sharedMemory": "64Mi",
        "longestGenerationSeconds": 30,
        "probes": {"startup": {"periodSeconds": 1}, "readiness": {"periodSeconds": 1}},
    },
    "metrics": {"scrapeInterval": "1s"},
    "rules": {"interval": "1s", "window": "10s"},
}
SCALED = {"minReplicas": SIZE, "metrics": {"busy": {"enabled": False}}}


@pytest.fixture(scope="module")
def release(_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AutoscaledRelease]:
    """A release that serves, whose metric KEDA's HPA can read as well."""
    with up(DEFAULT_NODES, addons=True, emulated=True) as sandbox:
        cluster = Cluster(sandbox, NAMESPACE)
        cluster.kubectl("create", "namespace", NAMESPACE)
        define_custom_resources(cluster)
        folder = tmp_path_factory.mktemp("values")
        release = AutoscaledRelease(cluster, folder, "llm", by_server=True, values=VALUES)
        begin(release, "keda")
        serve(Cluster(sandbox, "monitoring"), cluster.get("scaledobject", release.workload))
        yield release


def begin(release: AutoscaledRelease, kind: str) -> None:
    """Wait until the release has this kind of autoscaler and its size, with every pod ready."""
    if kind == "none":
        release.helm("none", "--force-conflicts", replicas=SIZE)
    else:
        release.helm(kind, **SCALED)
    eventually(lambda: release.autoscalers() == release.expected(kind), f"the autoscaler {kind} alone")
    if kind != "none":
        eventually(lambda: release.size() == SIZE, f"{SIZE} replicas by {kind}")
    release.cluster.kubectl("rollout", "status", f"deployment/{release.workload}", "--timeout=50s")


def scales(release: AutoscaledRelease) -> bool:
    """Whether the HPA controller reads the metric of the only autoscaler."""
    (name,) = release.autoscalers()
    conditions = release.cluster.get("hpa", name)["status"].get("conditions") or []
    return {each["type"]: each["status"] for each in conditions}.get("ScalingActive") == "True"


@contextmanager
def load(release: AutoscaledRelease, folder: Path) -> Iterator[None]:
    """Send requests to the Service at a fixed rate, whatever becomes of them, until all have their outcome."""
    address = release.cluster.get("service", release.workload)["spec"]["clusterIP"]
    command = (LOCUST, "-f", str(SCENARIOS / "steady_load.py"), "--headless", f"--target=http://{address}:8000")
    log = folder / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            release.cluster.sandbox.command(command),
            env={**os.environ, "LOADGEN_RUNS_DIR": str(folder)},
            stdout=output,
            stderr=output,
        )
    try:
        eventually(lambda: [*folder.glob("*/requests/*")] or process.poll() is not None, "the first requests")
        assert process.poll() is None, log.read_text()[-3000:]
        yield
        process.wait(timeout=400)
        assert process.returncode in (0, 3), log.read_text()[-3000:]  # a busy machine makes a run invalid
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("before", "after"), TRANSITIONS)
def test_no_request_fails_while_the_autoscaler_changes(
    release: AutoscaledRelease, tmp_path: Path, before: str, after: str
) -> None:
    """No ready pod is lost, and the workload is never without an autoscaler between the old and the new one."""
    begin(release, before)
    namespace = f"namespaces/{NAMESPACE}"
    with load(release, tmp_path):
        pods = History(
            release.cluster, f"/api/v1/{namespace}/pods", selector=f"app.kubernetes.io/instance={release.name}"
        )
        autoscalers = History(
            release.cluster,
            f"/apis/autoscaling/v2/{namespace}/horizontalpodautoscalers",
            f"/apis/keda.sh/v1alpha1/{namespace}/scaledobjects",
        )
        begun_unix_s = time.time()
        if after == "none":
            release.helm("none")
        else:
            release.helm(after, **SCALED)
        eventually(lambda: release.autoscalers() == release.expected(after), "the new autoscaler alone")
        if after != "none":
            eventually(lambda: scales(release), "a decision of the new autoscaler")
        changed_unix_s = time.time()
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    run = RunFolder(folder)
    info, requests = run.read_info(), run.read("requests")
    due_unix_s = requests.scheduled_s + info.anchor_unix_s
    assert (due_unix_s < begun_unix_s).any()
    assert (due_unix_s > changed_unix_s).any()
    assert set(requests.outcome) == {"ok"}
    assert len(requests) == info.expected_rows

    states = pods.states(lambda pod: ready(pod) and "deletionTimestamp" not in pod["metadata"])
    assert min(len(state) for state in states) >= min(len(states[0]), release.size()) > 0
    at_begin, *later = [len(state) for state in autoscalers.states(lambda _: True)]
    assert (at_begin > 0) == (before != "none")
    if after != "none":  # from the first one on there is always one
        assert later
        assert all(later)
