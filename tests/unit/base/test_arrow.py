"""Conversions between Arrow and NumPy."""

import math

import numpy as np
import pyarrow as pa
import pytest

from loadgen.base.arrow import floats, floats_of, joined, texts, valid_of, values_of

COLUMNS = [
    pa.array([1, None, 3], pa.int32()),
    pa.array([1.5, None, math.nan, math.inf]),
    pa.array([], pa.int64()),
    pa.array([None] * 9 + [4.0]),
    pa.array(range(20), pa.int16()).slice(9, 5),
    pa.array([None, *range(20)], pa.int64()).slice(1, 7),
    pa.array([*range(20), None], pa.int64()).slice(13),
    pa.chunked_array([pa.array([1.0, None]), pa.array([], pa.float64()), pa.array([3.0, None]).slice(1)]),
    pa.chunked_array([], pa.float64()),
    pa.nulls(3, pa.float64()),
]


@pytest.mark.parametrize("column", COLUMNS)
def test_numbers_equal_those_of_pyarrow(column):
    """Of every type, with missing values, in slices and in chunks."""
    expected = [math.nan if value is None else float(value) for value in column.to_pylist()]
    np.testing.assert_array_equal(floats_of(column), expected)
    array = joined(column)
    assert valid_of(array).tolist() == [value is not None for value in column.to_pylist()]
    known = [value for value in column.to_pylist() if value is not None]
    np.testing.assert_array_equal(values_of(array)[valid_of(array)], known)


@pytest.mark.parametrize("values", [(), (1.0, None, math.nan, -math.inf), tuple(range(9)), (None,)])
def test_none_and_nan_are_missing_in_an_array_of_numbers(values):
    """As `from_pandas` of pyarrow does it."""
    assert floats(values).equals(pa.array(values, pa.float64(), from_pandas=True))


def test_texts_are_encoded_as_pyarrow_does():
    """Also those that are longer in UTF-8."""
    code = np.array([0, 0, 1, 2], dtype=np.int32)
    expected = pa.array(["a", "a", "ü→", ""]).dictionary_encode()
    assert texts(["a", "ü→", ""], code).equals(expected)
    assert texts([], code[:0]).equals(pa.array([], pa.string()).dictionary_encode())
