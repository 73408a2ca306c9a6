"""The few HTTP requests that the stack asks its own parts, without a thread and without keeping connections."""

import asyncio
import contextlib

from loadgen.base.errors import LoadgenError


class Unreachable(LoadgenError):
    """A part did not answer: refused, too slow, or not HTTP."""


async def get(address: str, path: str, *, timeout_s: float = 1.0) -> tuple[int, bytes]:
    """GET `http://<address><path>`, by HTTP/1.0: one connection, one answer.

    Returns:
        Status and body.

    Raises:
        Unreachable: no whole answer within `timeout_s`.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _get(address, path)
    except (OSError, ValueError, IndexError, TimeoutError) as error:
        raise Unreachable(f"http://{address}{path.partition('?')[0]}: {error or 'no answer in time'}") from error


async def is_ready(address: str) -> bool:
    """Whether the Triton server of this HTTP address says that it can serve."""
    try:
        status, _ = await get(address, "/v2/health/ready")
    except Unreachable:
        return False
    return status == 200


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
