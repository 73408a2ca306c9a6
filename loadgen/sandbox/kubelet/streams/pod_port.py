"""A connection to a port of a pod, made in the pod's own network as a container runtime makes it: to its localhost."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from loadgen.sandbox.kubelet.container import launcher as launcher
from loadgen.sandbox.kubelet.context import PodRoom

Send = Callable[[bytes], Awaitable[None]]
"""Hands what the pod sent to the client."""

_CHUNK_BYTES = 32 * 1024
_DIAL_TIMEOUT_S = 10.0
_LOCALHOST = ((socket.AF_INET, "127.0.0.1", "tcp4 127.0.0.1"), (socket.AF_INET6, "::1", "tcp6 [::1]"))


class PodPort:
    """One connection of one client; `run` it, and `feed` it meanwhile.

    Args:
        room: The pod.
        port: Its port.
        send: Takes what comes from the pod.
    """

    def __init__(self, room: PodRoom, port: int, send: Send) -> None:
        self._room, self._port, self._send = room, port, send
        self._dialed = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> str:
        """Pass on what the pod sends until it sends no more; returns what the error channel says, empty if all is well.

        A client that is done with sending may still be answered; a pod that is done ends the connection.
        """
        try:
            async with asyncio.timeout(_DIAL_TIMEOUT_S):
                reader, self._writer = await self._dial()
            self._dialed.set()
            while piece := await reader.read(_CHUNK_BYTES):
                await self._send(piece)
        except TimeoutError:
            return self._fault(f"no answer within {_DIAL_TIMEOUT_S:g} s")
        except (OSError, launcher.Fault) as error:
            return self._fault(_words(error))
        finally:
            self._dialed.set()
            if self._writer:
                self._writer.transport.abort()
        return ""

    async def feed(self, piece: bytes) -> None:
        """Pass on what the client sends; waits while the pod does not read. A connection that is over takes no more."""
        await self._dialed.wait()
        if self._writer and not self._writer.is_closing():
            self._writer.write(piece)
            try:
                await self._writer.drain()
            except OSError:
                return  # `run` tells it

    async def finish(self) -> None:
        """The client sends no more."""
        await self._dialed.wait()
        if self._writer and not self._writer.is_closing():
            self._writer.write_eof()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self._room.alive:
            raise ConnectionError("the pod does not run any more")
        faults = []
        for family, host, shown in _LOCALHOST:
            one = self._socket(family)
            try:
                await asyncio.get_running_loop().sock_connect(one, (host, self._port))
                return await asyncio.open_connection(sock=one)
            except OSError as error:
                one.close()
                faults.append(f"dial {shown}:{self._port}: connect: {_words(error)}")
            except BaseException:
                one.close()
                raise
        raise ConnectionError(", ".join(faults))

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        """A socket that lives in the pod's network, wherever it is used."""

        def inside() -> socket.socket:
            launcher.join(self._room.pause_pid, "net")
            one = socket.socket(family)
            one.setblocking(False)
            return one

        with ThreadPoolExecutor(max_workers=1) as own:  # only the thread moves, and it is of no use afterwards
            return own.submit(inside).result()

    def _fault(self, why: str) -> str:
        meta = self._room.pod["metadata"]
        return f"error forwarding port {self._port} to pod {meta['name']}, uid {meta['uid']}: {why}"


def _words(error: Exception) -> str:
    """What went wrong, as Go's programs put it."""
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else str(error)
