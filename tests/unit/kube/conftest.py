"""A simulated cluster, and the sources of a run against it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.dataset.folder import RunFolder
from loadgen.kube.discover.attach import Attached
from loadgen.kube.discover.sources import Sources
from support.servers.http import serving
from support.servers.kubernetes_api import Server, write_contexts
from support.servers.metrics import run_folder

GOLDEN = Path(__file__).parents[2] / "golden" / "chart" / "emulated-keda-from-zero.yaml"


@pytest.fixture
def scaled() -> dict[str, Any]:
    """The rendered ScaledObject of the chart."""
    documents = yaml.safe_load_all(GOLDEN.read_text())
    return next(each for each in documents if each and each["kind"] == "ScaledObject")


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A cluster that has only the custom-metrics API; the kubeconfig points to it."""
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
def run_dir(tmp_path: Path) -> RunFolder:
    return run_folder(tmp_path / "runs")


@pytest.fixture
def found(played: Server, run_dir: RunFolder) -> Iterator[Callable[[Attached], Sources]]:
    """Discovers the sources of a workload; stops their relay at the end."""
    made: list[Sources] = []

    def make(of: Attached) -> Sources:
        made.append(Sources(run_dir, of))
        return made[-1]

    yield make
    for each in made:
        each.relay.stop(5)
