"""Files that cannot be written: the sentence has the cause, and advice that helps against it."""

import errno
import os
from argparse import Namespace
from pathlib import Path

import pytest

from loadgen.base.errors import FolderGoneError, RecordError
from loadgen.base.files import write_whole


@pytest.mark.parametrize(
    ("number", "free_inodes", "says"),
    [
        (errno.ENOSPC, 10, "No space left on device; free space and try again"),
        (errno.ENOSPC, 0, "the disk has no free inodes; delete files there and try again"),
        (errno.EDQUOT, 10, "Disk quota exceeded; free space and try again"),
        (errno.EROFS, 0, "Read-only file system; make it writable and try again"),
        (errno.EACCES, 10, "Permission denied; make it writable and try again"),
    ],
)
def test_the_advice_fits_the_cause(
    number: int, free_inodes: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, one without inodes and one that is read-only are told apart."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(os, "statvfs", lambda _: Namespace(f_files=100, f_favail=free_inodes))
    with pytest.raises(RecordError, match=f"^cannot write {tmp_path}/a: {says}$"):
        write_whole(tmp_path / "a", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """It is not a lack of space."""
    with pytest.raises(FolderGoneError, match=f"{tmp_path}/gone was deleted or moved"):
        write_whole(tmp_path / "gone" / "a", b"x")
