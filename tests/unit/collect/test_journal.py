"""Every line of the journal becomes one event, whenever the journal is read."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.collect import journal
from loadgen.collect.journal import Journal
from loadgen.dataset.events import Event

LINES = [
    {"t_s": 1.5, "kind": "replica_created", "pod": "a", "reason": None, "message": None, "data": None},
    {"t_s": 2.0, "kind": "hpa_rescale", "pod": None, "reason": "SuccessfulRescale", "message": "New size: 2; é"},
    {"t_s": 2.5, "kind": "hpa_sync", "data": {"current": 1, "conditions": [{"type": "AbleToScale"}]}},
]
EVENTS = [
    Event(1.5, "replica_created", "a"),
    Event(2.0, "hpa_rescale", None, "SuccessfulRescale", "New size: 2; é"),
    Event(2.5, "hpa_sync", data={"current": 1, "conditions": [{"type": "AbleToScale"}]}),
]
TEXT = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in LINES).encode()


@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=8).map(sorted))
def test_events_are_the_same_wherever_the_reads_fall(cuts: list[int]) -> None:
    """Read after any number of appends, cut at any byte, the journal gives each event once and in order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        tail = Journal(path)
        events = tail.read()  # not there yet
        for start, end in zip([0, *cuts], [*cuts, len(TEXT)], strict=True):
            with path.open("ab") as file:
                file.write(TEXT[start:end])
            events += tail.read()
    assert events == EVENTS


def test_an_incomplete_line_is_read_when_it_is_complete(tmp_path: Path) -> None:
    """A line without a line feed is incomplete, even when its text is valid."""
    path = tmp_path / "journal.jsonl"
    path.write_text('{"t_s": 1, "kind": "part_died"}')
    tail = Journal(path)
    assert tail.read() == []
    with path.open("a") as file:
        file.write("\n")
    assert tail.read() == [Event(1, "part_died")]


def test_an_invalid_line_is_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The other lines are read."""
    path = tmp_path / "journal.jsonl"
    path.write_text('{"t_s": 1, "kind": "a"}\nnonsense\n\n{"t_s": "soon", "kind": "b"}\n{"t_s": 2, "kind": "c"}\n')
    assert [event.kind for event in Journal(path).read()] == ["a", "c"]
    assert len(caplog.records) == 2


def test_an_overlong_line_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line longer than one read is skipped, and the next line is read."""
    monkeypatch.setattr(journal, "MAX_BYTES", 64)
    path = tmp_path / "journal.jsonl"
    path.write_text("x" * 1000 + '\n{"t_s": 2, "kind": "c"}\n')
    tail = Journal(path)
    assert [event.kind for _ in range(20) for event in tail.read()] == ["c"]
