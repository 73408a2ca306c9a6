"""What the local stack needs of this machine, with the numbers of the file system under the test's control."""

import os
import re
import resource
import tempfile
from argparse import Namespace
from pathlib import Path

import pytest

from loadgen.base.errors import ExitCode, StackError
from loadgen.local import resources
from loadgen.local.engine.profile import load_profile, profile_names
from loadgen.local.engine.repository import render_repository
from loadgen.local.resources import check_files, check_shared_memory, check_space, shared_memory_bytes

DEMO = load_profile("demo")


class Disk:
    """The free space and inodes that file systems report, by folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free: dict[Path, int] = {}
        self.inodes: dict[Path, int] = {}
        monkeypatch.setattr(os, "statvfs", self.statvfs)

    def statvfs(self, folder: Path) -> Namespace:
        free = self.free.get(folder, 1 << 40)
        return Namespace(f_bavail=free, f_frsize=1, f_files=100, f_favail=self.inodes.get(folder, 50))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize("name", profile_names())
def test_every_model_process_has_shared_memory(name: str, tmp_path: Path) -> None:
    """The number of processes is that of the instances in the rendered configurations: one mebibyte for each."""
    profile = load_profile(name)
    render_repository(tmp_path / "models", profile)
    configs = [each.read_text() for each in (tmp_path / "models").glob("*/config.pbtxt")]
    processes = sum(int(count) for text in configs for count in re.findall(r"instance_group \[ \{ count: (\d+)", text))
    assert shared_memory_bytes(profile, 3) == 3 * processes * 1024 * 1024


def test_too_little_shared_memory(disk: Disk, tmp_path: Path) -> None:
    """Needed and free space are named, with what to do; exactly enough is enough."""
    needed = shared_memory_bytes(DEMO, 4)
    disk.free[tmp_path] = needed
    check_space(DEMO, 4, shared_memory=tmp_path)
    disk.free[tmp_path] = 4_000_000
    sentence = f"{tmp_path} has 4.0 MB free, and 4 replicas need {needed / 1e6:.1f} MB: .*--shm-size"
    with pytest.raises(StackError, match=sentence) as caught:
        check_space(DEMO, 4, shared_memory=tmp_path)
    assert caught.value.exit_code == ExitCode.TOOL


def test_shared_memory_that_fills_up(disk: Disk, tmp_path: Path) -> None:
    """During a run the cause is the full folder, not a replica that ends because of it."""
    check_shared_memory(tmp_path)
    disk.free[tmp_path] = 4096
    with pytest.raises(StackError, match=f"{tmp_path} became full during the run \\(0.0 MB free\\).*run again"):
        check_shared_memory(tmp_path)


@pytest.mark.parametrize("present", [False, True])
def test_shared_memory_that_cannot_be_written(present: bool, tmp_path: Path) -> None:
    """The folder is named, also if it does not exist."""
    folder = tmp_path / "shm"
    if present:
        folder = Path("/proc/sys")  # cannot be written by anyone, root included
    with pytest.raises(StackError, match=f"{folder} {'cannot be written' if present else 'does not exist'}, and"):
        check_space(DEMO, 1, shared_memory=folder)


def test_the_folder_for_temporary_files(disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space, no inodes and no folder at all are told apart, and TMPDIR is named."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    disk.inodes[tmp_path] = 0
    with pytest.raises(StackError, match=f"{tmp_path} has no free inodes: delete files there"):
        check_space(DEMO, 1)
    disk.free[tmp_path] = 1_000_000
    with pytest.raises(StackError, match=f"{tmp_path} has 1.0 MB free, .*set TMPDIR"):
        check_space(DEMO, 1)

    def no_folder() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "gettempdir", no_folder)
    with pytest.raises(StackError, match=r"no folder for temporary files .*set TMPDIR"):
        check_space(DEMO, 1)


def test_files_of_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request needs two connections of the gateway; too low a limit is refused with the number that is needed."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    check_files(64)
    with pytest.raises(StackError, match=r"may open 256 files, and 65 requests .*ulimit -n 258"):
        check_files(65)
    assert resources.FILES_OF_SERVER == 128
