"""Leftovers of a killed stack are found by its locks; no other file or process is touched."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from loadgen.local import leftovers


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    shared, temporary = tmp_path / "shm", tmp_path / "tmp"
    shared.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(leftovers, "SHARED_MEMORY", shared)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return shared, temporary


OWNER = """
import os, sys, tempfile
from pathlib import Path
from loadgen.local import leftovers
leftovers.SHARED_MEMORY, tempfile.tempdir = Path(sys.argv[1]), sys.argv[2]
print(leftovers.make_work_folder(int(sys.argv[3])).name, flush=True)
sys.stdin.read()
"""


@contextmanager
def owner(places: tuple[Path, Path], pid: int) -> Iterator[str]:
    """Yield the name of a work folder, which another process holds until the end of the block."""
    command = [sys.executable, "-c", OWNER, *map(str, places), str(pid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        (places[0] / f"{name}-pod_region").write_text("")
        yield name
        process.kill()


def test_shared_memory_of_a_replica_is_closed_to_other_users(places: tuple[Path, Path]) -> None:
    """Triton makes it readable for all; that of other programs stays as it is."""
    shared, _ = places
    for name in ("loadgen-7-a_1", "loadgen-7-b_1"):
        (shared / name).touch()
        (shared / name).chmod(0o644)
    leftovers.close_shared_memory("loadgen-7-a_", shared)
    assert [(shared / name).stat().st_mode & 0o777 for name in ("loadgen-7-a_1", "loadgen-7-b_1")] == [0o600, 0o644]


def test_only_leftovers_of_dead_owners_are_removed(places: tuple[Path, Path]) -> None:
    """Shared memory and folders of a running owner and of other programs stay, and so does what has no lock."""
    shared, temporary = places
    with owner(places, os.getpid()) as dead:
        pass
    stay = [shared / "sem.other", shared / "loadgen-x", temporary / "loadgen-notes.txt"]
    stay += [shared / "loadgen-1-abcdefgh-region", temporary / "loadgen-1-abcdefgh"]  # of an earlier version
    for path in stay:
        path.write_text("")
    with owner(places, 1) as alive:
        own = leftovers.make_work_folder(os.getpid())
        leftovers.sweep_dead()
        left = {path.name for path in (*shared.iterdir(), *temporary.iterdir())}
    assert (own / "lock").exists()
    assert left == {
        *(path.name for path in stay),
        *(f"{name}{suffix}" for name in (alive, own.name) for suffix in ("", "-lock")),
        f"{alive}-pod_region",
    }
    assert dead not in left


def test_a_process_id_of_another_namespace_proves_nothing(places: tuple[Path, Path]) -> None:
    """A stack that runs elsewhere stays, though here its process id is unknown; one place with its lock is enough."""
    shared, temporary = places
    (temporary / "other").mkdir()
    with owner((shared, temporary / "other"), 4_194_305) as alive:
        leftovers.sweep_dead()
        assert {path.name for path in shared.iterdir()} == {f"{alive}-lock", f"{alive}-pod_region"}
    leftovers.sweep_dead()
    assert list(shared.iterdir()) == []


def test_processes_that_a_dead_stack_left_are_ended(places: tuple[Path, Path]) -> None:
    """They have its name in their command line; those of a running stack and all others stay."""
    sleep = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with owner(places, 7) as dead:
        pass
    with owner(places, 7) as alive:
        names = (f"{dead}-pod_region", f"/tmp/{dead}/models", f"{alive}-pod_region", f"x{dead}y")
        processes = [subprocess.Popen([*sleep, name], stdin=subprocess.PIPE) for name in names]
        try:
            leftovers.sweep_dead()
            assert [process.wait(10) for process in processes[:2]] == [-signal.SIGKILL] * 2
            assert [process.poll() for process in processes[2:]] == [None] * 2
        finally:
            for process in processes:
                process.communicate()


def test_sweep_of_one_owner(places: tuple[Path, Path]) -> None:
    """A stack removes only its own leftovers, even if another pid begins with the same digits."""
    shared, _ = places
    for name in ("loadgen-12-x", "loadgen-123-x"):
        (shared / name).write_text("")
    leftovers.sweep(leftovers.prefix(12))
    assert [path.name for path in shared.iterdir()] == ["loadgen-123-x"]


def test_what_a_killed_stack_left_is_removed_once_its_locks_are_free(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process holds its locks until it has ended."""
    with owner(places, 7) as name:
        leftovers.sweep_own(7, within_s=0.0)
        assert (places[1] / name).is_dir()
        waits = []

        def wait(_: float) -> None:
            waits.append(name)
            holder.kill()
            holder.wait()

        (holder,) = psutil.Process().children()
        monkeypatch.setattr(leftovers.time, "sleep", wait)
        leftovers.sweep_own(7, within_s=60.0)
        assert waits == [name]
        assert [path for place in places for path in place.iterdir()] == []
