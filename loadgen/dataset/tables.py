"""Defines the four tables of a run folder; `docs/dataset.md` describes their columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

REQUESTS = pa.schema(
    [
        pa.field("request_id", pa.int64(), nullable=False),
        pa.field("worker", pa.int16(), nullable=False),
        pa.field("scheduled_s", pa.float64(), nullable=False),
        pa.field("sent_s", pa.float64()),
        pa.field("first_token_s", pa.float64()),
        pa.field("last_token_s", pa.float64()),
        pa.field("ended_s", pa.float64()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("cause", pa.string()),
        pa.field("input_tokens", pa.int32(), nullable=False),
        pa.field("max_tokens", pa.int32(), nullable=False),
        pa.field("output_tokens", pa.int32()),
        pa.field("token_source", pa.string()),
        pa.field("engine_queue_s", pa.float64()),
        pa.field("engine_prefill_s", pa.float64()),
        pa.field("engine_decode_s", pa.float64()),
        pa.field("pod", pa.string()),
        pa.field("on_wire_s", pa.float64()),
        pa.field("resent", pa.bool_()),
    ]
)
TOKENS = pa.schema(
    [
        pa.field("request_id", pa.int64(), nullable=False),
        pa.field("t_s", pa.list_(pa.float64()), nullable=False),
    ]
)
SAMPLES = pa.schema(
    [
        pa.field("t_s", pa.float64(), nullable=False),
        pa.field("signal", pa.string(), nullable=False),
        pa.field("pod", pa.string()),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
EVENTS = pa.schema(
    [
        pa.field("t_s", pa.float64(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("pod", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
        pa.field("data", pa.string()),
    ]
)
TABLES: Mapping[str, pa.Schema] = {
    "requests": REQUESTS,
    "tokens": TOKENS,
    "samples": SAMPLES,
    "events": EVENTS,
}

MAX_RUN_S = 30 * 86_400.0
"""Longest run: a later time on the axis of the run is damage."""

MAX_REQUEST_ID = 2**53
"""Largest number of a request."""


def encoding(schema: pa.Schema) -> dict[str, Any]:
    """How `pyarrow.parquet.write_table` writes a part.

    Times are all different, so a dictionary of them costs time and space; split by the place of their bytes they
    compress to two thirds. Texts and small integers repeat.
    """
    floats, repeated = [], []
    for field in schema:
        path, type_ = field.name, field.type
        if pa.types.is_list(type_):
            path, type_ = f"{path}.list.element", type_.value_type
        if pa.types.is_floating(type_):
            floats.append(path)
        elif not pa.types.is_int64(type_):
            repeated.append(path)
    return {
        "compression": "zstd",
        "use_dictionary": repeated or False,
        "use_byte_stream_split": floats,
        "write_page_checksum": True,
    }


_REFUSALS = (pa.ArrowException, ValueError, TypeError, OverflowError)
"""What pyarrow raises for a value that a column cannot hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwritable:
    """A row with values that its table cannot hold.

    Attributes:
        key: Value of the row's first column, which identifies it.
        columns: The columns of these values.
        dropped: Whether the row is not in the table; otherwise the values are null.
        reason: What is wrong with the first of them.
    """

    key: object
    columns: tuple[str, ...]
    dropped: bool
    reason: str

    def __str__(self) -> str:
        what = "the row is left out" if self.dropped else "recorded as null"
        return f"{self.key!r:.80}: {', '.join(self.columns)} cannot be written, {what} ({self.reason})"


def table_of(schema: pa.Schema, columns: Sequence[list[Any]]) -> tuple[pa.Table, list[Unwritable]]:
    """Build a table; a value that its column cannot hold costs that value, or its row if the column is not nullable.

    Args:
        schema: Schema of the table.
        columns: Values of each column, all of one length.
    """
    arrays = [_array(field, column) for field, column in zip(schema, columns, strict=True)]
    if all(array is not None for array in arrays):
        return pa.Table.from_arrays(arrays, schema=schema), []
    problems: dict[int, dict[str, str]] = {}
    for field, column, array in zip(schema, columns, arrays, strict=True):
        for number, value in enumerate(column if array is None else ()):
            if _array(field, [value]) is None:
                problems.setdefault(number, {})[field.name] = _reason(field, value)
    unwritable = []
    dropped = set()
    for number, reasons in sorted(problems.items()):
        drop = any(not schema.field(name).nullable for name in reasons)
        dropped |= {number} if drop else set()
        first = next(iter(reasons.values()))
        unwritable.append(Unwritable(key=columns[0][number], columns=tuple(reasons), dropped=drop, reason=first))
    rest = [
        [
            None if field.name in problems.get(number, ()) else value
            for number, value in enumerate(column)
            if number not in dropped
        ]
        for field, column in zip(schema, columns, strict=True)
    ]
    arrays = [pa.array(column, field.type) for field, column in zip(schema, rest, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema), unwritable


def _array(field: pa.Field, values: list[Any]) -> pa.Array | None:
    """Return a column, or None if a value does not fit it."""
    try:
        array = pa.array(values, field.type)
    except _REFUSALS:
        return None
    return None if array.null_count and not field.nullable else array


def _reason(field: pa.Field, value: object) -> str:
    try:
        pa.array([value], field.type)
    except _REFUSALS as error:
        return ascii(str(error))[1:161].rstrip("'\"")
    return "it has no value"


def load_writer() -> None:
    """Import pandas now instead of with the first table: the import blocks a process for a second."""
    pa.array([0.0])
