"""Tests on a real Kubernetes: they run when they are asked for by their folder, as they need the sandbox's build."""

from pathlib import Path

import pytest

from loadgen.errors import LoadgenError
from loadgen.kube.sandbox.build import find

_HERE = Path(__file__).parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """`pytest` and `pytest tests` leave this folder out, `pytest tests/kube` does not."""
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path == _HERE or _HERE in path.parents for path in asked) else True


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    try:
        find()
    except LoadgenError:
        pytest.skip("the sandbox is not built: run `loadgen sandbox build`")
