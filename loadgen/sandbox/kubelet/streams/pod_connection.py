"""Connects to a port of a pod on localhost in the pod's network namespace, as container runtimes do."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from loadgen.sandbox.kubelet.container import launcher
from loadgen.sandbox.kubelet.context import PodContext

Send = Callable[[bytes], Awaitable[None]]
"""Sends data from the pod to the client."""

_CHUNK_BYTES = 32 * 1024
_DIAL_TIMEOUT_S = 10.0
_LOCALHOST = ((socket.AF_INET, "127.0.0.1", "tcp4 127.0.0.1"), (socket.AF_INET6, "::1", "tcp6 [::1]"))


class PodConnection:
    """A forwarded connection: `run` passes on the pod's data, `write` the client's data.

    Args:
        context: Shared by the containers of the pod.
        port: Port of the pod.
        send: Sends data from the pod to the client.
    """

    def __init__(self, context: PodContext, port: int, send: Send) -> None:
        self._context, self._port, self._send = context, port, send
        self._dialed = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> str:
        """Pass on the pod's data until the pod closes the connection.

        The connection stays open when only the client has closed its side.

        Returns:
            The message for the error channel; empty without an error.
        """
        try:
            async with asyncio.timeout(_DIAL_TIMEOUT_S):
                reader, self._writer = await self._dial()
            self._dialed.set()
            while data := await reader.read(_CHUNK_BYTES):
                await self._send(data)
        except TimeoutError:
            return self._error(f"no answer within {_DIAL_TIMEOUT_S:g} s")
        except (OSError, launcher.LaunchError) as error:
            return self._error(_go_message(error))
        finally:
            self._dialed.set()
            if self._writer:
                self._writer.transport.abort()
        return ""

    async def write(self, data: bytes) -> None:
        """Pass on the client's data, waiting while the pod does not read; a closed connection drops the data."""
        await self._dialed.wait()
        if self._writer and not self._writer.is_closing():
            self._writer.write(data)
            try:
                await self._writer.drain()
            except OSError:
                return  # `run` reports it

    async def write_eof(self) -> None:
        """Pass on that the client has closed its side."""
        await self._dialed.wait()
        if self._writer and not self._writer.is_closing():
            self._writer.write_eof()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self._context.alive:
            raise ConnectionError("the pod is not running")
        errors = []
        for family, host, label in _LOCALHOST:
            connection = self._socket(family)
            try:
                await asyncio.get_running_loop().sock_connect(connection, (host, self._port))
                return await asyncio.open_connection(sock=connection)
            except OSError as error:
                connection.close()
                errors.append(f"dial {label}:{self._port}: connect: {_go_message(error)}")
            except BaseException:
                connection.close()
                raise
        raise ConnectionError(", ".join(errors))

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        """Return a socket that belongs to the pod's network namespace."""

        def create() -> socket.socket:
            launcher.join(self._context.pause_pid, "net")
            created = socket.socket(family)
            created.setblocking(False)
            return created

        # setns() moves only the calling thread, which ends afterwards
        with ThreadPoolExecutor(max_workers=1) as executor:
            return executor.submit(create).result()

    def _error(self, message: str) -> str:
        meta = self._context.pod["metadata"]
        return f"error forwarding port {self._port} to pod {meta['name']}, uid {meta['uid']}: {message}"


def _go_message(error: Exception) -> str:
    """Return the message of an error in the wording of Go."""
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else str(error)
