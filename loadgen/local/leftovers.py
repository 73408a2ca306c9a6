"""Removes shared memory and temporary files that a killed stack left on the machine.

Servers keep shared memory in /dev/shm; Prometheus and the models keep files in a temporary folder. The names of both
carry the pid of the process that owns the stack, so those of another stack or program are never touched.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from loadgen.base.processes import alive

_NAME = re.compile(r"loadgen-(\d+)-")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 not a temporary file: where the kernel keeps shared memory


def prefix(owner: int) -> str:
    """Return the prefix of all names that the stack of this process gives to shared memory and folders."""
    return f"loadgen-{owner}-"


def make_work_folder(owner: int) -> Path:
    """Make a private temporary folder for the stack of this process."""
    return Path(tempfile.mkdtemp(prefix=prefix(owner)))


def sweep(name_prefix: str) -> None:
    """Remove everything whose name has this prefix; call it when no process uses it any more."""
    for path in list(_leftovers()):
        if path.name.startswith(name_prefix):
            _remove(path)


def sweep_dead() -> None:
    """Remove what stacks left whose owner is dead."""
    for path in list(_leftovers()):
        match = _NAME.match(path.name)
        if match and not alive(int(match[1])):
            _remove(path)


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
