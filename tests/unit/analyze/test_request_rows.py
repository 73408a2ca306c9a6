"""Requests part by part: any division into parts gives what the whole table gives."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze import request_rows
from loadgen.analyze.observed import Observed
from loadgen.analyze.prepare import observe
from support.runs.tables import info, request, tables

ROWS = [
    request(0, 3.0) | {"pod": "a"},
    request(1, 1.0, None, None, "not_sent", "no free user", lag_s=None),
    request(2, 2.0) | {"token_source": "chunks"},
    request(2, 2.5),
    request(3, 2.0) | {"pod": "b"},
    request(4, float("inf")),
    request(5, 4.0) | {"outcome": "lost"},
    request(7, 9.0, None, None, "error", "reset") | {"pod": "a"},
    request(4_000_000_000, 5.0),
    request(6, -1000.0),
]


def shown(run: Observed) -> dict[str, object]:
    """All that the rows of a run gave."""
    requests = run.requests
    columns = {name: list(getattr(requests, name)) for name in requests.__slots__}
    return {name: [None if value != value else value for value in values] for name, values in columns.items()} | {
        "damage": [(each.fault, each.count, each.rows, each.example) for each in run.damage],
        "chunks": run.chunks,
    }


@given(st.lists(st.integers(0, len(ROWS)), max_size=5), st.sampled_from([1, 3, 1000]))
def test_any_parts_give_what_the_whole_table_gives(cuts: list[int], chunk_rows: int) -> None:
    """Rows, their order, damage with its first example, and the texts of columns whose parts have different ones."""
    whole = tables(requests=ROWS)
    table = whole.requests
    edges = sorted({0, len(ROWS), *cuts})
    parts = [table.slice(low, high - low) for low, high in pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_rows, "_CHUNK_ROWS", chunk_rows)
        assert shown(observe(info(), replace(whole, requests=parts))) == shown(observe(info(), whole))


def test_rows_are_in_order_of_due_time_and_number() -> None:
    """Two that were due at the same time are in order of their numbers."""
    run = observe(info(), tables(requests=ROWS))
    assert run.requests.ids.tolist() == [1, 2, 3, 0, 4_000_000_000, 7]
    assert run.chunks
    assert [(each.fault, each.count) for each in run.damage] == [
        ("an impossible scheduled_s", 2),
        ("an unknown outcome", 1),
        ("the request_id of an earlier row", 1),
    ]
    assert run.damage[2].example == "request_id 2"


def test_no_part_at_all() -> None:
    """A folder without requests."""
    run = observe(info(), replace(tables(), requests=[]))
    assert len(run.requests) == 0
    assert run.requests.scheduled_s.dtype == np.float64
