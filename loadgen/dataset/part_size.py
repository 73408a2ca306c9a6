"""Checks how large parts become before they are decoded: a few bytes on disk can be billions of values."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loadgen.base.errors import DatasetError
from loadgen.base.limits import free_memory_bytes

VALUE_BYTES = 8
_COPIES = 2
"""A table is in memory at least twice while it is converted."""
MOST_RATIO = 500
"""Most bytes in memory for each byte on disk; the times in every part of a run keep it far below."""
ALWAYS_BYTES = 128 << 20
"""Parts that need less together may have any ratio."""
MOST_COPIES = 100
"""Parts with the same content from which on a folder is not read; the rows of fewer are counted as repeated."""


class Room:
    """The memory that the parts of a table may still need; threads may share one.

    Args:
        copies: How many times the rows are in memory.

    Raises:
        MemoryError: in `take` and `take_texts`, if they need more than there is, or far more than they have on disk.
    """

    def __init__(self, copies: int = _COPIES) -> None:
        self._copies = copies
        self._free, self._needed, self._on_disk = free_memory_bytes(), 0, 0
        self._lock = Lock()

    def take(self, part: Path, metadata: pq.FileMetaData, schema: pa.Schema) -> None:
        """Take the memory that a part needs, by its metadata."""
        self._add(self._copies * needed_bytes(metadata, schema), part.stat().st_size)

    def take_texts(self, column: pa.ChunkedArray) -> None:
        """Take the memory of a column of text that is still encoded: a long text may be in all rows."""
        for chunk in column.chunks:
            lengths = pc.binary_length(chunk.dictionary)
            self._add(pc.sum(pc.take(lengths.cast(pa.int64()), chunk.indices), min_count=0).as_py())

    def _add(self, needed: int, on_disk: int = 0) -> None:
        with self._lock:
            self._needed += needed
            self._on_disk += on_disk
        if self._needed > max(ALWAYS_BYTES, MOST_RATIO * self._on_disk):
            raise MemoryError(
                f"it has {self._on_disk:,} bytes on disk, and its values need {_gigabytes(self._needed)} of memory"
            )
        if self._free is not None and self._needed > self._free:
            need, free = _gigabytes(self._needed), _gigabytes(self._free)
            raise MemoryError(f"its table needs {need} of memory or more, of {free} that are free")


def needed_bytes(metadata: pq.FileMetaData, schema: pa.Schema) -> int:
    """The least memory that the columns of a part need once they are decoded.

    Raises:
        ValueError: the metadata has a negative size.
    """
    known = {field.name: pa.types.is_list(field.type) for field in schema}
    needed: int = VALUE_BYTES * metadata.num_rows * (len(known) - sum(known.values()))
    sizes: list[int] = [metadata.num_rows]
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            chunk = group.column(place)
            name = chunk.path_in_schema.split(".")[0]
            if name not in known:
                continue
            sizes += (chunk.num_values, chunk.total_uncompressed_size)
            if known[name]:
                needed += max(VALUE_BYTES * chunk.num_values, chunk.total_uncompressed_size)
            else:
                needed += max(0, chunk.total_uncompressed_size - VALUE_BYTES * group.num_rows)
                needed += VALUE_BYTES * max(0, chunk.num_values - group.num_rows)
    if min(sizes) < 0:
        raise ValueError("its metadata has a negative size")
    return needed


def long_texts(metadata: pq.FileMetaData, schema: pa.Schema) -> list[str]:
    """The columns of text that may become large: one long text can be the value of many rows."""
    names = {field.name for field in schema if pa.types.is_string(field.type)}
    found = set()
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            chunk = group.column(place)
            is_large = chunk.num_values * chunk.total_uncompressed_size > ALWAYS_BYTES
            if chunk.path_in_schema in names and is_large:
                found.add(chunk.path_in_schema)
    return sorted(found)


def check_copies(folder: Path, parts: Iterable[Path]) -> None:
    """Check that not too many parts of a folder are copies of one.

    Raises:
        DatasetError: there are `MOST_COPIES` or more with the same content.
        OSError: a part cannot be read.
    """
    by_size: dict[int, list[Path]] = {}
    for part in parts:
        if part.is_file():
            by_size.setdefault(part.stat().st_size, []).append(part)
    for group in by_size.values():
        by_content: dict[bytes, list[Path]] = {}
        for part in group if len(group) >= MOST_COPIES else ():
            by_content.setdefault(hashlib.blake2b(part.read_bytes()).digest(), []).append(part)
        for copies in by_content.values():
            if len(copies) >= MOST_COPIES:
                raise DatasetError(
                    f"{folder} has {len(copies) - 1:,} copies of {copies[0].name}, such as {copies[1].name}: "
                    f"delete them to report on the rest"
                )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
