"""The cache of downloaded programs: complete folders, locks, full disks, and the steps of a build."""

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from loadgen.base.errors import StackError
from loadgen.programs.cache import cache_dir, ensure_cached, file_lock, run_step
from support.programs import program


def test_the_cache_follows_the_xdg_variable_when_it_is_absolute(monkeypatch, tmp_path):
    """A relative XDG_CACHE_HOME is ignored, as the specification says."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "triton-loadgen"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_dir() == Path("/home/someone/.cache/triton-loadgen")


def test_a_complete_folder_is_not_built_again(tmp_path):
    """The second call only returns the folder."""
    built = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "program").touch()

    for _ in range(2):
        assert ensure_cached("p", ("program",), build, needs_bytes=0, cache=tmp_path) == tmp_path / "p"
    assert len(built) == 1


def test_an_incomplete_folder_is_built_again(tmp_path):
    """Files of the old folder and of an interrupted build are removed."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p/old").touch()
    (tmp_path / "p.partial-killed").mkdir()
    ensure_cached("p", ("program",), lambda folder: (folder / "program").touch(), needs_bytes=0, cache=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p", "p.lock"]
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == [".manifest", "program"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_interrupted_build_leaves_nothing_that_looks_finished(tmp_path, interruption):
    """Ctrl-C, exit and an error all leave only the lock file."""

    def build(folder: Path) -> None:
        (folder / "program").touch()
        raise interruption

    with pytest.raises(interruption):
        ensure_cached("p", ("program",), build, needs_bytes=0, cache=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["p.lock"]


def test_a_process_that_ends_during_a_build_leaves_nothing(tmp_path):
    """The local stack builds in a daemon thread, which dies with it: the program it runs and its folder are removed."""
    code = f"""
import threading, time
from pathlib import Path
from loadgen.programs.cache import ensure_cached, run_step

cache = Path({str(tmp_path)!r})
step = "echo $$ > pid; touch half; mv pid {tmp_path}/pid; sleep 600"

def build(folder):
    run_step(["/bin/sh", "-c", step], what="wait", timeout_s=600, cwd=folder)

threading.Thread(target=ensure_cached, args=("p", ("program",), build), kwargs={{"needs_bytes": 0, "cache": cache}},
                 daemon=True).start()
while not (cache / "pid").exists():
    time.sleep(0.01)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.lock", "pid"]
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_build_without_the_expected_file_is_refused(tmp_path):
    """The message names the missing file."""
    with pytest.raises(StackError, match="lacks program"):
        ensure_cached("p", ("program",), lambda folder: None, needs_bytes=0, cache=tmp_path)
    assert not (tmp_path / "p").exists()


def test_two_runs_at_once_build_once(tmp_path, lines):
    """The other runs wait, report it, and use the result."""
    built, results = [], []

    def build(folder: Path) -> None:
        built.append(folder)
        time.sleep(0.5)
        (folder / "program").touch()

    def run() -> None:
        results.append(ensure_cached("p", ("program",), build, needs_bytes=0, cache=tmp_path, progress=lines.append))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [tmp_path / "p"] * 3
    assert len(built) == 1
    assert "waiting for another run" in lines[0]


def test_waiting_for_a_lock_has_a_time_limit(tmp_path, lines):
    """The message says that another run holds the lock."""
    with (
        file_lock(tmp_path / "p.lock", timeout_s=1),
        pytest.raises(StackError, match="Another run has been fetching"),
    ):
        ensure_cached(
            "p", ("x",), lambda folder: None, needs_bytes=0, cache=tmp_path, lock_timeout_s=0.3, progress=lines.append
        )


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    """The kernel releases the lock, so no stale lock remains."""
    code = (
        "import sys, time; from pathlib import Path; from loadgen.programs.cache import file_lock\n"
        f"with file_lock(Path({str(tmp_path / 'l')!r}), timeout_s=1):\n  print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        process.kill()
    with file_lock(tmp_path / "l", timeout_s=0):
        pass


def test_too_little_space_is_refused_before_any_download(tmp_path):
    """The message has the required space and the variable that moves the cache."""

    def build(folder: Path) -> None:
        raise AssertionError

    with pytest.raises(
        StackError, match=r"disk that holds .* is full: free 1000000000 GB there, or set XDG_CACHE_HOME"
    ):
        ensure_cached("p", ("x",), build, needs_bytes=10**18, cache=tmp_path)


def test_a_disk_that_fills_up_during_the_build_gives_the_same_message(tmp_path):
    """The incomplete folder is removed."""

    def build(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StackError, match="is full"):
        ensure_cached("p", ("x",), build, needs_bytes=0, cache=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["p.lock"]


def test_an_installer_on_a_full_disk_gives_the_same_message(tmp_path):
    """The installer's own output is recognized."""
    full = program(tmp_path, "full", "echo 'error: failed to write: No space left on device (os error 28)' >&2; exit 2")

    def build(folder: Path) -> None:
        run_step([full], what="install it", timeout_s=5)

    with pytest.raises(StackError, match="is full"):
        ensure_cached("p", ("x",), build, needs_bytes=0, cache=tmp_path / "cache")


def test_a_read_only_cache_gives_a_message_with_the_variable_to_set(tmp_path):
    """XDG_CACHE_HOME moves the cache."""
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"Cannot write to the cache .*set XDG_CACHE_HOME"):
        ensure_cached("p", ("x",), lambda folder: None, needs_bytes=0, cache=tmp_path / "file/cache")


def test_a_failed_step_is_reported_with_its_reason(tmp_path):
    """The reason is the end of standard error."""
    failing = program(tmp_path, "failing", "echo noise; echo 'No solution found' >&2; exit 3")
    with pytest.raises(StackError, match=r"Could not install it: No solution found"):
        run_step([failing], what="install it", timeout_s=5)


def test_a_step_that_hangs_is_killed_and_reported(tmp_path, lines):
    """Progress is reported while it runs."""
    started = time.monotonic()
    with pytest.raises(StackError, match="gave up after 1 s"):
        run_step(["/bin/sleep", "60"], what="wait", timeout_s=1, progress=lines.append, every_s=0.4)
    assert time.monotonic() - started < 10
    assert lines
    assert "still busy: wait" in lines[0]


def test_a_missing_program_is_reported(tmp_path):
    """The message says that it did not start."""
    with pytest.raises(StackError, match="did not start"):
        run_step([tmp_path / "missing"], what="do it", timeout_s=1)


def test_a_user_without_a_home_folder(monkeypatch):
    """As in a container with an arbitrary user id: the sentence names the variables, and XDG_CACHE_HOME is enough."""

    def no_entry(path):
        return path

    monkeypatch.setattr(os.path, "expanduser", no_entry)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(StackError, match=r"has no home folder .*set XDG_CACHE_HOME, or HOME"):
        cache_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert cache_dir() == Path("/var/cache/me/triton-loadgen")
