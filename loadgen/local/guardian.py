"""Starts the local stack and outlives it, so that nothing is left behind even when the stack is killed.

    python -m loadgen.local.guardian RUN_FOLDER        (standard input: the lifeline of whoever starts it)

Every process that the stack starts becomes this one's child when the stack dies, and is ended here; then shared memory
and the temporary folder go. Only the standard library is imported while all is well: this process is small and slow
to anger, so hardly anything but SIGKILL can end it early, and then the stack ends in order by its own lifeline.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

from loadgen.base.processes import Child, adopt_orphans, children_of, kill_descendants, lifeline_cut, spawn
from loadgen.local.leftovers import make_work_folder, prefix, sweep, sweep_dead

STOP_WITHIN_S = 20.0
_POLL_S = 0.2


def guard(run: Path) -> int:
    """Run the stack of a run folder until it ends, or until we are asked to end it or our parent is gone.

    Returns:
        The stack's exit code.
    """
    asked: list[int] = []
    orphans: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: asked.append(received))
    signal.signal(signal.SIGCHLD, lambda received, _: orphans.append(received))
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
        while not asked and stack.poll() is None and not lifeline_cut(_POLL_S):
            if orphans:
                orphans.clear()
                _reap(stack)
        code = stack.stop(STOP_WITHIN_S)
    finally:
        if stack is not None:
            stack.kill()
        kill_descendants()
        sweep(prefix(os.getpid()))
    if code is None or code < 0:
        _record_death(run, code)
    return 4 if code is None else abs(code)


def _reap(stack: Child) -> None:
    for pid in children_of(os.getpid()):
        if pid != stack.pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _record_death(run: Path, code: int | None) -> None:
    """Say in the stack's own record that it was killed: it could not do so itself."""
    from dataclasses import replace

    from loadgen.base.errors import LoadgenError
    from loadgen.dataset.folder import RunFolder
    from loadgen.dataset.names import EventKind
    from loadgen.dataset.stack import StackFolder

    sentence = f"the process of the local stack was ended from outside (exit code {code}): read {run}/logs/stack.log"
    record = StackFolder(run)
    with contextlib.suppress(LoadgenError):
        record.write(replace(record.read(), phase="failed", error=sentence, replicas=(), desired=0))
        data = {"part": "stack", "exit_code": code}
        record.emit(EventKind.PART_DIED, t_s=RunFolder(run).read_info().clock.now_s(), message=sentence, data=data)


if __name__ == "__main__":
    sys.exit(guard(Path(sys.argv[1])))
