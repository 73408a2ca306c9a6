"""Tests on a real Kubernetes: they run when they are asked for by their folder, as they need the sandbox's build."""

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
_ANYWHERE = {"chart/test_live", "run/test_deploy_upgrade", "run/test_target_kube"}
"""Files that need nothing of a sandbox's inside, so that they run against $LOADGEN_KUBECONFIG, too."""


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """`pytest` and `pytest tests` leave this folder out, `pytest tests/kube` does not."""
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path == _HERE or _HERE in path.parents for path in asked) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With a given cluster only tests that can run against any are run."""
    if VARIABLE in os.environ:
        for item in items:
            if _HERE in item.path.parents and item.path.relative_to(_HERE).with_suffix("").as_posix() not in _ANYWHERE:
                item.add_marker(pytest.mark.skip(reason=f"needs a sandbox of its own: run without {VARIABLE}"))


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    if VARIABLE in os.environ:
        return
    try:
        find()
    except LoadgenError:
        pytest.skip("the sandbox is not built: run `loadgen sandbox build`")


@pytest.fixture(scope="session")
def two_nodes(_built: None) -> Iterator[Sandbox]:
    """A sandbox that several files share: nothing in it may be broken."""
    with up(DEFAULT_NODES) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def cluster(two_nodes: Sandbox, request: pytest.FixtureRequest) -> Cluster:
    """A namespace of the shared sandbox for one file."""
    own = Cluster(two_nodes, request.module.__name__.rpartition(".")[2].replace("_", "-"))
    own.kubectl("create", "namespace", own.namespace)
    # what every pod mounts; without them a first pod waits, as on any cluster
    for what in ("serviceaccount/default", "configmap/kube-root-ca.crt"):
        eventually(lambda what=what: own.run("get", what).returncode == 0, what)
    return own
