"""Port-forwards from this machine to addresses sandbox a sandbox."""

import asyncio
import logging
import socket

import pytest

from loadgen.sandbox.forward import serve


class FakeSandbox:
    """A sandbox in which every connection is a socket pair."""

    def __init__(self):
        self.ends = []

    def connect(self, address):
        client, server = socket.socketpair()
        self.ends.append(server)
        return client


def test_an_open_connection_is_closed_silently(caplog: pytest.LogCaptureFixture) -> None:
    """The loop ends while a client keeps its connection open: the connection is closed and nothing is logged."""
    sandbox = FakeSandbox()

    async def exchange(client: socket.socket) -> bytes:
        server = await serve(sandbox, "prometheus:9090", 0)
        await asyncio.to_thread(client.connect, server.sockets[0].getsockname())
        client.sendall(b"hello")
        while not sandbox.ends:
            await asyncio.sleep(0.01)
        data = await asyncio.to_thread(sandbox.ends[0].recv, 5)
        sandbox.ends[0].sendall(data.upper())
        answer = await asyncio.to_thread(client.recv, 5)
        server.close()
        return answer

    with socket.socket() as client, caplog.at_level(logging.ERROR, logger="asyncio"):
        client.settimeout(10)
        assert asyncio.run(exchange(client)) == b"HELLO"
        assert client.recv(1) == b""
    sandbox.ends[0].close()
    assert caplog.messages == []
