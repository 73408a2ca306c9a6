"""Fixtures of the contract tests."""

import pytest

from loadgen.protocols.endpoint import ClientName
from support.runs.locust_fixtures import bench, ports, whole_run  # noqa: F401 - pytest finds them here


@pytest.fixture(params=["built-in", "reference"])
def client(request: pytest.FixtureRequest) -> ClientName:
    """The load client that a test uses."""
    name: ClientName = request.param
    return name
