"""`kubectl exec` over a WebSocket: channels for input, output, error output, the outcome and the terminal's size."""

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

from loadgen.sandbox.kubelet.container.attempt import Attempt
from loadgen.sandbox.kubelet.container.process import Process, StartError, start_inside
from loadgen.sandbox.kubelet.context import exec_spec
from loadgen.sandbox.kubelet.meta import Json

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK_BYTES = 32 * 1024
_PING_S = 30.0


@dataclass(slots=True, kw_only=True)
class _Streams:
    """Our ends of a process's input and output."""

    theirs: tuple[int, int, int]
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None

    @classmethod
    def open(cls, *, stdin: bool, stderr: bool, terminal: bool) -> "_Streams":
        if terminal:
            ours, theirs = pty.openpty()
            os.set_blocking(ours, False)
            return cls(theirs=(theirs, theirs, theirs), stdin=ours if stdin else None, stdout=ours)
        their_in, our_in = os.pipe() if stdin else (os.open(os.devnull, os.O_RDONLY), None)
        our_out, their_out = os.pipe()
        our_err, their_err = os.pipe() if stderr else (None, os.open(os.devnull, os.O_WRONLY))
        for handle in (our_in, our_out, our_err):
            if handle is not None:
                os.set_blocking(handle, False)
        return cls(theirs=(their_in, their_out, their_err), stdin=our_in, stdout=our_out, stderr=our_err)

    def close_theirs(self) -> None:
        for handle in set(self.theirs):
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


def outcome(code: int | None, fault: str = "") -> Json:
    """What the error channel says at the end, as a `metav1.Status`.

    Args:
        code: Exit code; None when the command could not be started.
        fault: Why it could not.
    """
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    status: Json = {"metadata": {}, "status": "Failure"}
    if code is None:
        return {
            **status,
            "reason": "InternalError",
            "message": f"error executing command in container: {fault}",
            "code": 500,
        }
    return {
        **status,
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


async def serve_exec(request: web.Request, attempt: Attempt) -> web.StreamResponse:
    """Answer a request for `exec` in a running container."""
    socket = web.WebSocketResponse(protocols=PROTOCOLS, heartbeat=_PING_S)
    if not socket.can_prepare(request).ok:
        raise web.HTTPBadRequest(text="exec needs a WebSocket: use a kubectl of at least 1.31, and Kubernetes 1.36")
    await socket.prepare(request)
    query = request.query
    wants = {name: query.get(name) in ("1", "true") for name in ("input", "stdin", "error", "stderr", "tty")}
    streams = _Streams.open(
        stdin=wants["input"] or wants["stdin"], stderr=wants["error"] or wants["stderr"], terminal=wants["tty"]
    )
    try:
        spec = exec_spec(
            attempt.process.pid, query.getall("command", []), attempt.env, attempt.workdir, tty=wants["tty"]
        )
        try:
            process = await start_inside("exec", spec, attempt.room.exec_file(), streams.theirs)
        except StartError as error:
            await _tell(socket, _ERROR, json.dumps(outcome(None, str(error))).encode())
            return socket
        finally:
            streams.close_theirs()
        await _converse(socket, process, streams)
    finally:
        streams.close()
        await socket.close()
    return socket


async def _converse(socket: web.WebSocketResponse, process: Process, streams: _Streams) -> None:
    outputs = [
        asyncio.create_task(_pump(socket, channel, handle))
        for channel, handle in ((_STDOUT, streams.stdout), (_STDERR, streams.stderr))
        if handle is not None
    ]
    listening = asyncio.create_task(_listen(socket, streams))
    waiting = asyncio.create_task(process.wait())
    try:
        await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            await asyncio.wait(outputs, timeout=2.0)  # a child left behind may keep the pipes open
            code = waiting.result()
            told = outcome(code if code >= 0 else 128 - code)
            await _tell(socket, _ERROR, json.dumps(told).encode())
    finally:
        process.send(signal.SIGKILL)
        for task in (listening, waiting, *outputs):
            task.cancel()
        await asyncio.gather(listening, waiting, *outputs, return_exceptions=True)


async def _listen(socket: web.WebSocketResponse, streams: _Streams) -> None:
    """Pass on input and sizes until the client leaves."""
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


async def _pump(socket: web.WebSocketResponse, channel: int, handle: int) -> None:
    """Pass on what the process writes until it is over."""
    while True:
        await _ready(handle, asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader)
        try:
            data = os.read(handle, _CHUNK_BYTES)
        except BlockingIOError:
            continue
        except OSError:
            return  # a terminal whose other side is closed
        if not data:
            return
        await _tell(socket, channel, data)


async def _write(handle: int, data: bytes) -> None:
    loop = asyncio.get_running_loop()
    while data:
        try:
            data = data[os.write(handle, data) :]
        except BlockingIOError:
            await _ready(handle, loop.add_writer, loop.remove_writer)
        except OSError:
            return  # nobody reads it any more


async def _ready(handle: int, add: Callable[..., object], remove: Callable[[int], object]) -> None:
    ready = asyncio.Event()
    add(handle, ready.set)
    try:
        await ready.wait()
    finally:
        remove(handle)


async def _tell(socket: web.WebSocketResponse, channel: int, data: bytes) -> None:
    with contextlib.suppress(ConnectionError, RuntimeError):
        await socket.send_bytes(bytes([channel]) + data)
