"""What a stack that was killed may leave on the machine, named so that it can be found: prefix and owner's pid.

Servers keep shared memory in /dev/shm, Prometheus and the models keep files in a temporary folder. Both carry the pid
of the process that owns the stack, so nothing of another stack, or of another program, is ever touched.
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
    """First part of the name of everything that the stack owned by this process leaves."""
    return f"loadgen-{owner}-"


def make_work_folder(owner: int) -> Path:
    """A new, private temporary folder of this stack."""
    return Path(tempfile.mkdtemp(prefix=prefix(owner)))


def sweep(start_of_name: str) -> None:
    """Remove what has a name of this start; to be called when no process uses it any more."""
    for path in list(_leftovers()):
        if path.name.startswith(start_of_name):
            _remove(path)


def sweep_dead() -> None:
    """Remove what stacks left whose owner is dead."""
    for path in list(_leftovers()):
        match = _NAME.match(path.name)
        if match and not alive(int(match[1])):
            _remove(path)


def _leftovers() -> Iterator[Path]:
    for place in (SHARED_MEMORY, Path(tempfile.gettempdir())):
        if place.is_dir():
            yield from place.glob("loadgen-*")


def _remove(path: Path) -> None:
    # another user's, or just removed by someone else: not ours to complain about
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
