"""Fixtures of the tests on a real control plane: see README.md in this folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.base.errors import LoadgenError
from loadgen.sandbox.build.build import find
from loadgen.sandbox.commands import DEFAULT_NODES, Sandbox
from support.kube.cluster import Cluster, eventually
from support.kube.given import VARIABLE
from support.kube.sandboxes import up

_HERE = Path(__file__).parent
_GIVEN = VARIABLE in os.environ


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Nightly tests run when asked for; against a given cluster only the tests marked `any_cluster` run."""
    if not config.getoption("--nightly", default=False):
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in nightly]
    if _GIVEN:
        for item in items:
            if _HERE in item.path.parents and item.get_closest_marker("any_cluster") is None:
                item.add_marker(pytest.mark.skip(reason=f"needs a sandbox of its own: run without {VARIABLE}"))


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    if _GIVEN:
        return
    try:
        find()
    except LoadgenError:
        pytest.skip("the sandbox is not built: run `loadgen sandbox build`")


@pytest.fixture(scope="session")
def two_nodes(_built: None) -> Iterator[Sandbox]:
    """A sandbox that several files share: tests leave its parts as they are."""
    with up(DEFAULT_NODES) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def cluster(two_nodes: Sandbox, request: pytest.FixtureRequest) -> Cluster:
    """A namespace of the shared sandbox, for one file."""
    own = Cluster(two_nodes, request.module.__name__.rpartition(".")[2].replace("_", "-"))
    own.kubectl("create", "namespace", own.namespace)
    # every pod mounts these: without them the first pod would wait
    for what in ("serviceaccount/default", "configmap/kube-root-ca.crt"):
        eventually(lambda what=what: own.run("get", what).returncode == 0, what)
    return own
