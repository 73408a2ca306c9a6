"""Starts what `container.py` turns into a pod's and a container's processes, and waits for their end by pidfd.

The kernel kills each of them with the kubelet, and with a container's first process all of its PID namespace. Every
process is started from the event loop's thread: the death signal follows the thread.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loadgen.base.errors import LoadgenError

LAUNCHER = Path(__file__).with_name("launcher.py")
_START_TIMEOUT_S = 30.0


class StartError(LoadgenError):
    """A container, or a process in one, could not be started; the sentence goes to its status."""


class Process:
    """A child of this process, by its id.

    Attributes:
        pid: Process id.
        code: Exit code once it has ended (negative: the signal that ended it).
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None
        self._ended = asyncio.Event()
        self._handle = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._handle, self._reap)

    async def wait(self) -> int:
        """Exit code, when it has ended."""
        await self._ended.wait()
        assert self.code is not None, "ended without a code"
        return self.code

    async def ended_within(self, timeout_s: float) -> bool:
        """Whether it ends within a time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
        return self._ended.is_set()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; does nothing when it has ended."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        try:
            _, status = os.waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            self.code = 255
        self._ended.set()


@dataclass(slots=True)
class _Pipes:
    """The three pipes to a launcher, from this side."""

    started: int
    go: int
    fault: int
    theirs: tuple[int, int, int]

    @classmethod
    def open(cls) -> "_Pipes":
        started, their_started = os.pipe()
        their_go, go = os.pipe()
        fault, their_fault = os.pipe()
        os.set_blocking(started, False)
        os.set_blocking(fault, False)
        return cls(started, go, fault, (their_started, their_go, their_fault))

    def close_theirs(self) -> None:
        for handle in self.theirs:
            os.close(handle)

    def close(self) -> None:
        for handle in (self.started, self.go, self.fault):
            os.close(handle)


def _spawn(mode: str, spec_file: Path, pipes: _Pipes, stdio: tuple[int, int, int]) -> Process:
    stdin, stdout, stderr = stdio
    command = [sys.executable, "-I", "-S", str(LAUNCHER), mode, str(spec_file), *map(str, pipes.theirs)]
    try:
        popen = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pipes.theirs, env={}, close_fds=True
        )
    except OSError as error:
        raise StartError(f"cannot start a process: {error.strerror}") from error
    finally:
        pipes.close_theirs()
    popen.returncode = 0  # reaped by Process: keeps Popen from waiting for it
    return Process(popen.pid)


def _write_spec(spec_file: Path, spec: Mapping[str, Any]) -> None:
    spec_file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(spec_file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(spec, file)


async def hold_namespaces(spec: Mapping[str, Any], spec_file: Path, wire: "Wire", log: int) -> Process:
    """Start a pod's pause process.

    Args:
        spec: What `container.pause` reads.
        spec_file: Where to write it.
        wire: Called with the process id when its namespaces exist; connects the network.
        log: File that its faults go to.

    Raises:
        StartError: the namespaces could not be made or wired.
    """
    _write_spec(spec_file, spec)
    pipes = _Pipes.open()
    process = _spawn("pause", spec_file, pipes, (subprocess.DEVNULL, log, log))
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            if not await _line(pipes.started):
                raise StartError(await _fault(pipes.fault) or "the pod's namespaces could not be made")
            await wire(process.pid)
            os.write(pipes.go, b"+")
            fault = await _fault(pipes.fault)
            if fault:
                raise StartError(fault)
    except BaseException as error:
        process.send(signal.SIGKILL)
        if isinstance(error, TimeoutError):
            raise StartError(f"the pod's namespaces were not made within {_START_TIMEOUT_S:.0f} s") from error
        if isinstance(error, OSError):
            raise StartError(f"the process that holds the pod's namespaces is gone ({error.strerror})") from error
        raise
    finally:
        pipes.close()
    return process


async def start_inside(
    mode: Literal["run", "exec"], spec: Mapping[str, Any], spec_file: Path, stdio: tuple[int, int, int]
) -> Process:
    """Start a container's first process, or one more process in a container; returns when its program was executed.

    Args:
        mode: `run` for a container, which gets a PID namespace of its own, `exec` for one more process.
        spec: What `container.run` or `container.execute` reads.
        spec_file: Where to write it; holds secrets, and is taken away afterwards.
        stdio: File descriptors of its input, output and error output.

    Raises:
        StartError: it could not be made, or its program not be executed.
    """
    _write_spec(spec_file, spec)
    pipes = _Pipes.open()
    process: Process | None = None
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            launcher = _spawn(mode, spec_file, pipes, stdio)
            told = await _line(pipes.started)
            await launcher.wait()
            if not told:
                raise StartError(await _fault(pipes.fault) or "the process could not be made")
            process = Process(int(told))
            os.write(pipes.go, b"+")
            fault = await _fault(pipes.fault)
            if fault:
                await process.wait()
                raise StartError(fault)
    except BaseException as error:
        if process:
            process.send(signal.SIGKILL)
        if isinstance(error, TimeoutError):
            raise StartError(f"the process was not started within {_START_TIMEOUT_S:.0f} s") from error
        if isinstance(error, OSError):
            raise StartError(f"the container is gone ({error.strerror})") from error
        raise
    finally:
        pipes.close()
        spec_file.unlink(missing_ok=True)
    return process


class Wire:
    """Connects a pod's network to its node; called with the process id that holds the pod's namespaces."""

    async def __call__(self, pid: int) -> None:
        """Connect it; the host's network needs no wire."""


async def _readable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(handle, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(handle)


async def _line(handle: int) -> str:
    """The next line from a pipe; empty at its end."""
    read = b""
    while not read.endswith(b"\n"):
        await _readable(handle)
        chunk = os.read(handle, 64)
        if not chunk:
            return ""
        read += chunk
    return read.decode().strip()


async def _fault(handle: int) -> str:
    """What a launcher says before it closes the pipe; empty when it executed its program."""
    read = b""
    while True:
        await _readable(handle)
        chunk = os.read(handle, 4096)
        if not chunk:
            return read.decode(errors="replace")
        read += chunk
