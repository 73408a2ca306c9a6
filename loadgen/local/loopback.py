"""Finds free ports on the loopback interface, and sends HTTP requests to them without a thread or a kept connection."""

import asyncio
import contextlib
import socket

from loadgen.base.errors import LoadgenError

LOOPBACK = "127.0.0.1"


class Unreachable(LoadgenError):
    """The server refused the connection, was too slow, or did not answer in HTTP."""


def free_ports(count: int) -> list[int]:
    """Return different ports of the loopback interface that no program listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind((LOOPBACK, 0))
        return [int(s.getsockname()[1]) for s in sockets]


async def get(address: str, path: str, *, timeout_s: float = 1.0) -> tuple[int, bytes]:
    """GET `http://<address><path>` in HTTP/1.0: one connection, one answer.

    Returns:
        Status and body.

    Raises:
        Unreachable: The answer did not arrive completely within `timeout_s`.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _get(address, path)
    except (OSError, ValueError, IndexError, TimeoutError) as error:
        raise Unreachable(f"http://{address}{path.partition('?')[0]}: {error or 'no answer in time'}") from error


async def _get(address: str, path: str) -> tuple[int, bytes]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: */*\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body
