"""Ends the processes and removes the shared memory and temporary files that a killed stack left on the machine.

Servers keep shared memory in /dev/shm; Prometheus and the models keep files in a temporary folder. The names of both
begin with the name of the stack's work folder, so those of another stack or program are never touched.

A process id says nothing where containers share these folders: another PID namespace has other processes with the same
ids. So a stack holds a lock in each of the two places, which the kernel releases when its last process has ended for
any reason. What has no lock, or one that is held, is left alone.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r"(loadgen-\d+-[a-z0-9_]{8})(-.*)?")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 not a temporary file: where the kernel keeps shared memory
_held: list[int] = []


def prefix(owner: int) -> str:
    """Return the prefix of all names that the stack of this process gives to shared memory and folders."""
    return f"loadgen-{owner}-"


def make_work_folder(owner: int) -> Path:
    """Make a private temporary folder for the stack of this process, and hold its locks until the process ends."""
    work = Path(tempfile.mkdtemp(prefix=prefix(owner)))
    for lock in _locks(work.parent, work.name):
        # locked before it gets its name: otherwise another stack could find it unlocked
        unnamed = lock.with_name(f".{lock.name}.new")
        with contextlib.suppress(OSError):  # without shared memory, Triton reports the cause
            _held.append(os.open(unnamed, os.O_CREAT | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC, 0o600))
            fcntl.flock(_held[-1], fcntl.LOCK_SH)
            unnamed.rename(lock)
    return work


def hold(work: Path) -> None:
    """Hold the locks of a work folder, too, until this process ends."""
    for lock in _locks(work.parent, work.name):
        with contextlib.suppress(OSError):
            _held.append(os.open(lock, os.O_RDONLY | os.O_CLOEXEC))
            fcntl.flock(_held[-1], fcntl.LOCK_SH)


def sweep(name_prefix: str) -> None:
    """Remove everything whose name has this prefix; call it when no process uses it any more."""
    for path in list(_leftovers()):
        if path.name.startswith(name_prefix):
            _remove(path)


def sweep_dead() -> None:
    """End and remove what stacks left whose processes have ended, as their locks prove."""
    found = (_NAME.fullmatch(path.name) for path in list(_leftovers()))
    for stack in sorted({match[1] for match in found if match}):
        with _owner_is_dead(stack) as dead:
            if dead:
                _end_processes(stack)
                sweep(stack)


def sweep_own(owner: int, *, within_s: float) -> None:
    """End and remove what the stack of a process left, as soon as the processes that hold its locks have ended.

    A process that was killed holds its locks until the kernel has freed its memory.

    Args:
        owner: The supervisor of the stack.
        within_s: Longest wait for these processes.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        sweep_dead()
        if not any(path.name.startswith(prefix(owner)) for path in _leftovers()) or time.monotonic() > deadline_s:
            return
        time.sleep(0.05)


def _locks(temporary: Path, stack: str) -> tuple[Path, Path]:
    return temporary / stack / "lock", SHARED_MEMORY / f"{stack}-lock"


@contextlib.contextmanager
def _owner_is_dead(stack: str) -> Iterator[bool]:
    """Take the locks of a stack; yields False if one is held, or if there is none."""
    taken: list[int] = []
    is_dead = False
    try:
        with contextlib.suppress(OSError):
            for lock in filter(Path.exists, _locks(Path(tempfile.gettempdir()), stack)):
                taken.append(os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))
                fcntl.flock(taken[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_dead = bool(taken)
        yield is_dead
    finally:
        for number in taken:
            os.close(number)


def _end_processes(stack: str) -> None:
    """Kill the processes that have the name of a stack in their command line, as the stubs of Triton's models do."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if re.search(rb"\b" + re.escape(stack.encode()) + rb"[-/]", (entry / "cmdline").read_bytes()):
                    os.kill(int(entry.name), signal.SIGKILL)


def close_shared_memory(shm_prefix: str, folder: Path = SHARED_MEMORY) -> None:
    """Close the shared memory of a replica to other users: Triton makes it readable for all, whatever the umask."""
    for path in folder.glob(f"{shm_prefix}*"):
        with contextlib.suppress(OSError):
            path.chmod(0o600)


def remove_shared_memory(shm_prefix: str, folder: Path = SHARED_MEMORY) -> list[str]:
    """Remove the shared memory that a killed replica left, and return its names.

    Args:
        shm_prefix: The prefix that the replica was started with.
        folder: Where the system keeps shared memory.
    """
    left = sorted(folder.glob(f"{shm_prefix}*"))
    for path in left:
        path.unlink(missing_ok=True)
    return [path.name for path in left]


def _leftovers() -> Iterator[Path]:
    for folder in (SHARED_MEMORY, Path(tempfile.gettempdir())):
        if folder.is_dir():
            yield from folder.glob("loadgen-*")


def _remove(path: Path) -> None:
    # Errors are ignored: the file may belong to another user, or another process may have just removed it.
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
