"""An address inside a sandbox, opened on a port of this machine's loopback interface."""

import asyncio
import contextlib
import os
import threading
from types import TracebackType

from loadgen.base.errors import SettingsError, StackError
from loadgen.sandbox.commands import Sandbox
from loadgen.sandbox.gate import splice


async def serve(sandbox: Sandbox, address: str, port: int) -> asyncio.Server:
    """Start to pass connections to 127.0.0.1:`port` (0: a free one) on to `address` inside; returns the server.

    Raises:
        SettingsError: the port cannot be had.
    """

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # a connection that is open at the end ends with it, without a word
        with contextlib.suppress(asyncio.CancelledError, StackError):
            inner = await asyncio.to_thread(sandbox.connect, address)
            inner.setblocking(False)
            await splice((reader, writer), await asyncio.open_connection(sock=inner))
        writer.close()

    try:
        return await asyncio.start_server(one, "127.0.0.1", port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise SettingsError(f"port {port} of this machine cannot be had ({why}): choose another") from error


class Forward:
    """Opens a port in the background while a block runs; does nothing without a port.

    Raises:
        SettingsError: the port cannot be had.
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
                self._end()
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5.0)
        self._loop.close()
