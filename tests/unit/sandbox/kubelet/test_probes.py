"""Probes and hooks against real servers on loopback.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#types-of-probe
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent import futures
from typing import Any

import grpc
import pytest
from aiohttp import web

from loadgen.sandbox.kubelet.container.hooks import HookError, run_hook
from loadgen.sandbox.kubelet.container.probes import ProbeResult, port_number, probe

LOOPBACK = "127.0.0.1"
HEADERS: list[dict[str, str]] = []


async def never(argv: list[str], timeout_s: float) -> tuple[int, bytes]:
    raise AssertionError("this probe runs no command")


def served(check: Callable[[int], Awaitable[Any]]) -> Any:
    """Return the result of a check against a small HTTP server."""

    async def status(request: web.Request) -> web.Response:
        HEADERS.append(dict(request.headers))
        return web.Response(status=int(request.match_info["code"]), text="body")

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async def moved(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])

    async def run() -> Any:
        app = web.Application()
        app.add_routes([web.get("/status/{code}", status), web.get("/slow", slow), web.get("/moved", moved)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        try:
            return await check(runner.addresses[0][1])
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def http(path: str, **more: Any) -> ProbeResult:
    async def check(port: int) -> ProbeResult:
        action = {"httpGet": {"path": path, "port": port, **more}}
        return await probe(action, {}, LOOPBACK, 0.5, never)

    found: ProbeResult = served(check)
    return found


@pytest.mark.parametrize(
    ("code", "success"), [(200, True), (204, True), (399, True), (400, False), (404, False), (503, False)]
)
def test_http_status(code: int, success: bool) -> None:
    """Any status of at least 200 and below 400 is success."""
    result = http(f"/status/{code}")
    assert result.success is success
    assert success or result.message == f"HTTP probe failed with statuscode: {code}"


def test_http_redirect() -> None:
    """A redirect on the same host is followed; one to another host counts as success."""
    assert not http("/moved?to=/status/500").success
    assert http("/moved?to=http://192.0.2.1/").success


def test_http_timeout() -> None:
    """No answer within timeoutSeconds is a failure."""
    result = http("/slow")
    assert (result.success, "context deadline exceeded" in result.message) == (False, True)


def test_http_headers() -> None:
    """The kubelet names itself, and httpHeaders may override what it sends."""
    HEADERS.clear()
    http("/status/200")
    http("/status/200", httpHeaders=[{"name": "User-Agent", "value": "me"}, {"name": "X", "value": "y"}])
    assert [each["User-Agent"] for each in HEADERS] == ["kube-probe/1.37", "me"]
    assert (HEADERS[0]["Accept"], HEADERS[1]["X"]) == ("*/*", "y")


@pytest.mark.parametrize("kind", ["httpGet", "tcpSocket"])
def test_connection_refused(kind: str) -> None:
    """A refused connection is a failure, with the kubelet's message."""
    result = asyncio.run(probe({kind: {"port": 1}}, {}, LOOPBACK, 0.5, never))
    assert (result.success, result.message.endswith("connect: connection refused")) == (False, True)


def test_tcp() -> None:
    """An open port is success, whatever its protocol."""

    async def check(port: int) -> ProbeResult:
        return await probe({"tcpSocket": {"port": port}}, {}, LOOPBACK, 0.5, never)

    assert served(check).success


def test_named_port() -> None:
    """A port may be named; an unknown name is a failure."""
    container = {"ports": [{"name": "http", "containerPort": 8000}]}
    assert (port_number("http", container), port_number("81", container), port_number(82, container)) == (8000, 81, 82)
    result = asyncio.run(probe({"tcpSocket": {"port": "nope"}}, container, LOOPBACK, 0.5, never))
    assert result == ProbeResult(success=False, message="couldn't find port: nope")


@pytest.mark.parametrize(
    ("answer", "success", "message"),
    [
        (b"\x08\x01", True, ""),
        (b"\x08\x02", False, 'service unhealthy (responded with "NOT_SERVING")'),
        (b"", False, 'service unhealthy (responded with "UNKNOWN")'),
    ],
)
def test_grpc_health(answer: bytes, success: bool, message: str) -> None:
    """SERVING is success; the request carries the service of the probe."""
    requests: list[bytes] = []

    def check(request: bytes, _: grpc.ServicerContext) -> bytes:
        requests.append(request)
        return answer

    result = asyncio.run(_grpc_probe({"Check": grpc.unary_unary_rpc_method_handler(check)}))
    assert result == ProbeResult(success=success, message=message)
    assert requests == [b"\x0a\x04mine"]


def test_grpc_without_health() -> None:
    """A server without the health protocol is a failure with a message."""
    result = asyncio.run(_grpc_probe({}))
    assert not result.success
    assert "does not implement the grpc health protocol" in result.message


def test_grpc_connection_refused() -> None:
    """No connection within timeoutSeconds is a failure."""
    result = asyncio.run(probe({"grpc": {"port": 1}}, {}, LOOPBACK, 0.3, never))
    assert result.message.startswith('timeout: failed to connect service "127.0.0.1:1" within 300ms')


async def _grpc_probe(methods: dict[str, Any]) -> ProbeResult:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    handler = grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods)
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    try:
        return await probe({"grpc": {"port": port, "service": "mine"}}, {}, LOOPBACK, 2.0, never)
    finally:
        await asyncio.to_thread(server.stop(0).wait)


@pytest.mark.parametrize(("code", "success"), [(0, True), (1, False), (137, False)])
def test_exec_probe(code: int, success: bool) -> None:
    """A command with exit code 0 is success; the output is the message of a failure."""

    async def run(argv: list[str], timeout_s: float) -> tuple[int, bytes]:
        assert (argv, timeout_s) == (["check", "me"], 0.5)
        return code, b"output"

    result = asyncio.run(probe({"exec": {"command": ["check", "me"]}}, {}, LOOPBACK, 0.5, run))
    assert result == ProbeResult(success=success, message="output")


def test_exec_probe_timeout() -> None:
    """A command that does not end within timeoutSeconds is a failure."""

    async def run(argv: list[str], timeout_s: float) -> tuple[int, bytes]:
        raise TimeoutError

    result = asyncio.run(probe({"exec": {"command": ["x"]}}, {}, LOOPBACK, 0.5, run))
    assert result == ProbeResult(success=False, message="command timed out after 500ms")


def test_http_hook_succeeds_with_any_status() -> None:
    """An httpGet hook succeeds with any response, whatever its status, and fails without one."""

    async def check(port: int) -> None:
        await run_hook({"httpGet": {"port": port, "path": "/status/500"}}, {}, LOOPBACK, never)

    served(check)
    with pytest.raises(HookError):
        asyncio.run(run_hook({"httpGet": {"port": 1}}, {}, LOOPBACK, never))


def test_hook_command_must_succeed() -> None:
    """An exec hook fails when its command fails."""

    async def run(argv: list[str], timeout_s: float) -> tuple[int, bytes]:
        return 4, b"no"

    with pytest.raises(HookError, match="exit code 4, message: 'no'"):
        asyncio.run(run_hook({"exec": {"command": ["x"]}}, {}, LOOPBACK, run))


def test_sleep_hook() -> None:
    """A sleep hook sleeps for its duration."""

    async def check() -> float:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        await run_hook({"sleep": {"seconds": 0.1}}, {}, LOOPBACK, never)
        return loop.time() - started_s

    assert asyncio.run(check()) >= 0.1
