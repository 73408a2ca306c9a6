"""Events are encoded in one place."""

import json

import pytest
from pydantic import ValidationError

from loadgen.dataset.events import Event, parse_event
from loadgen.dataset.names import EventKind

RESCALE = Event(2.0, EventKind.HPA_RESCALE, None, "SuccessfulRescale", "New size: 2; é", {"before": 1, "after": 2})


def test_a_line_of_the_journal_holds_the_event() -> None:
    """What is written to the journal is read from it, one event a line, with microseconds."""
    assert parse_event(RESCALE.line()) == RESCALE
    assert RESCALE.line().count(b"\n") == 1
    assert parse_event(Event(1.23456789, "part_died").line()).t_s == 1.234568


def test_a_row_holds_its_data_as_json_text() -> None:
    """The table has a text column; no data is null and not the text `null`."""
    assert json.loads(RESCALE.row()["data"]) == {"before": 1, "after": 2}
    assert Event(1.0, "load_started").row() == {
        "t_s": 1.0,
        "kind": "load_started",
        "pod": None,
        "reason": None,
        "message": None,
        "data": None,
    }


@pytest.mark.parametrize("line", [b"nonsense", b'{"t_s": "soon", "kind": "b"}', b'{"kind": "b"}', b"[]"])
def test_a_line_that_is_not_an_event_is_refused(line: bytes) -> None:
    """A line needs a time and a kind."""
    with pytest.raises(ValidationError):
        parse_event(line)
