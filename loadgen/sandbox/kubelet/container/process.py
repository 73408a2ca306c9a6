"""Starts the processes of pods and containers through `launcher.py`, and waits for their exit by pidfd.

The kernel kills each of them with the kubelet, and a container's whole PID namespace with its first process. The
parent-death signal is tied to the thread that starts a process, so all are started on the event loop's thread.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loadgen.base.errors import LoadgenError

LAUNCHER = Path(__file__).with_name("launcher.py")
_START_TIMEOUT_S = 30.0


class StartError(LoadgenError):
    """A container or a process in a container could not be started."""


class Process:
    """A child process, by its id.

    Attributes:
        pid: Process id.
        code: Exit code; negative: the signal that killed it; None while it runs.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None
        self._exited = asyncio.Event()
        self._pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    async def wait(self) -> int:
        """Wait for the exit and return the exit code."""
        await self._exited.wait()
        assert self.code is not None, "exited without a code"
        return self.code

    async def exited_within(self, timeout_s: float) -> bool:
        """Wait for the exit, at most `timeout_s` seconds; return whether it has exited."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._exited.wait()
        return self._exited.is_set()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has exited."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        try:
            _, status = os.waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            self.code = 255
        self._exited.set()


@dataclass(slots=True)
class _Pipes:
    """The three pipes to a launcher.

    Attributes:
        started: Read end of the pipe with the process id.
        go: Write end of the pipe that the process waits for.
        error: Read end of the pipe with the error message.
        child_ends: The launcher's ends of the pipes, in the same order.
    """

    started: int
    go: int
    error: int
    child_ends: tuple[int, int, int]

    @classmethod
    def open(cls) -> "_Pipes":
        started, child_started = os.pipe()
        child_go, go = os.pipe()
        error, child_error = os.pipe()
        os.set_blocking(started, False)
        os.set_blocking(error, False)
        return cls(started, go, error, (child_started, child_go, child_error))

    def close_child_ends(self) -> None:
        for handle in self.child_ends:
            os.close(handle)

    def close(self) -> None:
        for handle in (self.started, self.go, self.error):
            os.close(handle)


def _spawn(mode: str, spec_file: Path, pipes: _Pipes, stdio: tuple[int, int, int]) -> Process:
    stdin, stdout, stderr = stdio
    command = [sys.executable, "-I", "-S", str(LAUNCHER), mode, str(spec_file), *map(str, pipes.child_ends)]
    try:
        popen = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pipes.child_ends, env={}, close_fds=True
        )
    except OSError as error:
        raise StartError(f"cannot start a process: {error.strerror}") from error
    finally:
        pipes.close_child_ends()
    popen.returncode = 0  # `Process` reaps it; keeps Popen from waiting for it
    return Process(popen.pid)


def _write_spec(spec_file: Path, spec: Mapping[str, Any]) -> None:
    spec_file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(spec_file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(spec, file)


async def start_pause(
    spec: Mapping[str, Any], spec_file: Path, log: int, connect: Callable[[int], Awaitable[None]] | None = None
) -> Process:
    """Start a pod's pause process, which holds the pod's namespaces.

    Args:
        spec: The spec that `launcher.pause` reads.
        spec_file: Where the spec is written.
        log: File descriptor of its log.
        connect: Connects the network of a process id once its namespaces exist; None in the host's network.

    Raises:
        StartError: the namespaces could not be created or connected.
    """
    _write_spec(spec_file, spec)
    pipes = _Pipes.open()
    process = _spawn("pause", spec_file, pipes, (subprocess.DEVNULL, log, log))
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            if not await _read_line(pipes.started):
                raise StartError(await _read_all(pipes.error) or "the pod's namespaces could not be created")
            if connect:
                await connect(process.pid)
            os.write(pipes.go, b"+")
            message = await _read_all(pipes.error)
            if message:
                raise StartError(message)
    except BaseException as error:
        process.send(signal.SIGKILL)
        if isinstance(error, TimeoutError):
            raise StartError(f"the pod's namespaces were not created within {_START_TIMEOUT_S:.0f} s") from error
        if isinstance(error, OSError):
            raise StartError(f"the pod's pause process has exited ({error.strerror})") from error
        raise
    finally:
        pipes.close()
    return process


async def start_process(
    mode: Literal["run", "exec"], spec: Mapping[str, Any], spec_file: Path, stdio: tuple[int, int, int]
) -> Process:
    """Start a process of a container; returns when its program has been executed.

    Args:
        mode: `run` for the first process, in a new PID namespace; `exec` for a further process.
        spec: The spec that `launcher.run` or `launcher.execute` reads.
        spec_file: Where the spec is written; it holds secrets and is deleted afterwards.
        stdio: File descriptors of standard input, output and error.

    Raises:
        StartError: the process could not be created, or its program could not be executed.
    """
    _write_spec(spec_file, spec)
    pipes = _Pipes.open()
    process: Process | None = None
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            launcher = _spawn(mode, spec_file, pipes, stdio)
            pid = await _read_line(pipes.started)
            await launcher.wait()
            if not pid:
                raise StartError(await _read_all(pipes.error) or "the process could not be created")
            process = Process(int(pid))
            os.write(pipes.go, b"+")
            message = await _read_all(pipes.error)
            if message:
                await process.wait()
                raise StartError(message)
    except BaseException as error:
        if process:
            process.send(signal.SIGKILL)
        if isinstance(error, TimeoutError):
            raise StartError(f"the process was not started within {_START_TIMEOUT_S:.0f} s") from error
        if isinstance(error, OSError):
            raise StartError(f"the container has exited ({error.strerror})") from error
        raise
    finally:
        pipes.close()
        spec_file.unlink(missing_ok=True)
    return process


async def _readable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(handle, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(handle)


async def _read_line(handle: int) -> str:
    """Read the next line from a pipe; empty at its end."""
    line = b""
    while not line.endswith(b"\n"):
        await _readable(handle)
        chunk = os.read(handle, 64)
        if not chunk:
            return ""
        line += chunk
    return line.decode().strip()


async def _read_all(handle: int) -> str:
    """Read a pipe to its end; the error pipe is empty when the program was executed."""
    text = b""
    while True:
        await _readable(handle)
        chunk = os.read(handle, 4096)
        if not chunk:
            return text.decode(errors="replace")
        text += chunk
