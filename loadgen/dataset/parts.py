"""Reads the parts of a table: complete Parquet files that have the columns of its schema.

What is checked here is the structure of a part. Values are checked by `loadgen.analyze.rows`.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from os import scandir
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loadgen.base.errors import DatasetError
from loadgen.base.files import require_file
from loadgen.base.text import clean
from loadgen.dataset.part_size import Room, check_copies, long_texts, needed_bytes

_BATCH_ROWS = 16_384
"""Most rows in memory at a time where the parts are read one by one."""
_BATCH_BYTES = 64 << 20
"""Fewer rows, if they have long lists."""
_AHEAD_BYTES = 32 << 20
"""A part that needs more memory is not read ahead of its turn."""
_AHEAD = 4
_THREADS = 2
_FEW = 100
"""Parts of a short run, for which threads cost more than they save."""
_COPIES = 2
"""Rows are in memory at least twice while they are converted."""
_REFUSALS = (OSError, pa.ArrowException, ValueError, TypeError, KeyError, OverflowError, MemoryError)
"""What is raised for a part that is not what it should be."""


def read_parts(folder: Path, schema: pa.Schema) -> pa.Table:
    """Read all parts of a table; a folder that is not there has none.

    Columns that the schema does not have are skipped. Columns that may be null are null where a part lacks them, as in
    folders of earlier releases. Required values may be null, too: whether a row has them is for the reader to check.

    Raises:
        DatasetError: the folder or a part cannot be read, or the parts do not fit into memory.
    """
    tables = list(Parts(folder, schema, copies=_COPIES))
    if not tables:
        return pa.Table.from_arrays([pa.nulls(0, field.type) for field in schema], schema=nullable(schema))
    return pa.concat_tables(tables)


class _Span(NamedTuple):
    """Lowest and highest value of all lists of a part; -inf and +inf where its statistics do not have them."""

    low: float
    high: float


class Parts:
    """The rows of a table, a batch of one part at a time; the parts are read again in each iteration.

    Small parts are read by threads, a few ahead of their turn.

    Args:
        folder: The folder of the table.
        schema: Its columns, as in `read_parts`.
        copies: How many times the reader has all rows in memory; 0 if it keeps none.

    Raises:
        DatasetError: as in `read_parts`, in the course of an iteration.
    """

    def __init__(self, folder: Path, schema: pa.Schema, *, copies: int = 0) -> None:
        self._folder, self._schema, self._copies = folder, schema, copies
        self._spans: dict[Path, _Span] = {}

    def __iter__(self) -> Iterator[pa.Table]:
        return self.between(-math.inf, math.inf)

    def between(self, low: float, high: float) -> Iterator[pa.Table]:
        """The rows of the parts that can have a value in [low, high] in a list, by the statistics of their lists."""
        # without copies, the rows of the parts before are no longer in memory
        shared = Room(self._copies) if self._copies else None

        def read(part: Path) -> pa.Table | None:
            with _opened(part, self._schema) as file:
                metadata, room = file.metadata, shared or Room()
                self._spans[part] = _span(metadata)
                room.take(part, metadata, self._schema)
                small = needed_bytes(metadata, self._schema) <= _AHEAD_BYTES and metadata.num_rows <= _BATCH_ROWS
                return _whole(file, self._schema, room) if small else None

        def can_have(part: Path) -> bool:
            span = self._spans.get(part)
            if span is None and high - low < math.inf:
                with _opened(part, self._schema) as file:
                    span = self._spans[part] = _span(file.metadata)
            return span is None or (span.low <= high and span.high >= low)

        for part, table in _in_order(filter(can_have, _parts(self._folder)), read):
            if table is not None:
                yield table
                continue
            with _opened(part, self._schema) as file:
                room = shared or Room()
                columns = _columns(file, self._schema)
                for batch in file.iter_batches(_batch_rows(file, self._schema), columns=columns, use_threads=False):
                    yield _conforming(pa.Table.from_batches([batch]), self._schema, room)


def _batch_rows(file: pq.ParquetFile, schema: pa.Schema) -> int:
    """The rows of a batch, by their mean size."""
    rows: int = max(file.metadata.num_rows, 1)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * rows // max(needed_bytes(file.metadata, schema), 1)))


_T = TypeVar("_T")


def _in_order(parts: Iterable[Path], read: Callable[[Path], _T]) -> Iterator[tuple[Path, _T]]:
    """Read parts by threads, some ahead of their turn; errors are raised in order."""
    parts = list(parts)
    if len(parts) <= _FEW:
        yield from ((part, read(part)) for part in parts)
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    pool, ahead = ThreadPoolExecutor(_THREADS), deque[tuple[Path, Future[_T]]]()
    try:
        for part in parts:
            ahead.append((part, pool.submit(read, part)))
            if len(ahead) > _AHEAD:
                first, future = ahead.popleft()
                yield first, future.result()
        for first, future in ahead:
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _whole(file: pq.ParquetFile, schema: pa.Schema, room: Room) -> pa.Table:
    return _conforming(file.read(columns=_columns(file, schema), use_threads=False), schema, room)


@contextmanager
def _opened(part: Path, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
    """A part, in which texts that may become large are still encoded; what cannot be read in it is one sentence."""
    try:
        require_file(part)
        with pq.ParquetFile(part, page_checksum_verification=True) as file:
            texts = long_texts(file.metadata, schema)
            if not texts:
                yield file
        if texts:
            with pq.ParquetFile(part, page_checksum_verification=True, read_dictionary=texts) as file:
                yield file
    except _REFUSALS as error:
        raise DatasetError(f"{part} cannot be read ({_reason(error)}); delete it to report on the rest") from error


def _parts(folder: Path) -> list[Path]:
    try:
        with scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if fnmatch(entry.name, "part-*.parquet"))
    except FileNotFoundError as error:
        if folder.is_symlink():
            raise _unreadable(folder, error) from error
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error
    parts = [folder / name for name in names]
    try:
        check_copies(folder, parts)
    except OSError as error:
        raise _unreadable(folder, error) from error
    return parts


def _unreadable(folder: Path, error: OSError) -> DatasetError:
    return DatasetError(f"{folder} cannot be read ({_reason(error)}); restore it or run the test again")


def _span(metadata: pq.FileMetaData) -> _Span:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    found = [chunk.statistics for chunk in chunks if "." in chunk.path_in_schema]
    if any(each is None or not each.has_min_max for each in found):
        return _Span(-math.inf, math.inf)
    return _Span(
        min((each.min for each in found), default=math.inf), max((each.max for each in found), default=-math.inf)
    )


def _columns(file: pq.ParquetFile, schema: pa.Schema) -> list[str] | None:
    """The columns of a part that the schema has; None means all, which are read faster than those of a list.

    Raises:
        ValueError: a required column is missing, or one is there twice.
    """
    names = file.schema_arrow.names
    for field in schema:
        if names.count(field.name) > 1:
            raise ValueError(f"it has the column {field.name} twice")
        if field.name not in names and not field.nullable:
            raise ValueError(f"it has no column {field.name}")
    known = [name for name in schema.names if name in names]
    return None if len(known) == len(names) else known


def _conforming(data: pa.Table, schema: pa.Schema, room: Room) -> pa.Table:
    """The columns of the schema."""
    given = dict(zip(data.column_names, data.columns, strict=True))
    for field in schema:
        if field.name in given and pa.types.is_dictionary(given[field.name].type):
            room.take_texts(given[field.name])
    columns = [
        _column(given[field.name], field) if field.name in given else pa.nulls(data.num_rows, field.type)
        for field in schema
    ]
    table = pa.Table.from_arrays(columns, schema=nullable(schema))
    table.validate(full=True)  # such as for text that is not UTF-8
    return table


def nullable(schema: pa.Schema) -> pa.Schema:
    """The same columns, each of which may have missing values."""
    return pa.schema([field.with_nullable(True) for field in schema])


def _column(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """Convert a column to the type of its field, without loss.

    Raises:
        ValueError: it is of another kind, such as text for a number, or has a value that the type cannot hold.
    """
    if column.type == field.type:
        return column
    if not pa.types.is_null(column.type) and _kind(column.type) != _kind(field.type):
        raise ValueError(f"its column {field.name} has the type {column.type} in place of {field.type}")
    try:
        if pa.types.is_floating(column.type) and pa.types.is_integer(field.type):
            column = pc.if_else(pc.is_nan(column), None, column)  # pandas writes a missing integer as NaN
        return column.cast(field.type)
    except pa.ArrowException as error:
        raise ValueError(f"its column {field.name} cannot be converted to {field.type}: {clean(error)}") from error


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return "number"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "text"
    if pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_):
        return f"list of {_kind(type_.value_type)}"
    return str(type_)


def _reason(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return clean(strerror or error) or type(error).__name__
