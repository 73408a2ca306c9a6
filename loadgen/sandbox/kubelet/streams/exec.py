"""Serves `kubectl exec` over a WebSocket with channels for stdin, stdout, stderr, exit status and terminal size."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from loadgen.sandbox.kubelet.container.process import Process, StartError, start_process
from loadgen.sandbox.kubelet.container.running_container import RunningContainer
from loadgen.sandbox.kubelet.context import exec_spec
from loadgen.sandbox.kubelet.objects import Json

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK_BYTES = 32 * 1024
_PING_S = 30.0


@dataclass(slots=True, kw_only=True)
class _Streams:
    """Pipes or a terminal between the WebSocket and a process.

    Attributes:
        child_ends: The process's standard input, output and error.
        stdin: Our end of its standard input, None without input.
        stdout: Our end of its standard output or terminal.
        stderr: Our end of its standard error, None with a terminal.
    """

    child_ends: tuple[int, int, int]
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None

    @classmethod
    def open(cls, *, stdin: bool, stderr: bool, terminal: bool) -> "_Streams":
        if terminal:
            primary, secondary = pty.openpty()
            os.set_blocking(primary, False)
            return cls(child_ends=(secondary,) * 3, stdin=primary if stdin else None, stdout=primary)
        child_in, our_in = os.pipe() if stdin else (os.open(os.devnull, os.O_RDONLY), None)
        our_out, child_out = os.pipe()
        our_err, child_err = os.pipe() if stderr else (None, os.open(os.devnull, os.O_WRONLY))
        for handle in (our_in, our_out, our_err):
            if handle is not None:
                os.set_blocking(handle, False)
        return cls(child_ends=(child_in, child_out, child_err), stdin=our_in, stdout=our_out, stderr=our_err)

    def close_child_ends(self) -> None:
        for handle in set(self.child_ends):
            os.close(handle)

    def close_stdin(self) -> None:
        if self.stdin is not None and self.stdin != self.stdout:
            os.close(self.stdin)
        self.stdin = None

    def close(self) -> None:
        self.close_stdin()
        for handle in (self.stdout, self.stderr):
            if handle is not None:
                os.close(handle)
        self.stdout = self.stderr = None


def exec_status(code: int | None, error: str = "") -> Json:
    """Return the `metav1.Status` that the error channel carries at the end.

    Args:
        code: Exit code; None when the command could not be started.
        error: Why it could not be started.
    """
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    status: Json = {"metadata": {}, "status": "Failure"}
    if code is None:
        return {
            **status,
            "reason": "InternalError",
            "message": f"error executing command in container: {error}",
            "code": 500,
        }
    return {
        **status,
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


async def serve_exec(request: web.Request, container: RunningContainer) -> web.StreamResponse:
    """Serve an `exec` request for a running container."""
    socket = web.WebSocketResponse(protocols=PROTOCOLS, heartbeat=_PING_S)
    if not socket.can_prepare(request).ok:
        raise web.HTTPBadRequest(
            text="exec requires a WebSocket: use kubectl 1.31 or later and Kubernetes 1.36 or later"
        )
    await socket.prepare(request)
    query = request.query
    options = {name: query.get(name) in ("1", "true") for name in ("input", "stdin", "error", "stderr", "tty")}
    streams = _Streams.open(
        stdin=options["input"] or options["stdin"],
        stderr=options["error"] or options["stderr"],
        terminal=options["tty"],
    )
    try:
        argv = query.getall("command", [])
        spec = exec_spec(container.process.pid, argv, container.env, container.workdir, tty=options["tty"])
        try:
            process = await start_process("exec", spec, container.context.new_exec_file(), streams.child_ends)
        except StartError as error:
            await _send(socket, _ERROR, json.dumps(exec_status(None, str(error))).encode())
            return socket
        finally:
            streams.close_child_ends()
        await _relay(socket, process, streams)
    finally:
        streams.close()
        await socket.close()
    return socket


async def _relay(socket: web.WebSocketResponse, process: Process, streams: _Streams) -> None:
    """Relay input and output until the process exits or the client disconnects; then kill the process."""
    outputs = [
        asyncio.create_task(_send_output(socket, channel, handle))
        for channel, handle in ((_STDOUT, streams.stdout), (_STDERR, streams.stderr))
        if handle is not None
    ]
    receiving = asyncio.create_task(_receive_input(socket, streams))
    waiting = asyncio.create_task(process.wait())
    try:
        await asyncio.wait({receiving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            await asyncio.wait(outputs, timeout=2.0)  # a background child may keep the pipes open
            code = waiting.result()
            status = exec_status(code if code >= 0 else 128 - code)
            await _send(socket, _ERROR, json.dumps(status).encode())
    finally:
        process.send(signal.SIGKILL)
        for task in (receiving, waiting, *outputs):
            task.cancel()
        await asyncio.gather(receiving, waiting, *outputs, return_exceptions=True)


async def _receive_input(socket: web.WebSocketResponse, streams: _Streams) -> None:
    """Pass on input and terminal sizes until the client disconnects."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel == _STDIN and streams.stdin is not None:
            await _write(streams.stdin, data)
        elif channel == _CLOSE and data[:1] == bytes([_STDIN]):
            streams.close_stdin()
        elif channel == _RESIZE and streams.stdout is not None:
            with contextlib.suppress(ValueError, OSError, KeyError):
                size = json.loads(data)
                packed = struct.pack("HHHH", int(size["Height"]), int(size["Width"]), 0, 0)
                fcntl.ioctl(streams.stdout, termios.TIOCSWINSZ, packed)


async def _send_output(socket: web.WebSocketResponse, channel: int, handle: int) -> None:
    """Pass on the output of the process until its end."""
    while True:
        await _ready(handle, asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader)
        try:
            data = os.read(handle, _CHUNK_BYTES)
        except BlockingIOError:
            continue
        except OSError:
            return  # the process has closed the terminal
        if not data:
            return
        await _send(socket, channel, data)


async def _write(handle: int, data: bytes) -> None:
    loop = asyncio.get_running_loop()
    while data:
        try:
            data = data[os.write(handle, data) :]
        except BlockingIOError:
            await _ready(handle, loop.add_writer, loop.remove_writer)
        except OSError:
            return  # the process has closed its input


async def _ready(handle: int, add: Callable[..., object], remove: Callable[[int], object]) -> None:
    ready = asyncio.Event()
    add(handle, ready.set)
    try:
        await ready.wait()
    finally:
        remove(handle)


async def _send(socket: web.WebSocketResponse, channel: int, data: bytes) -> None:
    with contextlib.suppress(ConnectionError, RuntimeError):
        await socket.send_bytes(bytes([channel]) + data)
