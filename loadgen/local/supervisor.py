"""Starts the local stack, outlives it, and cleans up after it even when the stack is killed.

    python -m loadgen.local.supervisor RUN_FOLDER        (standard input: the lifeline from the parent process)

When the stack dies, its child processes become children of this process, which kills them and then removes shared
memory and temporary folders. In normal operation it imports only the standard library, so almost nothing but SIGKILL
can end it early; in that case the stack shuts down in order through its own lifeline.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

from loadgen.base.processes import Child, adopt_orphans, children_of, kill_descendants, lifeline_cut, spawn
from loadgen.local.environments import remove_environment_folders
from loadgen.local.leftovers import make_work_folder, sweep, sweep_dead

STOP_WITHIN_S = 20.0
_POLL_S = 0.2


def supervise(run: Path) -> int:
    """Run the stack of a run folder until it ends, a signal arrives, or the parent process ends.

    Returns:
        The stack's exit code.
    """
    stop_signals: list[int] = []
    child_signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: stop_signals.append(received))
    signal.signal(signal.SIGCHLD, lambda received, _: child_signals.append(received))
    adopt_orphans()
    sweep_dead()
    work = make_work_folder(os.getpid())
    stack = None
    code: int | None = None
    try:
        stack = spawn(
            [sys.executable, "-m", "loadgen.local.stack", run, work],
            log=run / "logs" / "stack.log",
            lifeline=True,
            parent_death_signal=signal.SIGTERM,
        )
        while not stop_signals and stack.poll() is None and not lifeline_cut(_POLL_S):
            if child_signals:
                child_signals.clear()
                _reap_orphans(stack)
        code = stack.stop(STOP_WITHIN_S)
    finally:
        if stack is not None:
            stack.kill()
        kill_descendants()
        sweep(work.name)
        remove_environment_folders(run / "logs")
    if code is None or code < 0:
        _record_kill(run, code)
    return 4 if code is None else abs(code)


def _reap_orphans(stack: Child) -> None:
    for pid in children_of(os.getpid()):
        if pid != stack.pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _record_kill(run: Path, code: int | None) -> None:
    """Record that the stack was killed, which it could not record by itself."""
    from dataclasses import replace

    from loadgen.base.errors import LoadgenError
    from loadgen.dataset.events import Event
    from loadgen.dataset.folder import RunFolder
    from loadgen.dataset.names import EventKind
    from loadgen.dataset.stack import StackFolder

    sentence = f"the process of the local stack was killed (exit code {code}): read {run}/logs/stack.log"
    record = StackFolder(run)
    with contextlib.suppress(LoadgenError):
        record.write(replace(record.read(), phase="failed", error=sentence, replicas=(), desired=0))
        data = {"part": "stack", "exit_code": code}
        now_s = RunFolder(run).read_info().clock.now_s()
        record.emit(Event(now_s, EventKind.PART_DIED, message=sentence, data=data))


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1])))
