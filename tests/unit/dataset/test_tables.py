"""Tables from rows: a value that cannot be written costs itself, and never another row."""

from typing import Any

import pytest

from loadgen.dataset.tables import EVENTS, REQUESTS, table_of

COLUMNS = REQUESTS.names


def columns(*rows: dict[str, Any]) -> list[list[Any]]:
    usual = {
        "worker": 0,
        "scheduled_s": 1.0,
        "outcome": "error",
        "cause": "x",
        "input_tokens": 1,
        "max_tokens": 8,
        "output_tokens": 5,
    }
    return [[{"request_id": number, **usual, **row}.get(name) for number, row in enumerate(rows)] for name in COLUMNS]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("cause", "\ud83d"),
        ("output_tokens", 2**40),
        ("first_token_s", "soon"),
        ("token_source", b"\xff"),
        ("cause", {}),
    ],
)
def test_a_nullable_value_is_null(column: str, value: object) -> None:
    """The row and all others stay; the value is null, and the problem names the row and the column."""
    table, unwritable = table_of(REQUESTS, columns({}, {column: value}, {}))
    rows = table.to_pylist()
    assert [row["request_id"] for row in rows] == [0, 1, 2]
    assert rows[1][column] is None
    assert rows[0] == {**rows[2], "request_id": 0}
    assert [(each.key, each.columns, each.dropped) for each in unwritable] == [(1, (column,), False)]
    assert f"1: {column} cannot be written, recorded as null" in str(unwritable[0])
    str(unwritable[0]).encode()


@pytest.mark.parametrize(("column", "value"), [("outcome", "\ud83d"), ("scheduled_s", None), ("request_id", 2**70)])
def test_a_row_without_a_required_value_is_left_out(column: str, value: object) -> None:
    """The other rows stay, and the problem says that the row is left out."""
    table, unwritable = table_of(REQUESTS, columns({}, {column: value, "cause": "\udc00"}, {}))
    assert [row["request_id"] for row in table.to_pylist()] == [0, 2]
    (problem,) = unwritable
    assert problem.dropped
    assert set(problem.columns) == {column, "cause"}


def test_rows_that_can_be_written_have_no_problems() -> None:
    """A table of good rows, or of none, is complete."""
    assert table_of(REQUESTS, columns({}, {}))[1] == []
    assert table_of(EVENTS, [[] for _ in EVENTS.names])[0].num_rows == 0
