"""Child processes that never outlive their parent, on any way out: end, Ctrl-C, SIGTERM, crash, SIGKILL.

Two belts. A *lifeline* is a pipe whose writing end only the parent holds: when the parent is gone, however it went,
the kernel closes that end, the child reads the end of its standard input and shuts down in order. For a program that
knows nothing of lifelines, the kernel sends it a signal at the death of the thread that started it.

Every child leads a session of its own, so Ctrl-C in a terminal reaches the parent alone, and the parent decides.
Nothing here starts a thread or forks in Python, so it also works in a process patched by gevent.
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

# Runs between fork and the program. A `preexec_fn` would do the same, but Python code after a fork may deadlock in a
# process with threads. The parent may have died before prctl(): then nobody would ever send the signal.
_LAUNCHER = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, int(sys.argv[2]), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(0)
os.execv(sys.argv[3], sys.argv[3:])
"""

_lifelines: set[int] = set()


def _cut_lifelines_of_a_fork() -> None:
    """A forked copy of this process must not keep alive what the original started."""
    for end in _lifelines:
        with contextlib.suppress(OSError):
            os.close(end)
    _lifelines.clear()


os.register_at_fork(after_in_child=_cut_lifelines_of_a_fork)


class Child:
    """A process that this one started, leader of its own session; made by `spawn`.

    Attributes:
        name: File name of the program.
        pid: Process id, and id of its session and process group.
        log: Where its output goes.
    """

    def __init__(self, popen: "subprocess.Popen[bytes]", *, name: str, log: Path, lifeline: int | None) -> None:
        self._popen = popen
        self._lifeline = lifeline
        self.name = name
        self.pid = popen.pid
        self.log = log

    def poll(self) -> int | None:
        """Exit code (negative: the signal that ended it), or None while it runs."""
        code: int | None = self._popen.poll()
        return code

    def wait(self, timeout_s: float) -> int | None:
        """Exit code, or None when it still runs after `timeout_s`."""
        try:
            code: int = self._popen.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return code

    def terminate(self) -> None:
        """Ask it to end (SIGTERM); does nothing when it has ended."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and every process of its group at once (SIGKILL), also what a dead leader left behind."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._cut()

    def stop(self, grace_s: float) -> int | None:
        """End it: SIGTERM, `grace_s` seconds to comply, then SIGKILL for it and its group.

        Returns:
            Exit code; None if even SIGKILL did not end it (a process stuck in the kernel).
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

    def _cut(self) -> None:
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
        log: File that receives standard output and error, appended to.
        lifeline: Give it a lifeline as standard input (see `lifeline_cut`); otherwise standard input is empty.
        parent_death_signal: Signal from the kernel when the calling *thread* ends (Linux): only from a thread that
            lives as long as the process.
        env: Its whole environment; None passes ours on.
        cwd: Its working directory; None keeps ours.

    Raises:
        StackError: the program or the log file cannot be used.
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
    """File descriptor of this process's lifeline: standard input when it is a pipe, None when there is none."""
    try:
        return 0 if stat.S_ISFIFO(os.fstat(0).st_mode) else None
    except OSError:
        return None


def lifeline_cut(timeout_s: float = 0.0) -> bool:
    """Wait up to `timeout_s` for the parent to go; True as soon as it is gone, False without a lifeline."""
    end = lifeline_fd()
    if end is None:
        time.sleep(timeout_s)
        return False
    readable, _, _ = select.select([end], [], [], timeout_s)
    return bool(readable) and os.read(end, 64) == b""


def adopt_orphans() -> None:
    """Make this process the one that inherits orphaned descendants (Linux), so that it can end them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_descendants(within_s: float = _KILLED_WITHIN_S) -> None:
    """End every descendant at once (SIGKILL), those adopted included, and reap them (Linux)."""
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
    """Process ids of the direct children of a process, as /proc says."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _stat(pid)[1:2] == [str(parent)]]


def alive(pid: int) -> bool:
    """Whether a process of this id runs; one that has ended and only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _stat(pid)[:1] != ["Z"]


def _stat(pid: int) -> list[str]:
    """State, parent and so on of a process as /proc says; empty without such a process, or without /proc."""
    try:
        # the program's name stands in parentheses and may itself hold spaces and parentheses
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
