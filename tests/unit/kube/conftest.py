"""A simulated cluster, and the sources of a run against it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadgen.base.processes import Child, spawn
from loadgen.dataset.folder import RunFolder
from loadgen.kube.client.api import Api
from loadgen.kube.discover import sources as sources_module
from loadgen.kube.discover.sources import Sources
from loadgen.kube.discover.workload import ScaledWorkload
from loadgen.kube.proxy.relay import RelayConfig
from loadgen.scenario.fleets import Kube
from support.kube.workloads import WORKLOAD
from support.servers.http import serving
from support.servers.kubernetes_api import Server, write_contexts
from support.servers.metrics import run_folder
from support.yaml_files import read_documents

GOLDEN = Path(__file__).parents[2] / "golden" / "chart"


def rendered(case: str) -> dict[str, Any]:
    documents = read_documents(GOLDEN / f"{case}.yaml")
    return next(each for each in documents if each and each["kind"] == "ScaledObject")


@pytest.fixture
def scaled() -> dict[str, Any]:
    """The ScaledObject of the chart, as it is rendered."""
    return rendered("emulated-keda-from-zero")


@pytest.fixture
def idle() -> dict[str, Any]:
    """The ScaledObject of the chart with idle replicas, a fallback and triggers of the user."""
    return rendered("emulated-keda-idle")


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A cluster with the custom-metrics API and without anything else, which the kubeconfig names."""
    server = Server()
    server.pages |= {
        "/api/v1/services": {"items": []},
        "/api/v1/namespaces/llm/pods": {"items": []},
        "/apis/custom.metrics.k8s.io": {"preferredVersion": {"groupVersion": "custom.metrics.k8s.io/v1beta2"}},
    }
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with serving(server.handler()) as url:
        write_contexts(tmp_path / "config", url, "first")
        yield server


@pytest.fixture
def url(server: Any) -> Iterator[str]:
    """URL of the API server that the test's own fixture `server` describes."""
    with serving(server.handler()) as url:
        yield url


@pytest.fixture
def run_dir(tmp_path: Path) -> RunFolder:
    return run_folder(tmp_path / "runs")


@pytest.fixture
def sources_of(played: Server, run_dir: RunFolder) -> Iterator[Callable[..., Sources]]:
    """Makes the sources of a workload with an HPA and settings, and stops their relay."""
    made: list[Sources] = []

    def make(hpa: dict[str, Any] | None, **kube: Any) -> Sources:
        made.append(Sources(run_dir, Api(), Kube(**kube), ScaledWorkload(workload=WORKLOAD, hpa=hpa, service=None)))
        return made[-1]

    yield make
    for each in made:
        each.relay.stop(5)


@pytest.fixture
def no_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the relay by a shell: most of the time of a test that reads nothing through the relay is its start."""

    def start(folder: RunFolder, module: str, config: RelayConfig) -> Child:
        config.port_file.parent.mkdir(mode=0o700, exist_ok=True)
        config.port_file.write_text("1")  # the port on which nothing listens
        return spawn(["/bin/sh", "-c", "read -r _"], log=folder.logs / "relay.log", lifeline=True)

    monkeypatch.setattr(sources_module, "start_process", start)
