"""An address inside, opened on a port of this machine."""

import asyncio
import logging
import socket

import pytest

from loadgen.sandbox.forward import serve


class Inside:
    """A sandbox in which every address is one end of a pair of sockets."""

    def __init__(self):
        self.ends = []

    def connect(self, address):
        ours, theirs = socket.socketpair()
        self.ends.append(theirs)
        return ours


def test_an_open_connection_ends_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """Ctrl-C ends the loop while a browser holds its connection: nothing is logged."""
    inside = Inside()

    async def used(client: socket.socket) -> bytes:
        server = await serve(inside, "prometheus:9090", 0)
        await asyncio.to_thread(client.connect, server.sockets[0].getsockname())
        client.sendall(b"hello")
        while not inside.ends:
            await asyncio.sleep(0.01)
        said = await asyncio.to_thread(inside.ends[0].recv, 5)
        inside.ends[0].sendall(said.upper())
        answer = await asyncio.to_thread(client.recv, 5)
        server.close()
        return answer

    with socket.socket() as client, caplog.at_level(logging.ERROR, logger="asyncio"):
        client.settimeout(10)
        assert asyncio.run(used(client)) == b"HELLO"
        assert client.recv(1) == b""  # hung up on
    inside.ends[0].close()
    assert caplog.messages == []
