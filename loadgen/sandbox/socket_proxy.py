"""A way from outside to an address inside: a Unix socket in the sandbox's folder, which crosses network namespaces.

Outside writes one line, `host:port`; the gate answers `ok` or one line of trouble, and passes bytes on from then on.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from loadgen.sandbox.names import resolve

_DIAL_TIMEOUT_S = 5.0
_CHUNK = 1 << 16

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""A connection: what comes, and what goes."""


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """The address of a Unix socket in a folder of any depth; the kernel takes no path longer than 107 bytes."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Gate:
    """Serves the Unix socket inside; `Sandbox.connect` uses it outside."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Start to serve."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        with address_of(self._path) as address:
            listener.bind(address)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), _DIAL_TIMEOUT_S)
            host, _, port = line.decode().strip().rpartition(":")
            try:
                inner_reader, inner_writer = await asyncio.wait_for(_dial(host, int(port)), _DIAL_TIMEOUT_S)
            except (OSError, ValueError, TimeoutError) as error:
                writer.write(f"{error or 'no answer'}\n".encode())
                return
            writer.write(b"ok\n")
            await splice((reader, writer), (inner_reader, inner_writer))
        except (OSError, TimeoutError, UnicodeDecodeError):
            pass  # whoever came has gone
        finally:
            writer.close()


async def _dial(host: str, port: int) -> Stream:
    return await asyncio.open_connection(await asyncio.to_thread(resolve, host), port)


async def splice(one: Stream, other: Stream) -> None:
    """Pass bytes between two connections, both ways, until both have ended."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    try:
        await asyncio.gather(pump(one[0], other[1]), pump(other[0], one[1]))
    finally:
        other[1].close()
