"""Local stacks in containers that share temporary folder and shared memory, but see no processes of each other.

Needs `unshare` and user namespaces, and fails without them: `sysctl -w kernel.unprivileged_userns_clone=1`, or run as
root in a container that may make namespaces (`--cap-add SYS_ADMIN`).
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMESPACES = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
# What a supervisor does first, then the memory of a server
STACK = """
import os, sys, tempfile
from pathlib import Path
from loadgen.local import leftovers
leftovers.SHARED_MEMORY, tempfile.tempdir = Path(sys.argv[1]), sys.argv[2]
while os.getpid() < int(sys.argv[3]):
    if child := os.fork():
        os.waitpid(child, 0)
        os._exit(0)
leftovers.sweep_dead()
work = leftovers.make_work_folder(os.getpid())
(leftovers.SHARED_MEMORY / f"{work.name}-pod_region").touch()
print(os.getpid(), work.name, flush=True)
sys.stdin.read()
"""


class Machine:
    """The folders that the containers share."""

    def __init__(self, folder: Path) -> None:
        self.shared, self.temporary = folder / "shm", folder / "tmp"
        self.shared.mkdir()
        self.temporary.mkdir()

    @contextmanager
    def stack(self, pid: int = 1) -> Iterator[str]:
        """Run a stack in a PID namespace of its own until the end of the block; yields its name."""
        command = [*NAMESPACES, sys.executable, "-c", STACK, str(self.shared), str(self.temporary), str(pid)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline().split()
            try:
                assert line[:1] == [str(pid)], f"no PID namespace: {process.communicate()[1]}"
                yield line[1]
            finally:
                process.communicate(timeout=30)

    def stacks(self) -> set[str]:
        """The stacks that have files on the machine; each has all of its files."""
        names = {path.name for path in self.temporary.iterdir()}
        assert {path.name for path in self.shared.iterdir()} == {
            f"{name}-{file}" for name in names for file in ("lock", "pod_region")
        }
        assert all((self.temporary / name / "lock").exists() for name in names)
        return names


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_stack_leaves_the_files_of_one_in_another_namespace_alone(machine: Machine) -> None:
    """They have no process with its id, or another one: only the lock shows whether it runs."""
    with machine.stack(pid=5) as first:
        with machine.stack() as second:
            assert machine.stacks() == {first, second}
        with machine.stack(pid=3) as third:
            assert machine.stacks() == {first, third}, "the second has ended, and the third removes its files"
    with machine.stack() as fourth:
        assert machine.stacks() == {fourth}
