"""The termination of a real Triton, on which the drain of a replica relies."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.local.engine.profile import load_profile
from loadgen.local.engine.repository import render_repository
from loadgen.local.environments import remove_environment_folders
from loadgen.local.replica import IDLE_S
from loadgen.local.triton import TritonServer, is_ready, queue_is_empty
from loadgen.programs.find import find_tritonserver
from support.runs.stack_runs import FOUR_PLACES, eventually
from support.servers.token_stream import MODEL, TokenStream


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TritonServer]:
    repository = tmp_path / "models"
    render_repository(repository, load_profile(FOUR_PLACES))
    server = TritonServer(
        find_tritonserver(), "one", repository=repository, shm_prefix="lgtest-", log=tmp_path / "one.log", grace_s=60
    )
    try:
        eventually(lambda: asyncio.run(is_ready(server.http)), of="readiness")
        yield server
    finally:
        server.kill()
        eventually(lambda: server.poll() is not None, of="the end of the server")
        remove_environment_folders(tmp_path)


def test_a_terminated_server_finishes_requests_in_execution(server: TritonServer) -> None:
    """A server that is terminated when its queue is empty sends every stream to its last token, then exits."""
    streams = [TokenStream(server.grpc, 40) for _ in range(6)]

    def empty() -> bool:
        return asyncio.run(queue_is_empty(server.metrics, MODEL))

    eventually(lambda: not empty(), of="a queue: six requests on four places")
    eventually(empty, of="the queue's end")
    time.sleep(IDLE_S)
    assert not all(stream.ended.is_set() for stream in streams)
    server.terminate()
    for stream in streams:
        stream.finish()
    assert [(stream.tokens, stream.error) for stream in streams] == [(40, None)] * 6
    assert eventually(lambda: server.poll() is not None, of="the end of the server")
