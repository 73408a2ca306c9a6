"""Files that are written whole or not at all."""

import contextlib
import os
from pathlib import Path

from loadgen.base.errors import RecordError


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        RecordError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(f"cannot write {path}: {error.strerror}; free space and try again") from error
    return path
