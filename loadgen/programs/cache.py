"""Keeps downloaded and built programs in the user's cache, complete or absent, with one build at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from loadgen.base.cleanup import cleanup
from loadgen.base.console import Say, say
from loadgen.base.errors import StackError
from loadgen.programs.manifest import MANIFEST, damaged_file, incomplete_program, write_manifest

LOCK_TIMEOUT_S = 1800.0
_POLL_S = 0.2
_KILLED_WITHIN_S = 5.0
_NO_SPACE = "No space left on device"


def cache_dir() -> Path:
    """Return the folder of the cache: ``$XDG_CACHE_HOME/triton-loadgen``, by default below ``~/.cache``.

    Raises:
        StackError: The user has no home folder, as in a container that runs with an arbitrary user id.
    """
    configured = os.environ.get("XDG_CACHE_HOME", "")
    if Path(configured).is_absolute():
        return Path(configured) / "triton-loadgen"
    try:
        return Path.home() / ".cache" / "triton-loadgen"
    except RuntimeError:
        raise StackError(
            f"The user with id {os.geteuid()} has no home folder for the cache of programs: set XDG_CACHE_HOME, or "
            "HOME, to a folder you can write to."
        ) from None


def ensure_cached(
    name: str,
    files: tuple[str, ...],
    build: Callable[[Path], None],
    *,
    needs_bytes: int,
    progress: Say = say,
    cache: Path | None = None,
    lock_timeout_s: float | None = None,
    inspect: Callable[[Path], str | None] | None = None,
) -> Path:
    """Return a folder of the cache, after building it if it is missing, incomplete or damaged.

    The folder is built under a temporary name and renamed when it is complete, so an interrupted build never looks
    finished, and the next build removes its files. Two runs at the same time wait for each other.

    Args:
        name: Name of the folder; it has to differ between builds that differ.
        files: Relative paths of files that have to exist; if one is missing, the folder is built again.
        build: Fills an empty folder.
        needs_bytes: Free space that is required before the build.
        progress: Receives one line per step.
        cache: The cache folder; None for the user's.
        lock_timeout_s: How long to wait for another run that builds the folder; None for half an hour.
        inspect: See `find_damage`.

    Raises:
        StackError: The disk is full, the cache cannot be written, other users can write to it, or another run holds
            the lock for too long.
    """
    folder = cache or cache_dir()
    target = folder / name
    limit_s = LOCK_TIMEOUT_S if lock_timeout_s is None else lock_timeout_s
    if find_damage(name, files, cache=folder, inspect=inspect) is None:
        return target
    with explain_disk_errors(folder, needs_bytes):
        make_cache(folder)
        with file_lock(folder / f"{name}.lock", timeout_s=limit_s, progress=progress):
            damage = find_damage(name, files, cache=folder, inspect=inspect)
            if damage is None:
                return target
            if target.exists():
                progress(f"{target} is damaged ({damage} differs from what was fetched or built): replacing it")
            for interrupted in folder.glob(f"{name}.partial-*"):
                shutil.rmtree(interrupted, ignore_errors=True)
            require_space(folder, needs_bytes)
            partial = Path(tempfile.mkdtemp(prefix=f"{name}.partial-", dir=folder))
            with cleanup(lambda: shutil.rmtree(partial, ignore_errors=True)):
                build(partial)
                missing = [file for file in files if not (partial / file).is_file()]
                if missing:
                    raise StackError(f"The download for {name} lacks {missing[0]}: report this as a bug.")
                write_manifest(partial)
                shutil.rmtree(target, ignore_errors=True)
                partial.rename(target)
    return target


def find_damage(
    name: str, files: tuple[str, ...], *, cache: Path, inspect: Callable[[Path], str | None] | None = None
) -> str | None:
    """Return the first missing or changed file of a folder of the cache; None if the folder can be used.

    Args:
        name: Name of the folder.
        files: As for `ensure_cached`.
        cache: The cache folder.
        inspect: Does the same for a folder that an earlier version made, which has no manifest yet; None looks whether
            `files` are whole programs.

    Raises:
        StackError: Other users can write to the cache.
    """
    target = cache / name
    check_private(cache)
    missing = next((file for file in files if not (target / file).is_file()), None)
    if missing is not None:
        return missing
    if os.path.lexists(target / MANIFEST):
        return damaged_file(target, files)
    try:
        damage = incomplete_program(target, files) if inspect is None else inspect(target)
    except OSError as error:
        damage = str(error.filename)
    if damage is None:
        with contextlib.suppress(OSError):
            write_manifest(target)
    return damage


def make_cache(folder: Path) -> None:
    """Make the cache folder for its owner only.

    Raises:
        OSError: It cannot be made.
        StackError: It exists, and other users can write to it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    check_private(folder)


def check_private(folder: Path) -> None:
    """Check that only its owner can write to the cache, and close it to other users.

    Raises:
        StackError: Other users can write to it, so they could have planted programs.
    """
    try:
        status = folder.stat()
    except OSError:
        return
    if status.st_uid not in (os.geteuid(), 0):
        raise StackError(
            f"The cache {folder} belongs to another user (uid {status.st_uid}), and its programs would be executed: "
            "set XDG_CACHE_HOME to a folder of your own and try again."
        )
    if status.st_mode & 0o022:
        raise StackError(
            f"Other users can write to the cache {folder} (mode {status.st_mode & 0o777:04o}), and its programs would "
            "be executed: remove it, or run `chmod -R go-w` on it if you know its content, and try again."
        )
    if status.st_mode & 0o077 and status.st_uid == os.geteuid():
        with contextlib.suppress(OSError):
            folder.chmod(0o700)


@contextmanager
def file_lock(path: Path, *, timeout_s: float, progress: Say = say) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel releases it when the process ends for any reason.

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
    progress: Say | None = None,
    every_s: float = 20.0,
) -> str:
    """Run one program to its end and return its standard output.

    Args:
        argv: Absolute path of the program, then its arguments.
        what: The step, for the error message: "install nvidia-pytriton".
        timeout_s: Time limit, after which the program is killed.
        cwd: Its working directory.
        env: Variables to add to the environment.
        progress: Receives a line every ``every_s`` seconds while the step runs.
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
            process_group=0,  # so that its child processes can be killed with it
        )
    except OSError as error:
        raise StackError(f"Could not {what}: {argv[0]} did not start ({error.strerror}).") from error
    with process, cleanup(lambda: _kill_group(process)):
        while True:
            left = timeout_s - (time.monotonic() - started)
            if left <= 0:
                raise StackError(f"Could not {what}: gave up after {timeout_s:.0f} s. Check the network, try again.")
            try:
                out, err = process.communicate(timeout=min(every_s, left))
                break
            except subprocess.TimeoutExpired:
                if progress is not None:
                    progress(f"  still busy: {what} ({time.monotonic() - started:.0f} s)")
    if process.returncode == 0:
        return out
    text = f"{out}\n{err}"
    if _NO_SPACE in text or "os error 28" in text:
        raise OSError(errno.ENOSPC, _NO_SPACE)
    lines = [line.strip() for line in (err.strip() or out.strip()).splitlines() if line.strip()]
    reason = " ".join(lines[-3:])[-600:] or f"exit status {process.returncode}"
    raise StackError(f"Could not {what}: {reason}")


def _kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a program that runs and its children, and wait for their end: they write into a folder that is removed."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_KILLED_WITHIN_S)
        deadline = time.monotonic() + _KILLED_WITHIN_S
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.02)


def require_space(folder: Path, needs_bytes: int) -> None:
    """Check the free space of a disk; call it inside `explain_disk_errors`.

    Raises:
        OSError: The disk has less space.
    """
    if shutil.disk_usage(folder).free < needs_bytes:
        raise OSError(errno.ENOSPC, _NO_SPACE)


@contextmanager
def explain_disk_errors(folder: Path, needs_bytes: int) -> Iterator[None]:
    """Convert errors of the disk to a message with advice.

    Raises:
        StackError: The disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StackError(
                f"The disk that holds {folder} is full: free {max(1, math.ceil(needs_bytes / 1e9))} GB there, or set "
                "XDG_CACHE_HOME to a folder on another disk, and try again; complete downloads stay in the cache."
            ) from error
        raise StackError(
            f"Cannot write to the cache {folder} ({error.strerror}): set XDG_CACHE_HOME to a folder you can write to."
        ) from error
