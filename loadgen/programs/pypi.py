"""Installs programs from Python packages, and finds an interpreter that can run Triton's models."""

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

from loadgen.base.console import Say, say
from loadgen.base.errors import StackError
from loadgen.programs.cache import run_step

# The wheel has stubs for more versions, but they need numpy 1, whose newest wheels are for 3.12; ours starts at 3.11.
MODEL_PYTHONS = ((3, 12), (3, 11))

_INSTALL_TIMEOUT_S = 900.0
_QUERY_TIMEOUT_S = 15.0
_DESCRIBE = """
import json, sys, sysconfig
v = sysconfig.get_config_var
print(json.dumps([list(sys.version_info[:2]), sys.base_prefix, v("LIBDIR"), v("MULTIARCH")]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python with a shared library, which Triton's stub loads.

    Attributes:
        executable: Path of the program.
        version: Major and minor number.
        prefix: Folder of its installation.
        library_dir: Folder of its ``libpython3.X.so.1.0``.
    """

    executable: Path
    version: tuple[int, int]
    prefix: Path
    library_dir: Path

    @property
    def tag(self) -> str:
        """Return the version as text: ``3.12``."""
        return ".".join(map(str, self.version))


def find_interpreter(candidates: Iterable[Path] | None = None) -> Interpreter:
    """Return the first interpreter that can run Triton's models: this one, else one from PATH or uv.

    Raises:
        StackError: No such interpreter is installed.
    """
    for executable in _candidates() if candidates is None else candidates:
        interpreter = describe_interpreter(executable)
        if interpreter is not None:
            return interpreter
    running = ".".join(map(str, sys.version_info[:2]))
    raise StackError(
        f"Triton's models run in Python 3.11 or 3.12 with its shared library, and only Python {running} or one without "
        "libpython3.*.so was found: install one, for instance with `uv python install 3.12`, and try again."
    )


def describe_interpreter(executable: Path) -> Interpreter | None:
    """Return an interpreter's version and folders, or None if the stub cannot use it."""
    try:
        answer = subprocess.run(
            [executable, "-I", "-c", _DESCRIBE], capture_output=True, timeout=_QUERY_TIMEOUT_S, check=True, text=True
        ).stdout
        (major, minor), prefix, library_dir, multiarch = json.loads(answer)
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, RecursionError):
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


def install(packages: tuple[str, ...], target: Path, interpreter: Interpreter, *, progress: Say = say) -> None:
    """Install packages without their dependencies into a folder, for use by an interpreter.

    Args:
        packages: Each as in a requirements file, with the checksums of its wheels: `name==1.2 --hash=sha256:…`.
        target: An empty folder.
        interpreter: The Python that will use them.
        progress: Receives one line per step.

    Raises:
        StackError: Neither uv nor pip is installed, the installation failed, or a wheel has another checksum.
    """
    names = [package.split()[0] for package in packages]
    uv = find_uv()
    if uv is not None:
        argv = [*uv, "pip", "install", "--python", str(interpreter.executable)]
    elif importlib.util.find_spec("pip") is not None:
        argv = [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        argv += ["--only-binary=:all:", "--python-version", interpreter.tag]
    else:
        raise StackError(f"Cannot install {names[0]} without uv or pip: run `pip install uv` and try again.")
    requirements = target / "requirements.txt"
    requirements.write_text("".join(f"{package}\n" for package in packages))
    try:
        run_step(
            [*argv, "--quiet", "--no-deps", "--require-hashes", "--target", target, "-r", requirements],
            what=f"install {' and '.join(names)}",
            timeout_s=_INSTALL_TIMEOUT_S,
            # Not the user's working directory: a project file there must not change the installation.
            cwd=target.parent,
            progress=progress,
        )
    except StackError as error:
        if "Computed:" in str(error) or "Expected sha256" in str(error):  # uv's words, and pip's
            raise StackError(
                f"{str(error).rstrip('.')}: the package index delivers another file than this version was tested with, "
                "and it is not used; check the index that you install from and try again."
            ) from error
        raise
    finally:
        requirements.unlink(missing_ok=True)


def find_uv() -> list[str] | None:
    """Return the command of uv: from the variable UV, from PATH, or as a module; None if uv is not installed."""
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
            path = run_step(
                [*uv, "python", "find", "--offline", version], what="find Python with uv", timeout_s=_QUERY_TIMEOUT_S
            )
        except StackError:
            continue
        yield Path(path.strip())
