"""The reference server and a folder to run `locust` in, for the suites of that command."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.runs.locust_bench import Bench
from support.servers.reference import reference_server


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with reference_server() as ports:
        yield ports


@pytest.fixture
def bench(tmp_path: Path, ports: dict[str, int]) -> Bench:
    return Bench(tmp_path, ports)
