"""`loadgen clean`: what it removes from the cache, what it keeps, and what it says."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from loadgen.cli import main
from loadgen.programs.cache import file_lock
from loadgen.programs.go import find_go


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program, an interrupted download, Go's caches and a sandbox, of a megabyte each."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("loadgen.local.clean.sweep_dead", lambda: None)
    cache = tmp_path / "triton-loadgen"
    for name in ("traefik-3", "traefik-3.partial-x", "go-caches", "sandboxes"):
        (cache / name / "bin").mkdir(parents=True)
        (cache / name / "bin/data").write_bytes(b"x" * 1_000_000)
    cache.chmod(0o700)
    return cache


def folders(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if path.is_dir()}


def test_interrupted_downloads_and_caches_of_builds_are_removed(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs stay; each folder has its size and what became of it."""
    assert main(["clean"]) == 0
    assert folders(cache) == {"traefik-3", "sandboxes"}
    assert [line.split() for line in capsys.readouterr().err.splitlines()] == [
        ["1", "MB", "go-caches:", "removed"],
        ["1", "MB", "sandboxes:", "kept,", "end", "a", "sandbox", "with", "`loadgen", "sandbox", "down`"],
        ["1", "MB", "traefik-3:", "kept,", "`loadgen", "clean", "--all`", "removes", "it"],
        ["1", "MB", "traefik-3.partial-x:", "removed"],
        ["freed", "2", "MB,", "kept", "2", "MB", "in", str(cache)],
    ]


def test_all_programs_are_removed(cache: Path) -> None:
    """A sandbox has a command of its own."""
    assert main(["clean", "--all"]) == 0
    assert folders(cache) == {"sandboxes"}


def test_a_program_that_runs_or_is_being_fetched_stays(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line says why."""
    (cache / "sleep-1").mkdir()
    program = shutil.copy(str(shutil.which("sleep")), cache / "sleep-1/sleep")
    with subprocess.Popen([program, "60"]) as process, file_lock(cache / "traefik-3.lock", timeout_s=0):
        assert main(["clean", "--all"]) == 0
        process.kill()
    assert folders(cache) == {"sandboxes", "sleep-1", "traefik-3", "traefik-3.partial-x"}
    err = capsys.readouterr().err
    assert "sleep-1: kept, a process uses it\n" in err
    assert "traefik-3.partial-x: kept, another run is fetching it\n" in err


def test_caches_of_a_build_that_runs_stay(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until its end, also when another build ends before."""
    for name in ("GOPATH", "GOMODCACHE", "GOCACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/go")
    go = find_go(cache=cache)
    other = os.open(cache, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH)
    go.remove_caches()
    assert main(["clean"]) == 0
    assert "go-caches: kept, a build uses it\n" in capsys.readouterr().err
    os.close(other)
    go.remove_caches()
    assert folders(cache) == {"traefik-3", "sandboxes"}


def test_an_empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("loadgen.local.clean.sweep_dead", lambda: None)
    assert main(["clean", "--all"]) == 0
    assert "freed 0 MB, kept 0 MB" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
