"""Leftovers of a killed stack are found by its owner's pid; no other file is touched."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

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


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    process.wait()
    return process.pid


def test_shared_memory_of_a_replica_is_closed_to_other_users(places: tuple[Path, Path]) -> None:
    """Triton makes it readable for all; that of other programs stays as it is."""
    shared, _ = places
    for name in ("loadgen-7-a_1", "loadgen-7-b_1"):
        (shared / name).touch()
        (shared / name).chmod(0o644)
    leftovers.close_shared_memory("loadgen-7-a_", shared)
    assert [(shared / name).stat().st_mode & 0o777 for name in ("loadgen-7-a_1", "loadgen-7-b_1")] == [0o600, 0o644]


def test_only_leftovers_of_dead_owners_are_removed(places: tuple[Path, Path]) -> None:
    """Shared memory and folders of a running owner and of other programs stay."""
    shared, temporary = places
    dead, alive = leftovers.prefix(dead_pid()), leftovers.prefix(os.getpid())
    stay = [shared / f"{alive}x_region", shared / "sem.other", shared / "loadgen-x", temporary / "loadgen-notes.txt"]
    for path in [*stay, shared / f"{dead}x_region"]:
        path.write_text("")
    folder = temporary / f"{dead}abc"
    (folder / "prometheus").mkdir(parents=True)
    own = leftovers.make_work_folder(os.getpid())
    assert own.parent == temporary
    leftovers.sweep_dead()
    assert sorted([*shared.iterdir(), *temporary.iterdir()]) == sorted([*stay, own])


def test_sweep_of_one_owner(places: tuple[Path, Path]) -> None:
    """A stack removes only its own leftovers, even if another pid begins with the same digits."""
    shared, _ = places
    for name in ("loadgen-12-x", "loadgen-123-x"):
        (shared / name).write_text("")
    leftovers.sweep(leftovers.prefix(12))
    assert [path.name for path in shared.iterdir()] == ["loadgen-123-x"]
