"""Start, supervision and restart of a component of the stack; the program is a small HTTP server."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from loadgen.base.clock import Clock
from loadgen.base.errors import StackError
from loadgen.dataset.events import Event
from loadgen.local import component as component_module
from loadgen.local.component import ATTEMPTS, Component
from loadgen.local.loopback import Unreachable, get

CLOCK = Clock.start()

# exits at once for the number of times in its first argument, then serves on the port of its second
PROGRAM = """
import sys, http.server, pathlib
starts = pathlib.Path(sys.argv[1])
count = len(starts.read_text()) if starts.exists() else 0
starts.write_text("x" * (count + 1))
print("start", count, flush=True)
if count < int(sys.argv[2]):
    sys.exit("address already in use")
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
        self.wfile.write(b"well")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Page).serve_forever()
"""


def make(folder: Path, *, failures: int, port_requests: list[list[int]]) -> Component:
    def command(ports: Sequence[int]) -> list[str]:
        port_requests.append(list(ports))
        return [sys.executable, "-c", PROGRAM, str(folder / "starts"), str(failures), str(ports[-1])]

    return Component("server", command=command, port_count=2, health_path="/health", logs=folder)


def test_a_taken_port_is_not_an_error(tmp_path: Path) -> None:
    """A program that ends because a port is taken restarts on other ports."""
    port_requests: list[list[int]] = []
    component = make(tmp_path, failures=1, port_requests=port_requests)

    async def run() -> None:
        await component.start()
        assert (await get(component.address(1), "/health"))[1] == b"well"
        await component.stop()

    asyncio.run(run())
    assert len(port_requests) == 2
    assert not set(port_requests[0]) & set(port_requests[1])
    assert component.ports == port_requests[1]


def test_gives_up_after_several_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the last line of the log and its path."""
    monkeypatch.setattr(component_module, "PAUSE_S", 0.01)
    port_requests: list[list[int]] = []
    component = make(tmp_path, failures=99, port_requests=port_requests)
    with pytest.raises(StackError, match=r"server did not start: address already in use; read .*server\.log"):
        asyncio.run(component.start())
    assert len(port_requests) == ATTEMPTS


def test_a_component_that_ends_is_recorded_and_restarts_at_its_address(tmp_path: Path) -> None:
    """After the first answer its ports do not change, because clients keep them."""
    port_requests: list[list[int]] = []
    events: list[tuple[str, Any]] = []
    component = make(tmp_path, failures=0, port_requests=port_requests)

    def emit(event: Event) -> None:
        events.append((event.kind, event.data))

    async def run() -> None:
        await component.start()
        watching = asyncio.create_task(component.watch(emit=emit, clock=CLOCK))
        assert component.pid is not None
        os.kill(component.pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            while len(port_requests) < 2 or not await answers(component):
                await asyncio.sleep(0.02)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await component.stop()

    asyncio.run(run())
    assert port_requests[0] == port_requests[1]
    assert events == [("part_died", {"part": "server", "exit_code": -signal.SIGKILL})]


def test_a_failed_restart_is_recorded_and_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round of failed attempts is an event with the last line of the log."""
    monkeypatch.setattr(component_module, "PAUSE_S", 0.01)
    (tmp_path / "starts").write_text("x" * (ATTEMPTS + 1))
    component = make(tmp_path, failures=ATTEMPTS + 1, port_requests=[])
    messages: list[str] = []

    async def run() -> None:
        await component.start()

        def emit(event: Event) -> None:
            messages.append(str(event.message))

        watching = asyncio.create_task(component.watch(emit=emit, clock=CLOCK))
        assert component.pid is not None
        (tmp_path / "starts").write_text("")
        os.kill(component.pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            while len(messages) < 2 or not await answers(component):
                await asyncio.sleep(0.02)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await component.stop()

    asyncio.run(run())
    assert len(messages) == 2
    assert "restarts at the same address" in messages[0]
    assert "address already in use" in messages[1]


async def answers(component: Component) -> bool:
    try:
        return (await get(component.address(1), "/health"))[0] == 200
    except Unreachable:
        return False


@pytest.mark.parametrize("answer", [None, b"", b"SSH-2.0-what\r\n", b"HTTP/1.0\r\n\r\n"])
def test_an_invalid_http_answer_is_unreachable(answer: bytes | None) -> None:
    """Silence, an empty answer and another protocol are all `Unreachable`, within the timeout."""

    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        served.set()

    async def run() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            with pytest.raises(Unreachable):
                await get(f"{host}:{port}", "/", timeout_s=0.2)
            await served.wait()

    asyncio.run(run())


def test_a_refused_connection_is_unreachable() -> None:
    """The message has the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unreachable, match=address):
        asyncio.run(get(address, "/"))
