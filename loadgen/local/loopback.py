"""Finds free ports on the loopback interface, and sends HTTP requests to them without a thread or a kept connection."""

import asyncio
import contextlib
import itertools
import random
import socket
from collections.abc import Iterator
from pathlib import Path

from loadgen.base.errors import LoadgenError, StackError

LOOPBACK = "127.0.0.1"
_SYSCTL = Path("/proc/sys/net/ipv4")
_FIRST_PORT, _LAST_PORT = 10_000, 65_535
_NODE_PORTS = range(30_000, 32_768)  # on a Kubernetes node, kube-proxy may redirect them, also on loopback
_DEFAULT_EPHEMERAL = "32768 60999"


class Unreachable(LoadgenError):
    """The server refused the connection, was too slow, or did not answer in HTTP."""


def server_ports(ephemeral: str, reserved: str = "") -> list[int]:
    """Return the ports for servers of the stack: those that the kernel gives to no client and reserves for no program.

    The kernel takes the port of every outgoing connection from its ephemeral range. A server on such a port could lose
    it to a client between the choice and the bind.

    Args:
        ephemeral: Content of `net.ipv4.ip_local_port_range`: first and last port.
        reserved: Content of `net.ipv4.ip_local_reserved_ports`, such as `8080,9148-9150`.
    """
    low, high = (int(each) for each in ephemeral.split())
    taken = set(_NODE_PORTS) | set(range(low, high + 1))
    for each in filter(None, reserved.strip().split(",")):
        first, _, last = each.partition("-")
        taken |= set(range(int(first), int(last or first) + 1))
    return [port for port in range(_FIRST_PORT, _LAST_PORT + 1) if port not in taken]


def _choices() -> Iterator[int]:
    """Yield the ports for servers in random order, each once in a round: two replicas that start get different ones."""
    ports = server_ports(_sysctl("ip_local_port_range", _DEFAULT_EPHEMERAL), _sysctl("ip_local_reserved_ports", ""))
    random.shuffle(ports)
    return itertools.cycle(ports)


def _sysctl(name: str, default: str) -> str:
    try:
        return (_SYSCTL / name).read_text()
    except OSError:
        return default


_ports = _choices()


def free_ports(count: int) -> list[int]:
    """Return different ports of the loopback interface that no program listens on, outside the ephemeral range.

    Raises:
        StackError: There are not so many.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        # 0 is a port of the ephemeral range, which is better than none
        for port in itertools.chain(itertools.islice(_ports, _LAST_PORT), itertools.repeat(0, count)):
            if len(ports) == count:
                break
            candidate = socket.socket()
            try:
                candidate.bind((LOOPBACK, port))
            except OSError:
                candidate.close()
                continue
            held.enter_context(candidate)
            ports.append(int(candidate.getsockname()[1]))
    if len(ports) < count:
        raise StackError(
            f"{LOOPBACK} has {len(ports)} free ports, and {count} are needed: end programs that listen there, or widen "
            "the range net.ipv4.ip_local_port_range, and try again"
        )
    return ports


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
