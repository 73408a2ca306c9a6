"""Converts between Arrow and NumPy by their buffers.

`to_numpy` and `array` of pyarrow import pandas, which takes longer than all else that a small report imports.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def values_of(array: pa.Array) -> npt.NDArray[Any]:
    """The values of a column of numbers, without a copy; a missing one has any value."""
    if not len(array):
        return np.empty(0, dtype=array.type.to_pandas_dtype())
    return np.frombuffer(array.buffers()[1], array.type.to_pandas_dtype(), len(array) + array.offset)[array.offset :]


def valid_of(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Whether each value is there."""
    if not array.null_count:
        return np.ones(len(array), dtype=np.bool_)
    bits = np.frombuffer(array.buffers()[0], dtype=np.uint8)
    return np.unpackbits(bits, bitorder="little", count=len(array) + array.offset)[array.offset :].astype(np.bool_)


def floats_of(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """A column of numbers, NaN for a missing one."""
    array = joined(column)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.float64())  # Arrow has flags as bits
    values = np.asarray(values_of(array), dtype=np.float64)
    return np.where(valid_of(array), values, np.nan) if array.null_count else values


def joined(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    if isinstance(column, pa.Array):
        return column
    if not column.num_chunks:
        return pa.nulls(0, column.type)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def floats(values: Sequence[float | None] | npt.NDArray[np.float64]) -> pa.Array:
    """An array of numbers, in which None and NaN are missing."""
    numbers = np.array(values, dtype=np.float64)
    missing = np.isnan(numbers)
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    return pa.Array.from_buffers(pa.float64(), len(numbers), [valid, pa.py_buffer(numbers)])


def texts(values: Sequence[str], code: npt.NDArray[np.int32]) -> pa.DictionaryArray:
    """A column of texts of which each row has one, by its index."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    names = pa.StringArray.from_buffers(len(values), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))
    codes = pa.Array.from_buffers(pa.int32(), len(code), [None, pa.py_buffer(code.astype(np.int32))])
    return pa.DictionaryArray.from_arrays(codes, names)
