"""Fixtures of the tests that run `locust`: the reference server, and folders in which it runs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadgen.protocols.reference import Script
from support.runs.locust_bench import Bench, FinishedRun
from support.servers.reference import reference_server


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with reference_server() as ports:
        yield ports


@pytest.fixture
def bench(tmp_path: Path, ports: dict[str, int]) -> Iterator[Bench]:
    bench = Bench(tmp_path, ports)
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Callable[..., FinishedRun]]:
    """Return a function that runs `locust` with flags, prompts and environment variables, for a whole module."""
    benches: list[Bench] = []

    def run(*flags: str, prompts: tuple[Script, ...] = (), **settings: str) -> FinishedRun:
        bench = Bench(tmp_path_factory.mktemp("run"), ports)
        benches.append(bench)
        if prompts:
            bench.prompts(*prompts)
        return FinishedRun(bench, bench.run(*flags, **settings))

    yield run
    for bench in benches:
        bench.close()
