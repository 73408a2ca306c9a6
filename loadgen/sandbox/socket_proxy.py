"""Connects clients outside of a sandbox to addresses inside, through a Unix socket in the sandbox's folder.

Unix sockets work across network namespaces. The client writes one line, `host:port`; the proxy answers `ok` or one line
with an error, and relays bytes from then on.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from loadgen.sandbox.dns import resolve

_DIAL_TIMEOUT_S = 5.0
_CHUNK_BYTES = 1 << 16

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""Reader and writer of a connection."""


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Yield a short address for a Unix socket, as the kernel limits the path in an address to 107 bytes."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class SocketProxy:
    """The server of the Unix socket inside the sandbox; `Sandbox.connect` is its client."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Start to listen."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        with socket_address(self._path) as address:
            listener.bind(address)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    def close(self) -> None:
        """Stop to listen."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), _DIAL_TIMEOUT_S)
            host, _, port = line.decode().strip().rpartition(":")
            try:
                target = await asyncio.wait_for(_dial(host, int(port)), _DIAL_TIMEOUT_S)
            except (OSError, ValueError, TimeoutError) as error:
                writer.write(f"{error or 'no answer'}\n".encode())
                return
            writer.write(b"ok\n")
            await relay((reader, writer), target)
        except (OSError, TimeoutError, UnicodeDecodeError):
            pass  # the client has disconnected or sent no address
        finally:
            writer.close()


async def _dial(host: str, port: int) -> Stream:
    return await asyncio.open_connection(await asyncio.to_thread(resolve, host), port)


async def relay(one: Stream, other: Stream) -> None:
    """Relay bytes between two connections in both directions until both sides have closed."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    try:
        await asyncio.gather(copy(one[0], other[1]), copy(other[0], one[1]))
    finally:
        other[1].close()
