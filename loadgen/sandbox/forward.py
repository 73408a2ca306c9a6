"""Forwards a port on this machine's loopback interface to an address inside a sandbox."""

import asyncio
import contextlib
import os
import threading
from types import TracebackType

from loadgen.base.errors import SettingsError, StackError
from loadgen.sandbox.commands import Sandbox
from loadgen.sandbox.socket_proxy import relay


async def serve(sandbox: Sandbox, address: str, port: int) -> asyncio.Server:
    """Forward connections to 127.0.0.1:`port` (0: a free port) to `address` inside the sandbox; return the server.

    Raises:
        SettingsError: the port cannot be used.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError, StackError):
            connection = await asyncio.to_thread(sandbox.connect, address)
            connection.setblocking(False)
            await relay((reader, writer), await asyncio.open_connection(sock=connection))
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio prints a traceback for a task of its own that is cancelled before its first step; this one is ours
        task = asyncio.create_task(forward(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    try:
        return await asyncio.start_server(accept, "127.0.0.1", port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise SettingsError(f"port {port} cannot be used ({reason}): choose another port") from error


class PortForward:
    """Forwards a port to the same port inside the sandbox while a block runs; does nothing without a port.

    Raises:
        SettingsError: the port cannot be used.
    """

    def __init__(self, sandbox: Sandbox, port: int | None) -> None:
        self._sandbox, self._port = sandbox, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> None:
        if self._port is not None:
            self._thread.start()
            opening = serve(self._sandbox, f"127.0.0.1:{self._port}", self._port)
            try:
                asyncio.run_coroutine_threadsafe(opening, self._loop).result(10.0)
            except BaseException:
                self._stop()
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5.0)
        self._loop.close()
