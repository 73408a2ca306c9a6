"""Checks that this machine has what the local stack needs, before it starts and while it runs."""

import os
import tempfile
from pathlib import Path

from loadgen.base.errors import StackError
from loadgen.base.limits import allow_open_files, free_bytes
from loadgen.local.engine.config import EngineProfile
from loadgen.local.leftovers import SHARED_MEMORY

BYTES_PER_MODEL_PROCESS = 1 << 20
"""Shared memory that Triton's Python backend takes for a model process when it starts."""
FILES_OF_SERVER = 128
"""Files that a server of the stack has open besides its connections; tritonserver, which has the most, has 73."""
FILES_PER_REQUEST = 2
"""Connections of the gateway for a request: one from the client, one to the replica."""
MIN_FREE_BYTES = 32 << 20
"""Space for models and configuration, which take 1 MB, and for the data of Prometheus, which grows with the run."""
_OTHER_MODELS = 3
"""Models with one process each: preprocessing, tensorrt_llm and postprocessing."""
_MEGABYTE = 1e6
_SHARED_MEMORY_ADVICE = "delete files there, make it larger (docker run --shm-size=…), or set fewer replicas"


def check_files(requests: int) -> None:
    """Check that the servers of the stack may open as many files as this many requests in flight need.

    Raises:
        StackError: they may not, so that requests would fail because of this machine.
    """
    needed = FILES_PER_REQUEST * requests + FILES_OF_SERVER
    if (limit := allow_open_files(needed)) is not None:
        raise StackError(
            f"each server of the local stack may open {limit} files, and {requests} requests can be in flight at once, "
            f"which needs {needed}: raise the limit (ulimit -n {needed}), or reduce request_timeout_s or the rate"
        )


def check_space(profile: EngineProfile, replicas: int, *, shared_memory: Path = SHARED_MEMORY) -> None:
    """Check that there is shared memory for this many replicas, and space for temporary files.

    Raises:
        StackError: there is not.
    """
    needed = shared_memory_bytes(profile, replicas)
    what = f"{replicas} {'replica needs' if replicas == 1 else 'replicas need'}"
    _check_folder(shared_memory, needed, what, f"{_SHARED_MEMORY_ADVICE}, and start again")
    try:
        temporary = Path(tempfile.gettempdir())
    except FileNotFoundError:
        raise StackError(
            "no folder for temporary files is writable: set TMPDIR to one that is, and start again"
        ) from None
    _check_folder(
        temporary, MIN_FREE_BYTES, "the local stack needs", "free space, or set TMPDIR to another disk, and start again"
    )


def shared_memory_bytes(profile: EngineProfile, replicas: int) -> int:
    """Return the shared memory of this many replicas."""
    return replicas * (_OTHER_MODELS + profile.bls_instance_count) * BYTES_PER_MODEL_PROCESS


def check_shared_memory(folder: Path = SHARED_MEMORY) -> None:
    """Check during a run that requests still find shared memory.

    Raises:
        StackError: it is full, so that replicas end and requests fail because of this machine.
    """
    free = free_bytes(folder)
    if free < BYTES_PER_MODEL_PROCESS:
        raise shared_memory_error(folder)


def shared_memory_error(folder: Path = SHARED_MEMORY) -> StackError:
    """Return the error for shared memory that became full during a run."""
    return StackError(
        f"{folder} became full during the run ({_megabytes(free_bytes(folder))} free), and the replicas exchange "
        f"requests there: {_SHARED_MEMORY_ADVICE}, and run again"
    )


def _check_folder(folder: Path, needed: int, what: str, advice: str) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        problem = "cannot be written" if folder.is_dir() else "does not exist"
        raise StackError(f"{folder} {problem}, and the local stack needs it: make it a folder you can write to")
    free = free_bytes(folder)
    if free < needed:
        raise StackError(f"{folder} has {_megabytes(free)} free, and {what} {_megabytes(needed)}: {advice}")
    status = os.statvfs(folder)
    if status.f_files and not status.f_favail:
        raise StackError(f"{folder} has no free inodes: delete files there, and start again")


def _megabytes(count: int) -> str:
    return f"{count / _MEGABYTE:.1f} MB"
