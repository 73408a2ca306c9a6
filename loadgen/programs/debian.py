"""Programs from the distribution's own packages, unpacked into the cache and not installed: no root is needed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from loadgen.base.errors import StackError
from loadgen.programs.cache import Progress, fetched, run_step, say

_TIMEOUT_S = 300.0
# The C library and what belongs to it must be the system's own.
_OF_THE_SYSTEM = re.compile(r"(libc6|libgcc-s1|gcc-\d+-base|libcrypt1|dpkg|debconf|<.*>)(:|$)")


def unpack_package(
    package: str,
    program: str,
    *,
    with_libraries: bool = False,
    version_flag: str = "--version",
    progress: Progress = say,
    cache: Path | None = None,
) -> Path | None:
    """Return a program of a Debian or Ubuntu package, unpacked into the cache; None where that cannot be had.

    apt's package lists are used as they are; if they do not serve, new ones are fetched into the cache. The system's
    own are never written. A program that does not tell its version here is not kept.

    Args:
        package: Name of the package.
        program: Where it has the program, relative to the root: `usr/bin/prometheus`.
        with_libraries: Unpack the packages that it depends on as well; the program returned is then a script that
            starts the real one with their libraries.
        version_flag: What makes the program tell its version.
        progress: Gets one line per step.
        cache: The cache; None is the user's.
    """
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or dpkg is None:
        return None
    started = Path("start") / Path(program).name if with_libraries else Path(program)

    def build(folder: Path) -> None:
        progress(f"fetching {package} (the distribution's package)")
        # apt run by root would give its rights up for a user who cannot write here.
        options = ["-o", "APT::Sandbox::User=root"]
        try:
            _download(apt, options, package, folder, with_libraries)
        except StackError:
            progress("  fetching package lists first: the system's are missing or old")
            options += _own_lists(folder / "apt")
            run_step([apt, *options, "-q", "update"], what="fetch package lists", timeout_s=_TIMEOUT_S)
            _download(apt, options, package, folder, with_libraries)
        for file in sorted(folder.glob("*.deb")):
            run_step([dpkg, "-x", file, folder], what=f"unpack {file.name}", timeout_s=_TIMEOUT_S)
            file.unlink()
        shutil.rmtree(folder / "apt", ignore_errors=True)
        if with_libraries:
            _write_start(folder / started, program)
        run_step([folder / started, version_flag], what=f"start {started.name}", timeout_s=30)

    try:
        folder = fetched(
            f"{package}-package", (str(started),), build, needs_bytes=300_000_000, progress=progress, cache=cache
        )
    except StackError as error:
        progress(f"  {error}")
        return None
    return folder / started


def _download(apt: str, options: list[str], package: str, folder: Path, with_libraries: bool) -> None:
    packages = [package, *(_libraries(options, package) if with_libraries else [])]
    run_step(
        [apt, *options, "-q", "download", *packages],
        what=f"fetch the {package} package",
        timeout_s=_TIMEOUT_S,
        cwd=folder,
    )


def _libraries(options: list[str], package: str) -> list[str]:
    """Names of all library packages that a package needs, itself and the system's own left out."""
    apt_cache = shutil.which("apt-cache")
    if apt_cache is None:
        return []
    kinds = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances", "pre-depends")
    narrowed = [f"--no-{kind}" for kind in kinds]
    told = run_step(
        [apt_cache, *options, "depends", "--recurse", *narrowed, package],
        what=f"ask what {package} depends on",
        timeout_s=_TIMEOUT_S,
    )
    names = {line.strip() for line in told.splitlines() if line and not line[0].isspace()}
    return sorted(name for name in names if name.startswith("lib") and not _OF_THE_SYSTEM.match(name))


def _own_lists(folder: Path) -> list[str]:
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    settings = (f"Dir::State::Lists={folder}/lists", f"Dir::Cache={folder}/cache")
    return [part for setting in settings for part in ("-o", setting)]


def _write_start(script: Path, program: str) -> None:
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\nhere=$(dirname "$(dirname "$(readlink -f "$0")")")\n'
        'for folder in "$here"/usr/lib/*-linux-gnu "$here"/lib/*-linux-gnu; do\n'
        '  [ -d "$folder" ] && LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n'
        f'done\nexport LD_LIBRARY_PATH\nexec "$here/{program}" "$@"\n'
    )
    script.chmod(0o755)
