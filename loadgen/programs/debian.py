"""Unpacks programs of the distribution's packages into the cache, without root and without installing them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from loadgen.base.console import Say, say
from loadgen.base.errors import StackError
from loadgen.programs.cache import ensure_cached, run_step
from loadgen.programs.manifest import incomplete_program

_TIMEOUT_S = 300.0
# The C library and its companions must be those of the system.
_SYSTEM_PACKAGES = re.compile(r"(libc6|libgcc-s1|gcc-\d+-base|libcrypt1|dpkg|debconf|<.*>)(:|$)")


def unpack_package(
    package: str,
    program: str,
    *,
    with_libraries: bool = False,
    version_flag: str = "--version",
    progress: Say = say,
    cache: Path | None = None,
) -> Path | None:
    """Return a program of a Debian or Ubuntu package, unpacked into the cache; None if the package is not available.

    apt's package lists are used as they are. If the download fails with them, new lists are downloaded into the cache;
    those of the system are never written. A program that cannot print its version here counts as not available.

    Args:
        package: Name of the package.
        program: Path of the program in the package, relative to the root: `usr/bin/prometheus`.
        with_libraries: Also unpack the libraries that the package depends on, and return a script that starts the
            program with them.
        version_flag: Flag that makes the program print its version.
        progress: Receives one line per step.
        cache: The cache folder; None for the user's.
    """
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or dpkg is None:
        return None
    launcher = Path("start") / Path(program).name if with_libraries else Path(program)

    def build(folder: Path) -> None:
        progress(f"fetching {package} (the distribution's package)")
        # As root, apt would otherwise switch to a user who cannot write to this folder.
        options = ["-o", "APT::Sandbox::User=root"]
        try:
            _download(apt, options, package, folder, with_libraries)
        except StackError:
            progress("  fetching package lists first: the system's are missing or old")
            options += _use_private_lists(folder / "apt")
            run_step([apt, *options, "-q", "update"], what="fetch package lists", timeout_s=_TIMEOUT_S)
            _download(apt, options, package, folder, with_libraries)
        for file in sorted(folder.glob("*.deb")):
            run_step([dpkg, "-x", file, folder], what=f"unpack {file.name}", timeout_s=_TIMEOUT_S)
            file.unlink()
        shutil.rmtree(folder / "apt", ignore_errors=True)
        if with_libraries:
            (folder / launcher).parent.mkdir()
            (folder / launcher).write_text(_launcher_script(program))
            (folder / launcher).chmod(0o755)
        run_step([folder / launcher, version_flag], what=f"start {launcher.name}", timeout_s=30)

    def inspect(folder: Path) -> str | None:
        if with_libraries and (folder / launcher).read_text(errors="replace") != _launcher_script(program):
            return str(launcher)
        return incomplete_program(folder, [program])

    try:
        folder = ensure_cached(
            f"{package}-package",
            (str(launcher),),
            build,
            needs_bytes=300_000_000,
            progress=progress,
            cache=cache,
            inspect=inspect,
        )
    except StackError as error:
        progress(f"  {error}")
        return None
    return folder / launcher


def _download(apt: str, options: list[str], package: str, folder: Path, with_libraries: bool) -> None:
    packages = [package, *(_libraries(options, package) if with_libraries else [])]
    run_step(
        [apt, *options, "-q", "download", *packages],
        what=f"fetch the {package} package",
        timeout_s=_TIMEOUT_S,
        cwd=folder,
    )


def _libraries(options: list[str], package: str) -> list[str]:
    """Return the library packages that a package depends on, without those of the system."""
    apt_cache = shutil.which("apt-cache")
    if apt_cache is None:
        return []
    kinds = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances", "pre-depends")
    only_depends = [f"--no-{kind}" for kind in kinds]
    dependencies = run_step(
        [apt_cache, *options, "depends", "--recurse", *only_depends, package],
        what=f"list the dependencies of {package}",
        timeout_s=_TIMEOUT_S,
    )
    names = {line.strip() for line in dependencies.splitlines() if line and not line[0].isspace()}
    return sorted(name for name in names if name.startswith("lib") and not _SYSTEM_PACKAGES.match(name))


def _use_private_lists(folder: Path) -> list[str]:
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    settings = (f"Dir::State::Lists={folder}/lists", f"Dir::Cache={folder}/cache")
    return [part for setting in settings for part in ("-o", setting)]


def _launcher_script(program: str) -> str:
    return (
        '#!/bin/sh\nhere=$(dirname "$(dirname "$(readlink -f "$0")")")\n'
        'for folder in "$here"/usr/lib/*-linux-gnu "$here"/lib/*-linux-gnu; do\n'
        '  [ -d "$folder" ] && LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n'
        f'done\nexport LD_LIBRARY_PATH\nexec "$here/{program}" "$@"\n'
    )
