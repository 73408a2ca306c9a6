"""Python packages as a source of programs: which interpreter can run Triton's models, and how to install beside it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from loadgen.base.errors import StackError
from loadgen.programs.cache import Progress, run_step, say

# The wheel has stubs for more, but numpy below 2, which they need, has wheels up to 3.12, and we start at 3.11.
MODEL_PYTHONS = ((3, 12), (3, 11))

_INSTALL_TIMEOUT_S = 900.0
_ASK_TIMEOUT_S = 15.0
_ABOUT = """
import json, sys, sysconfig
v = sysconfig.get_config_var
print(json.dumps([list(sys.version_info[:2]), sys.base_prefix, v("LIBDIR"), v("MULTIARCH")]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python that can be embedded: Triton's stub loads its shared library.

    Attributes:
        executable: The program.
        version: Major and minor number.
        prefix: Where it is installed.
        library_dir: Folder of its ``libpython3.X.so.1.0``.
    """

    executable: Path
    version: tuple[int, int]
    prefix: Path
    library_dir: Path

    @property
    def tag(self) -> str:
        """Return the version as in ``3.12``."""
        return ".".join(map(str, self.version))


def find_interpreter(candidates: Iterable[Path] | None = None) -> Interpreter:
    """Return the first interpreter that Triton's models can run in: this one, else one on PATH or of uv.

    Raises:
        StackError: There is none.
    """
    for executable in _candidates() if candidates is None else candidates:
        found = describe_interpreter(executable)
        if found is not None:
            return found
    running = ".".join(map(str, sys.version_info[:2]))
    raise StackError(
        f"Triton's models run in Python 3.11 or 3.12 with its shared library, and only Python {running} or one without "
        "libpython3.*.so was found: install one, for instance with `uv python install 3.12`, and try again."
    )


def describe_interpreter(executable: Path) -> Interpreter | None:
    """Return what the stub needs to know of an interpreter, or None if the stub cannot use it."""
    try:
        answer = subprocess.run(
            [executable, "-I", "-c", _ABOUT], capture_output=True, timeout=_ASK_TIMEOUT_S, check=True, text=True
        ).stdout
        (major, minor), prefix, library_dir, multiarch = json.loads(answer)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    if (major, minor) not in MODEL_PYTHONS:
        return None
    library = f"libpython{major}.{minor}.so.1.0"
    folders = [library_dir, f"{prefix}/lib", f"/usr/lib/{multiarch}", "/usr/lib64"]
    for folder in (Path(f) for f in folders if f):
        if (folder / library).is_file():
            return Interpreter(
                executable=Path(executable), version=(major, minor), prefix=Path(prefix), library_dir=folder
            )
    return None


def install(packages: tuple[str, ...], target: Path, interpreter: Interpreter, *, progress: Progress = say) -> None:
    """Install packages for an interpreter into a folder of their own, without their dependencies.

    Raises:
        StackError: Neither uv nor pip is there, or the installation failed.
    """
    uv = find_uv()
    if uv is not None:
        argv = [*uv, "pip", "install", "--python", str(interpreter.executable)]
    elif importlib.util.find_spec("pip") is not None:
        argv = [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        argv += ["--only-binary=:all:", "--python-version", interpreter.tag]
    else:
        raise StackError(f"Neither uv nor pip is there to install {packages[0]}: run `pip install uv` and try again.")
    run_step(
        [*argv, "--quiet", "--no-deps", "--target", target, *packages],
        what=f"install {' and '.join(packages)}",
        timeout_s=_INSTALL_TIMEOUT_S,
        # Not where the user stands: a project file there must not change what is installed.
        cwd=target.parent,
        progress=progress,
    )


def find_uv() -> list[str] | None:
    """Return the command of uv: the one that runs us, the one on PATH, or the module; None if there is none."""
    program = os.environ.get("UV") or shutil.which("uv")
    if program:
        return [program]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") is not None else None


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    versions = [f"{major}.{minor}" for major, minor in MODEL_PYTHONS]
    yield from (Path(path) for path in (shutil.which(f"python{version}") for version in versions) if path)
    uv = find_uv()
    if uv is None:
        return
    for version in versions:
        try:
            found = run_step([*uv, "python", "find", "--offline", version], what="ask uv", timeout_s=_ASK_TIMEOUT_S)
        except StackError:
            continue
        yield Path(found.strip())
