"""Every row is written once, also when the disk is full for a while."""

import json
from pathlib import Path

import pytest

from loadgen.collect.rows import Rows, Sample
from loadgen.dataset.events import Event
from loadgen.dataset.folder import RunFolder
from support.servers.metrics import run_folder


def block(folder: RunFolder, table: str) -> Path:
    """Make a table unwritable also for root: a file where its folder goes."""
    (folder.path / table).write_text("")
    return folder.path / table


def sample(t_s: float) -> Sample:
    return Sample(t_s, "up", "a", 1.0)


def test_rows_are_kept_while_they_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After any number of failures every row is recorded once, and the failure is logged once."""
    folder = run_folder(tmp_path)
    rows = Rows(folder)
    rows.samples.append(sample(1))
    assert rows.close_parts()
    rows.events.append(Event(1.0, "load_started"))
    blocked = block(folder, "events")
    for t_s in (2, 3, 4):
        rows.samples.append(sample(t_s))
        assert not rows.close_parts()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    blocked.unlink()
    assert rows.close_parts()
    assert folder.read("samples").t_s.tolist() == [1, 2, 3, 4]
    assert folder.read("events").kind.tolist() == ["load_started"]
    assert not rows.samples
    assert not rows.events


def test_memory_is_bounded_and_dropped_samples_are_reported(tmp_path: Path) -> None:
    """Beyond the limit the oldest samples are dropped, and a gap of the disk has their span."""
    folder = run_folder(tmp_path)
    rows = Rows(folder, max_rows=5)
    blocked = block(folder, "samples")
    for first in (0, 4, 8):
        rows.samples += [sample(first + i) for i in range(4)]
        rows.close_parts()
        assert len(rows.samples) <= 5
    blocked.unlink()
    assert rows.close_parts()
    assert folder.read("samples").t_s.tolist() == [7, 8, 9, 10, 11]
    [event] = folder.read("events").to_dict("records")
    assert event["kind"] == "collect_gap"
    assert json.loads(event["data"]) == {"source": "disk", "from_s": 0, "to_s": 6}


def test_no_part_is_written_without_rows(tmp_path: Path) -> None:
    """Without rows there is no file."""
    folder = run_folder(tmp_path)
    assert Rows(folder).close_parts()
    assert not list(folder.path.glob("*/part-*"))
