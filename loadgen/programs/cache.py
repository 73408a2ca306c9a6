"""A cache of fetched programs: whole or not there, one run at a time, every step with a time limit."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from loadgen.base.errors import StackError

Progress = Callable[[str], None]

LOCK_TIMEOUT_S = 1800.0
_POLL_S = 0.2
_KILLED_WITHIN_S = 5.0
_NO_SPACE = "No space left on device"


def say(line: str) -> None:
    """Write a progress line where it does not mix with results."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is the default progress


def cache_dir() -> Path:
    """Return the folder of fetched programs: ``$XDG_CACHE_HOME/triton-loadgen``, by default below ``~/.cache``."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".cache"
    return base / "triton-loadgen"


def fetched(
    name: str,
    files: tuple[str, ...],
    build: Callable[[Path], None],
    *,
    needs_bytes: int,
    progress: Progress = say,
    cache: Path | None = None,
    lock_timeout_s: float | None = None,
) -> Path:
    """Return a folder of the cache, built first when it is missing or not whole.

    The folder is built beside its place and renamed when it is complete, so an interruption leaves nothing that
    looks finished. What an interrupted run left is removed. Two runs at once wait for each other.

    Args:
        name: Name of the folder, with everything in it that makes one build differ from another.
        files: Relative paths that must be there; if one is missing the folder is built again.
        build: Fills an empty folder.
        needs_bytes: Free space to ask for before anything is fetched.
        progress: Gets one line per step.
        cache: The cache; None is the user's.
        lock_timeout_s: How long to wait for another run that is building it; None is half an hour.

    Raises:
        StackError: The disk is full, the cache cannot be written, or another run holds the lock for too long.
    """
    folder = cache or cache_dir()
    place = folder / name
    limit_s = LOCK_TIMEOUT_S if lock_timeout_s is None else lock_timeout_s

    def whole() -> bool:
        return all((place / file).is_file() for file in files)

    if whole():
        return place
    with disk_told(folder, needs_bytes):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f"{name}.lock", timeout_s=limit_s, progress=progress):
            if whole():
                return place
            for left in folder.glob(f"{name}.partial-*"):
                shutil.rmtree(left, ignore_errors=True)
            need_space(folder, needs_bytes)
            partial = Path(tempfile.mkdtemp(prefix=f"{name}.partial-", dir=folder))
            try:
                build(partial)
                missing = [file for file in files if not (partial / file).is_file()]
                if missing:
                    raise StackError(f"What was fetched for {name} lacks {missing[0]}: report this as a bug.")
                shutil.rmtree(place, ignore_errors=True)
                partial.rename(place)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return place


@contextmanager
def locked(path: Path, *, timeout_s: float, progress: Progress = say) -> Iterator[None]:
    """Hold an exclusive lock on a file; the system drops it when the process ends, however it ends.

    Raises:
        StackError: Another process holds it for longer than ``timeout_s``.
    """
    with path.open("w") as file:
        deadline = time.monotonic() + timeout_s
        waited = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StackError(
                        f"Another run has been fetching into {path.parent} for {timeout_s:.0f} s: wait for it or end "
                        f"it, then try again."
                    ) from None
                if not waited:
                    progress("waiting for another run that is fetching the same program")
                    waited = True
                time.sleep(_POLL_S)
        yield


def run_step(
    argv: list[str | Path],
    *,
    what: str,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    every_s: float = 20.0,
) -> str:
    """Run one program to its end and return its standard output.

    Args:
        argv: Program, by absolute path, and arguments.
        what: The step in words, for the error: "install nvidia-pytriton".
        timeout_s: When to give up; the program is killed then.
        cwd: Where it runs.
        env: What is added to the environment.
        progress: Gets a line every ``every_s`` seconds for a step that takes long.
        every_s: See ``progress``.

    Raises:
        StackError: It could not be started, failed, or took too long.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            [str(part) for part in argv],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            process_group=0,  # so that what it starts can be ended with it
        )
    except OSError as error:
        raise StackError(f"Could not {what}: {argv[0]} did not start ({error.strerror}).") from error
    with process:
        try:
            while True:
                left = timeout_s - (time.monotonic() - started)
                if left <= 0:
                    raise StackError(
                        f"Could not {what}: gave up after {timeout_s:.0f} s. Check the network, try again."
                    )
                try:
                    out, err = process.communicate(timeout=min(every_s, left))
                    break
                except subprocess.TimeoutExpired:
                    if progress is not None:
                        progress(f"  still busy: {what} ({time.monotonic() - started:.0f} s)")
        finally:
            if process.poll() is None:
                _end_group(process)
    if process.returncode == 0:
        return out
    text = f"{out}\n{err}"
    if _NO_SPACE in text or "os error 28" in text:
        raise OSError(errno.ENOSPC, _NO_SPACE)
    lines = [line.strip() for line in (err.strip() or out.strip()).splitlines() if line.strip()]
    reason = " ".join(lines[-3:])[-600:] or f"exit status {process.returncode}"
    raise StackError(f"Could not {what}: {reason}")


def _end_group(process: subprocess.Popen[str]) -> None:
    """End a program and what it started, and wait until they are gone: they write into a folder that is removed."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_KILLED_WITHIN_S)
        deadline = time.monotonic() + _KILLED_WITHIN_S
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.02)


def need_space(folder: Path, needs_bytes: int) -> None:
    """See that a disk has room; to be called where `disk_told` tells it.

    Raises:
        OSError: it has not.
    """
    if shutil.disk_usage(folder).free < needs_bytes:
        raise OSError(errno.ENOSPC, _NO_SPACE)


@contextmanager
def disk_told(folder: Path, needs_bytes: int) -> Iterator[None]:
    """Turn what the disk refuses into a sentence that says what to do.

    Raises:
        StackError: the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StackError(
                f"The disk that holds {folder} is full: free {max(1, math.ceil(needs_bytes / 1e9))} GB there, or set "
                "XDG_CACHE_HOME to a folder on another disk, and try again; what was fetched before is kept."
            ) from error
        raise StackError(
            f"Cannot write to the cache {folder} ({error.strerror}): set XDG_CACHE_HOME to a folder you can write to."
        ) from error
