"""Columns of tables."""

import numpy as np
import pyarrow as pa

from loadgen.analyze.columns import Columns, arrow, groups
from loadgen.dataset.tables import SAMPLES

ROWS = [
    {"t_s": 2.0, "signal": "ratio", "pod": "b", "value": 1.0},
    {"t_s": 1.0, "signal": "up", "pod": None, "value": float("nan")},
    {"t_s": 1.0, "signal": "ratio", "pod": "a", "value": 3.0},
]
TABLE = pa.Table.from_pylist(ROWS, schema=SAMPLES)


def test_a_text_of_several_chunks_has_one_number():
    """Parts of a table have dictionaries of their own."""
    texts = Columns(pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1), TABLE])).texts("pod")
    assert texts.tolist() == ["b", None, "a"] * 2
    assert texts.known.tolist() == [True, False, True] * 2
    assert (texts == "a").tolist() == [False, False, True] * 2
    assert not (texts == "c").any()
    assert texts.isin(["a", "b", "c"]).tolist() == texts.known.tolist()
    assert texts[1] is None
    assert texts[np.array([5, 0])].tolist() == ["a", "b"]


def test_some_rows_of_some_rows():
    """A selection is of the rows that were left."""
    left = Columns(TABLE).where(np.array([True, False, True]))
    assert len(left) == 2
    assert left.numbers("t_s").tolist() == [2.0, 1.0]
    last = left.where(np.array([False, True]))
    assert last.texts("pod").tolist() == ["a"]
    assert last.value("value", 0) == 3.0
    assert Columns(TABLE).value("value", 1) is None
    assert last.where(np.array([False])).texts("pod").tolist() == []


def test_a_dataframe_is_converted():
    """Of a missing text the DataFrame has NaN, and of one of few texts a category."""
    frame = TABLE.to_pandas().astype({"signal": "category"})
    converted = arrow("samples", frame)
    assert converted.drop_columns("value").to_pylist() == TABLE.drop_columns("value").to_pylist()


def test_equal_rows_keep_their_order():
    """The first key counts most."""
    order, first = groups(np.array([1, 0, 1, 1]), np.array([5.0, 7.0, 4.0, 5.0]))
    assert order.tolist() == [1, 2, 0, 3]
    assert first.tolist() == [True, True, True, False]
    assert groups(np.array([]))[1].tolist() == []
