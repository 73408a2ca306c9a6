"""Starts child processes that never outlive their parent, even if it is killed.

There are two mechanisms. A *lifeline* is a pipe whose write end only the parent has. When the parent ends for any
reason, the kernel closes that end, and the child reads the end of its standard input and shuts down in order. A program
that does not support lifelines instead gets a signal from the kernel when the thread that started it ends.

Every child leads a session of its own, so Ctrl-C in a terminal reaches only the parent, which stops its children. This
module starts no thread and does not fork in Python, so it also works in a process patched by gevent.
"""

import contextlib
import ctypes
import os
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadgen.base.errors import StackError

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KILLED_WITHIN_S = 10.0

# Runs between the fork and the program. A `preexec_fn` would do the same, but Python code after a fork can deadlock in
# a process with threads. If the parent has ended before prctl(), the kernel would never send the signal.
_LAUNCHER = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, int(sys.argv[2]), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(0)
os.execv(sys.argv[3], sys.argv[3:])
"""

_lifelines: set[int] = set()


def _close_lifelines_after_fork() -> None:
    """Close the lifelines in a forked copy of this process, which must not keep the children alive."""
    for end in _lifelines:
        with contextlib.suppress(OSError):
            os.close(end)
    _lifelines.clear()


os.register_at_fork(after_in_child=_close_lifelines_after_fork)


class Child:
    """A child process, leader of its own session; `spawn` creates it.

    Attributes:
        name: File name of the program.
        pid: Process id, which is also the id of its session and process group.
        log: File with its output.
    """

    def __init__(self, popen: "subprocess.Popen[bytes]", *, name: str, log: Path, lifeline: int | None) -> None:
        self._popen = popen
        self._lifeline = lifeline
        self.name = name
        self.pid = popen.pid
        self.log = log

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), or None while the process runs."""
        code: int | None = self._popen.poll()
        return code

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit code, or None if the process still runs after `timeout_s`."""
        try:
            code: int = self._popen.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return code

    def terminate(self) -> None:
        """Send SIGTERM, unless the process has ended."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to its process group, also if the leader has ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._close_lifeline()

    def stop(self, grace_s: float) -> int | None:
        """Stop the process: SIGTERM, then after `grace_s` seconds SIGKILL for its process group.

        Returns:
            The exit code; None if even SIGKILL did not end the process, because it is stuck in the kernel.
        """
        self.terminate()
        try:
            self.wait(grace_s)
        finally:
            self.kill()
        return self.wait(_KILLED_WITHIN_S)

    def _signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._popen.send_signal(number)

    def _close_lifeline(self) -> None:
        if self._lifeline in _lifelines:
            _lifelines.discard(self._lifeline)
            os.close(self._lifeline)
        self._lifeline = None


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    lifeline: bool = False,
    parent_death_signal: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start a program in a session of its own.

    Args:
        command: Absolute path of the program, then its arguments.
        log: File to which standard output and error are appended.
        lifeline: Whether standard input is a lifeline (see `lifeline_cut`); otherwise it is empty.
        parent_death_signal: Signal that the kernel sends when the calling *thread* ends (Linux). Use it only in a
            thread that lives as long as the process.
        env: The whole environment of the process; None inherits ours.
        cwd: Its working directory; None inherits ours.

    Raises:
        StackError: The program cannot be started, or the log file cannot be written.
    """
    program, *arguments = (str(part) for part in command)
    if not (Path(program).is_absolute() and os.access(program, os.X_OK) and Path(program).is_file()):
        raise StackError(f"cannot start {program}: it is not the absolute path of a program; check the installation")
    full = [program, *arguments]
    if parent_death_signal is not None and sys.platform == "linux":
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(int(parent_death_signal))]
        full = [*launcher, *full]
    read_end, write_end = os.pipe() if lifeline else (None, None)
    try:
        with log.open("ab") as output:
            popen = subprocess.Popen(
                full,
                stdin=subprocess.DEVNULL if read_end is None else read_end,
                stdout=output,
                stderr=subprocess.STDOUT,
                close_fds=True,
                start_new_session=True,
                env=None if env is None else dict(env),
                cwd=cwd,
            )
    except OSError as error:
        if write_end is not None:
            os.close(write_end)
        raise StackError(f"cannot start {program} ({error.strerror}, log {log}); free resources and retry") from error
    finally:
        if read_end is not None:
            os.close(read_end)
    if write_end is not None:
        _lifelines.add(write_end)
    return Child(popen, name=Path(program).name, log=log, lifeline=write_end)


def lifeline_fd() -> int | None:
    """Return the file descriptor of this process's lifeline: standard input if it is a pipe, else None."""
    try:
        return 0 if stat.S_ISFIFO(os.fstat(0).st_mode) else None
    except OSError:
        return None


def lifeline_cut(timeout_s: float = 0.0) -> bool:
    """Wait up to `timeout_s`; return True as soon as the parent has ended, and False without a lifeline."""
    end = lifeline_fd()
    if end is None:
        time.sleep(timeout_s)
        return False
    readable, _, _ = select.select([end], [], [], timeout_s)
    return bool(readable) and os.read(end, 64) == b""


def die_with_parent() -> None:
    """Let the kernel kill this process when the thread that forked it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def adopt_orphans() -> None:
    """Make orphaned descendants children of this process (Linux), so that it can kill them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_descendants(within_s: float = _KILLED_WITHIN_S) -> None:
    """Kill and reap all descendants, adopted ones included (Linux)."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        for pid in children_of(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not reaped:
            time.sleep(0.01)


def children_of(parent: int) -> list[int]:
    """Return the process ids of the direct children of a process, from /proc."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _stat(pid)[1:2] == [str(parent)]]


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended but is not reaped yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _stat(pid)[:1] != ["Z"]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the state on; empty without such a process or /proc."""
    try:
        # The program's name is in parentheses and can contain spaces and parentheses.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
