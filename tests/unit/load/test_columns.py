"""Typed columns: the same tables as from Python's values, and nothing of a row that a column cannot hold."""

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.dataset.tables import TOKENS
from loadgen.load.columns import Columns, Lists

SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("worker", pa.int16()),
        pa.field("tokens", pa.int32()),
        pa.field("at", pa.float64()),
        pa.field("cause", pa.string()),
        pa.field("resent", pa.bool_()),
    ]
)
ROWS = st.tuples(
    st.integers(0, 2**60),
    st.none() | st.integers(-(2**15) + 1, 2**15 - 1),
    st.none() | st.integers(-(2**31) + 1, 2**31 - 1),
    st.none() | st.floats(allow_nan=False),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    st.none() | st.booleans(),
)


@given(rows=st.lists(ROWS, max_size=20))
def test_rows_come_back(rows: list[tuple[object, ...]]) -> None:
    """Every row that fits comes back, with nulls where there was None."""
    columns = Columns(SCHEMA)
    for row in rows:
        columns.add(row)
    assert len(columns) == len(rows)
    assert [tuple(row.values()) for row in columns.table().to_pylist()] == rows


@pytest.mark.parametrize(
    "row",
    [
        (1, 2**15, 1, 0.5, "a", True),
        (1, 1, 2**31, 0.5, "a", True),
        (1, 1, 1, "soon", "a", True),
        (1, 1, 1, 0.5, "half \ud83d", True),
        (1, 1, -(2**31), 0.5, "a", True),  # stands for null
        (None, 1, 1, "soon", "a", True),
    ],
)
def test_a_value_that_does_not_fit(row: tuple[object, ...]) -> None:
    """The row is refused as a whole, and those before and after it stay."""
    columns = Columns(SCHEMA)
    good = (1, 2, 3, 4.0, "five", False)
    columns.add(good)
    with pytest.raises((TypeError, ValueError, OverflowError)):
        columns.add(row)
    columns.add(good)
    assert [tuple(each.values()) for each in columns.table().to_pylist()] == [good, good]


def test_lists_are_shifted() -> None:
    """Token times of each request, from readings of the monotonic clock to run time."""
    lists = Lists(TOKENS)
    lists.add(7, [101.5, 102.25])
    lists.add(9, [103.0])
    assert lists.numbers == 3
    assert lists.table(-100.0).to_pylist() == [
        {"request_id": 7, "t_s": [1.5, 2.25]},
        {"request_id": 9, "t_s": [3.0]},
    ]
    assert Lists(TOKENS).table(0.0).num_rows == 0
    assert not math.isnan(lists.table(0.0)["t_s"][0].as_py()[0])
