"""Writes files as a whole or not at all."""

import contextlib
import os
from pathlib import Path

from loadgen.base.errors import FolderGoneError, RecordError


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file of a run so that a reader sees the old content or the new, never a part.

    Raises:
        RecordError: The file cannot be written.
    """
    try:
        return replace_file(path, data)
    except OSError as error:
        raise record_error(path.parent, f"cannot write {path}: {error.strerror}; free space and try again") from error


def record_error(folder: Path, sentence: str) -> RecordError:
    """Return the error for a failed write below a folder: the sentence, unless the folder is gone."""
    return RecordError(sentence) if folder.is_dir() else FolderGoneError(folder)


def replace_file(path: Path, data: bytes) -> Path:
    """Write a file under a temporary name, then rename it to its own.

    Raises:
        OSError: The file cannot be written; an earlier file of this name is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
