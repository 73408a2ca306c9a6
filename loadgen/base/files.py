"""Writes files as a whole or not at all, and reads regular files only."""

import contextlib
import errno
import os
import stat
from pathlib import Path

from loadgen.base.errors import FolderGoneError, RecordError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def require_file(path: Path, most_bytes: int | None = None) -> None:
    """Check that a path is a regular file, or a link to one: a FIFO blocks its reader, and a device may never end.

    Args:
        path: The path.
        most_bytes: Largest size; None for any.

    Raises:
        OSError: it is something else, larger, or not there; the error has a reason and no number.
    """
    try:
        status = path.stat()
    except OSError as error:
        if error.errno == errno.ENOENT and not path.is_symlink():
            raise
        raise OSError(error.strerror or str(error)) from error
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise OSError(f"it is {_KINDS.get(kind, 'something else')} and not a file")
    if most_bytes is not None and status.st_size > most_bytes:
        raise OSError(f"it has {status.st_size:,} bytes, more than {most_bytes:,}")


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file of a run so that a reader sees the old content or the new, never a part.

    Raises:
        RecordError: The file cannot be written.
    """
    try:
        return replace_file(path, data)
    except OSError as error:
        reason, advice = disk_problem(error, path.parent)
        raise record_error(path.parent, f"cannot write {path}: {reason}; {advice} and try again") from error


def record_error(folder: Path, sentence: str) -> RecordError:
    """Return the error for a failed write below a folder: the sentence, unless the folder is gone."""
    return RecordError(sentence) if folder.is_dir() else FolderGoneError(folder)


def disk_problem(error: OSError, folder: Path) -> tuple[str, str]:
    """Return why a write in a folder failed, and what to do about it."""
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return os.strerror(error.errno), "make it writable"
    if error.errno == errno.ENOSPC and _has_no_inodes(folder):
        return "the disk has no free inodes", "delete files there"
    if error.errno == errno.EFBIG:
        return "it would be larger than the limit on the size of a file", "raise the limit (ulimit -f)"
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOENT):
        obstacle = _obstacle(error)
        if obstacle is not None:
            return obstacle, "move or delete it"
    return error.strerror or str(error), "free space"


def _obstacle(error: OSError) -> str | None:
    """What is in place of a folder or file that was to be written; None if nothing is."""
    if error.filename is None:
        return None
    target = Path(os.fsdecode(error.filename2 or error.filename))
    if error.errno == errno.EISDIR or (error.filename2 and target.is_dir()):
        return f"{target} is a folder and not a file"
    for path in (*reversed(target.parents), target):
        if path.is_symlink() and not path.exists():
            return f"{path} is a link that leads nowhere"
        if path.exists() and not path.is_dir():
            return f"{path} is {_kind(path)} and not a folder"
    return None


def _kind(path: Path) -> str:
    return _KINDS.get(stat.S_IFMT(path.stat().st_mode), "a file")


def _has_no_inodes(folder: Path) -> bool:
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    return status.f_files > 0 and status.f_favail == 0


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
