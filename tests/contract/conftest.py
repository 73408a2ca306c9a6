"""Fixtures of the contract tests."""

import os

import pytest

from loadgen.protocols.endpoint import ClientName
from support.runs.locust_fixtures import bench, ports, whole_run  # noqa: F401 - pytest finds them here


@pytest.fixture(params=[os.environ.get("CONTRACT_CLIENT", "built-in")])
def client(request: pytest.FixtureRequest) -> ClientName:
    """The load client that a test uses; CI runs these tests with the reference clients, too."""
    name: ClientName = request.param
    return name
