"""Performs a probe of a container by HTTP, TCP, gRPC or a command, from the node to the pod's address."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from loadgen.sandbox.kubelet.objects import Json, go_duration

USER_AGENT = "kube-{purpose}/1.37"
_READ_BYTES = 10 * 1024
_SERVING = 1
_HEALTH = "/grpc.health.v1.Health/Check"
_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

Exec = Callable[[list[str], float], Awaitable[tuple[int, bytes]]]
"""Runs a command in the container with a timeout in seconds; returns exit code and output, or raises TimeoutError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """Result of a probe.

    Attributes:
        success: Whether the probe succeeded.
        message: Message of the event after a failure.
    """

    success: bool
    message: str = ""


async def probe(action: Json, container: Json, pod_ip: str, timeout_s: float, run: Exec) -> ProbeResult:
    """Run a probe once.

    Args:
        action: The probe of the pod spec.
        container: Spec of the container, for named ports.
        pod_ip: Address of the pod.
        timeout_s: Timeout of the probe.
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
        return ProbeResult(success=False, message=str(error))


def port_number(port: int | str, container: Json) -> int:
    """Return the number of a port, which may be named.

    Raises:
        ValueError: the container has no port with this name.
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
    """Perform an `httpGet` action; return status and URL of the response, after redirects on the same host.

    Raises:
        aiohttp.ClientError: there was no response.
        TimeoutError: there was no response in time.
        ValueError: the container has no port with this name.
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
                location = response.headers.get("Location", "")
                target = urlsplit(urljoin(url, location)) if location else None
                if not (300 <= response.status < 400 and target and target.hostname == urlsplit(url).hostname):
                    return response.status, url
                url = target.geturl()
    raise aiohttp.ClientError("stopped after 10 redirects")


async def _http(action: Json, container: Json, pod_ip: str, timeout_s: float) -> ProbeResult:
    host = action.get("host") or pod_ip
    scheme, port = str(action.get("scheme") or "HTTP").lower(), port_number(action["port"], container)
    url = f"{scheme}://{host}:{port}{action.get('path') or '/'}"
    try:
        status, _ = await http_get(action, container, pod_ip, timeout_s)
    except TimeoutError:
        message = f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        return ProbeResult(success=False, message=message)
    except (aiohttp.ClientError, OSError) as error:
        return ProbeResult(success=False, message=f'Get "{url}": {_connect_error(error)}')
    if 200 <= status < 400:
        return ProbeResult(success=True)
    return ProbeResult(success=False, message=f"HTTP probe failed with statuscode: {status}")


async def _tcp(action: Json, container: Json, pod_ip: str, timeout_s: float) -> ProbeResult:
    host, port = action.get("host") or pod_ip, port_number(action["port"], container)
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return ProbeResult(success=False, message=f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return ProbeResult(success=False, message=f"dial tcp {host}:{port}: {_connect_error(error)}")
    writer.close()
    return ProbeResult(success=True)


async def _grpc(action: Json, pod_ip: str, timeout_s: float) -> ProbeResult:
    import grpc  # takes 10 MB, so only nodes with gRPC probes import it

    address, service = f"{pod_ip}:{action['port']}", str(action.get("service") or "")
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            async with asyncio.timeout(timeout_s):
                await channel.channel_ready()
        except TimeoutError:
            within = go_duration(timeout_s)
            message = f'timeout: failed to connect service "{address}" within {within}: context deadline exceeded'
            return ProbeResult(success=False, message=message)
        call = channel.unary_unary(_HEALTH, request_serializer=None, response_deserializer=None)
        try:
            answer = await call(_health_request(service), timeout=max(0.001, deadline_s - loop.time()))
        except grpc.aio.AioRpcError as error:
            return ProbeResult(success=False, message=_rpc_error(error, timeout_s))
    status = _health_status(answer)
    if status == _SERVING:
        return ProbeResult(success=True)
    return ProbeResult(success=False, message=f'service unhealthy (responded with "{_STATUSES.get(status, status)}")')


async def _exec(action: Json, timeout_s: float, run: Exec) -> ProbeResult:
    try:
        code, output = await run(list(action.get("command") or []), timeout_s)
    except TimeoutError:
        return ProbeResult(success=False, message=f"command timed out after {go_duration(timeout_s)}")
    return ProbeResult(success=code == 0, message=output[:_READ_BYTES].decode(errors="replace"))


def _health_request(service: str) -> bytes:
    """`HealthCheckRequest` in the protobuf wire format: field 1, a string."""
    name, length = service.encode(), bytearray()
    remaining = len(name)
    while remaining > 127:
        length.append(remaining & 127 | 128)
        remaining >>= 7
    return b"\x0a" + bytes([*length, remaining]) + name if name else b""


def _health_status(answer: bytes) -> int:
    """Field 1 of a `HealthCheckResponse`, an enumeration; a missing field means 0."""
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
