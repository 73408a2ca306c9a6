"""Knows the size and the SHA-256 of every file of a cached program, so that a damaged program is never started.

The manifest is written when a folder of the cache is complete. A file whose size, times and inode are those of the
manifest has not changed since its checksum was computed: the kernel sets the change time, and no program can choose it.
Otherwise the checksum is computed again. So a check usually costs one `lstat` per file.
"""

import csv
import hashlib
import os
import stat
import struct
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from loadgen.base.files import replace_file

MANIFEST = ".manifest"
_NOT_PROGRAMS = (".yaml", ".yml", ".py")


class _Entry(NamedTuple):
    mode: int
    size: int
    sha256: str
    stamp: tuple[int, int, int]


_ENTRIES = TypeAdapter(dict[str, _Entry])


def write_manifest(folder: Path) -> None:
    """Record the files of a complete folder; the bytecode that Python keeps beside them is left out.

    Raises:
        OSError: A file cannot be read, or the manifest cannot be written.
    """
    entries = {path.relative_to(folder).as_posix(): _entry(path) for path in _files(folder)}
    replace_file(folder / MANIFEST, _ENTRIES.dump_json(entries))


def damaged_file(folder: Path, files: Sequence[str]) -> str | None:
    """Return the first file that is missing or differs from the manifest; None if all are as they were recorded.

    Args:
        folder: A folder of the cache that has a manifest.
        files: Files that the manifest must have.
    """
    try:
        entries = _ENTRIES.validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return MANIFEST
    for name in files:
        if name not in entries:
            return name
    touched = False
    for name, entry in entries.items():
        path = folder / name
        try:
            status = path.lstat()
            if (status.st_mode, status.st_size) != (entry.mode, entry.size):
                return name
            if _stamp(status) != entry.stamp:
                if _sha256(path, status) != entry.sha256:
                    return name
                touched = True
        except (OSError, ValueError):  # also a name that no file can have
            return name
    if touched:  # as after a copy of the cache, which keeps the content
        with suppress(OSError):
            write_manifest(folder)
    return None


def incomplete_program(folder: Path, files: Sequence[str]) -> str | None:
    """Return the first file that cannot be complete, judged by its format: for folders without a manifest or checksums.

    Programs must be whole ELF files; a shell script, an empty file and a truncated program are none.
    """
    for name in files:
        path = folder / name
        if not path.is_file() or not path.stat().st_size:
            return name
        if path.suffix not in _NOT_PROGRAMS and not _is_whole_elf(path):
            return name
    return None


def changed_since_installed(folder: Path) -> str | None:
    """Return the first file of the Python packages in a folder that differs from their `RECORD`; None if none does."""
    records = sorted(folder.glob("*.dist-info/RECORD"))
    if not records:
        return "RECORD"
    for record in records:
        try:
            with record.open(newline="", encoding="utf-8") as lines:
                rows = [(row[0], row[1]) for row in csv.reader(lines) if len(row) > 1]
        except (ValueError, csv.Error):
            return record.relative_to(folder).as_posix()
        for name, digest in rows:
            kind, _, expected = digest.partition("=")
            if kind != "sha256":
                continue
            path = folder / name
            try:
                status = path.stat()
                actual = bytes.fromhex(_sha256(path, status)) if stat.S_ISREG(status.st_mode) else b""
            except (OSError, ValueError):  # also a name that no file can have
                return name
            if urlsafe_b64encode(actual).decode().rstrip("=") != expected:
                return name
    return None


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        yield from (Path(parent) / name for name in sorted([*names, *links]) if name not in (MANIFEST, ".lock"))


def _entry(path: Path) -> _Entry:
    status = path.lstat()
    return _Entry(status.st_mode, status.st_size, _sha256(path, status), _stamp(status))


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _sha256(path: Path, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_whole_elf(path: Path) -> bool:
    """Return whether a file is a 64-bit little-endian ELF file with all its segments and sections."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return False
        segments_at, sections_at = struct.unpack_from("<QQ", head, 32)
        if max(segments_at, sections_at) > size:
            return False
        segment_size, segments, section_size, sections = struct.unpack_from("<HHHH", head, 54)
        for at, each, count, layout in (
            (segments_at, segment_size, segments, "<8xQ16xQ"),
            (sections_at, section_size, sections, "<4xI16xQQ"),
        ):
            if each * count > size:
                return False
            file.seek(at)
            table = file.read(each * count)
            if len(table) < each * count or (count and each < struct.calcsize(layout)):
                return False
            for number in range(count):
                fields = struct.unpack_from(layout, table, number * each)
                occupied = fields[0] != 8 if len(fields) == 3 else True  # SHT_NOBITS has no bytes in the file
                if occupied and fields[-2] + fields[-1] > size:
                    return False
    return True
