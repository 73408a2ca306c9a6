"""Asks a container how it is: by HTTP, TCP, gRPC or a command, from the node's network to the pod's address."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from loadgen.sandbox.kubelet.meta import Json, go_duration

USER_AGENT = "kube-{purpose}/1.37"
_READ_BYTES = 10 * 1024
_SERVING = 1
_HEALTH = "/grpc.health.v1.Health/Check"
_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

Exec = Callable[[list[str], float], Awaitable[tuple[int, bytes]]]
"""Runs a command in the container within some seconds; exit code and output.

Raises TimeoutError when the time is over.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one probe found.

    Attributes:
        success: Whether the container is well.
        said: What a failure's event says.
    """

    success: bool
    said: str = ""


async def probe(action: Json, container: Json, pod_ip: str, timeout_s: float, run: Exec) -> Result:
    """Run a probe once.

    Args:
        action: The probe as the pod spells it.
        container: Its container, for named ports.
        pod_ip: Address of the pod.
        timeout_s: Time it may take.
        run: Runs a command in the container.
    """
    try:
        if "httpGet" in action:
            return await _http(action["httpGet"], container, pod_ip, timeout_s)
        if "tcpSocket" in action:
            return await _tcp(action["tcpSocket"], container, pod_ip, timeout_s)
        if "grpc" in action:
            return await _grpc(action["grpc"], pod_ip, timeout_s)
        return await _exec(action["exec"], timeout_s, run)
    except ValueError as error:
        return Result(success=False, said=str(error))


def port_number(port: int | str, container: Json) -> int:
    """A port by number or by its name in the container.

    Raises:
        ValueError: the container has no port of this name.
    """
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for each in container.get("ports") or []:
        if each.get("name") == port:
            return int(each["containerPort"])
    raise ValueError(f"couldn't find port: {port}")


async def http_get(
    action: Json, container: Json, pod_ip: str, timeout_s: float, purpose: str = "probe"
) -> tuple[int, str]:
    """Status and URL of the answer to an `httpGet` action, with redirects followed on the same host.

    Raises:
        aiohttp.ClientError: there was no answer.
        TimeoutError: it did not come in time.
        ValueError: the port has no number.
    """
    host = action.get("host") or pod_ip
    scheme = str(action.get("scheme") or "HTTP").lower()
    path = str(action.get("path") or "/")
    url = f"{scheme}://{host}:{port_number(action['port'], container)}{path if path.startswith('/') else '/' + path}"
    headers = {"User-Agent": USER_AGENT.format(purpose=purpose), "Accept": "*/*"}
    headers |= {each["name"]: each["value"] for each in action.get("httpHeaders") or []}
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    connector = aiohttp.TCPConnector(ssl=False, force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, headers=headers) as session:
        for _ in range(10):
            async with session.get(url, allow_redirects=False) as response:
                await response.content.read(_READ_BYTES)
                target = response.headers.get("Location", "")
                aim = urlsplit(urljoin(url, target)) if target else None
                if not (300 <= response.status < 400 and aim and aim.hostname == urlsplit(url).hostname):
                    return response.status, url
                url = aim.geturl()
    raise aiohttp.ClientError("stopped after 10 redirects")


async def _http(action: Json, container: Json, pod_ip: str, timeout_s: float) -> Result:
    host = action.get("host") or pod_ip
    scheme, port = str(action.get("scheme") or "HTTP").lower(), port_number(action["port"], container)
    shown = f"{scheme}://{host}:{port}{action.get('path') or '/'}"
    try:
        status, _ = await http_get(action, container, pod_ip, timeout_s)
    except TimeoutError:
        said = f'Get "{shown}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        return Result(success=False, said=said)
    except (aiohttp.ClientError, OSError) as error:
        return Result(success=False, said=f'Get "{shown}": {_connect_error(error)}')
    if 200 <= status < 400:
        return Result(success=True)
    return Result(success=False, said=f"HTTP probe failed with statuscode: {status}")


async def _tcp(action: Json, container: Json, pod_ip: str, timeout_s: float) -> Result:
    host, port = action.get("host") or pod_ip, port_number(action["port"], container)
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Result(success=False, said=f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Result(success=False, said=f"dial tcp {host}:{port}: {_connect_error(error)}")
    writer.close()
    return Result(success=True)


async def _grpc(action: Json, pod_ip: str, timeout_s: float) -> Result:
    import grpc  # only nodes that have such a probe pay for it: 10 MB

    address, service = f"{pod_ip}:{action['port']}", str(action.get("service") or "")
    loop = asyncio.get_running_loop()
    until_s = loop.time() + timeout_s
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            async with asyncio.timeout(timeout_s):
                await channel.channel_ready()
        except TimeoutError:
            within = go_duration(timeout_s)
            said = f'timeout: failed to connect service "{address}" within {within}: context deadline exceeded'
            return Result(success=False, said=said)
        call = channel.unary_unary(_HEALTH, request_serializer=None, response_deserializer=None)
        try:
            answer = await call(_health_request(service), timeout=max(0.001, until_s - loop.time()))
        except grpc.aio.AioRpcError as error:
            return Result(success=False, said=_rpc_error(error, timeout_s))
    status = _health_status(answer)
    if status == _SERVING:
        return Result(success=True)
    return Result(success=False, said=f'service unhealthy (responded with "{_STATUSES.get(status, status)}")')


async def _exec(action: Json, timeout_s: float, run: Exec) -> Result:
    try:
        code, output = await run(list(action.get("command") or []), timeout_s)
    except TimeoutError:
        return Result(success=False, said=f"command timed out after {go_duration(timeout_s)}")
    return Result(success=code == 0, said=output[:_READ_BYTES].decode(errors="replace"))


def _health_request(service: str) -> bytes:
    """`HealthCheckRequest` in the protobuf wire format: field 1, a string."""
    coded, size = service.encode(), bytearray()
    rest = len(coded)
    while rest > 127:
        size.append(rest & 127 | 128)
        rest >>= 7
    return b"\x0a" + bytes([*size, rest]) + coded if coded else b""


def _health_status(answer: bytes) -> int:
    """Field 1 of a `HealthCheckResponse`, an enumeration; left out means 0."""
    return answer[1] if len(answer) >= 2 and answer[0] == 0x08 else 0


def _rpc_error(error: Any, timeout_s: float) -> str:
    if error.code().name == "UNIMPLEMENTED":
        return (
            f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {error.details()}"
        )
    if error.code().name == "DEADLINE_EXCEEDED":
        return f"timeout: health rpc did not complete within {go_duration(timeout_s)}"
    return f"error: health rpc probe failed: rpc error: code = {error.code().name} desc = {error.details()}"


def _connect_error(error: BaseException) -> str:
    number = getattr(error, "errno", None) or getattr(getattr(error, "os_error", None), "errno", None)
    if isinstance(error, ConnectionRefusedError) or number == 111:
        return "connect: connection refused"
    return str(error) or type(error).__name__
