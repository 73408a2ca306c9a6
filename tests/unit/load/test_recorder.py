"""The recorder on a full disk: rows stay in memory, and only a disk that stays full ends the run."""

import errno
import json
import shutil
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from loadgen.base.clock import Clock
from loadgen.base.errors import ExitCode, FolderGoneError, RecordError
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.outage import FULL_DISK_S
from loadgen.load.plan import Arrival
from loadgen.load.prompts import Prompt
from loadgen.load.recorder import Recorder
from loadgen.protocols.answer import Answer
from loadgen.protocols.engine import EngineTimes

PROMPT = Prompt(text="a", input_tokens=1, max_tokens=3)


class Disk:
    """A disk that is full while `full` is set, on which everything else is real."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        write = RunFolder.append

        def append(folder: RunFolder, table: str, writer: str, rows: Any) -> Path | None:
            if self.full:
                error = OSError(errno.ENOSPC, "No space left on device")
                raise RecordError(f"cannot record {table} in {folder.path}: {error.strerror}; free space") from error
            return write(folder, table, writer, rows)

        monkeypatch.setattr(RunFolder, "append", append)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def record(recorder: Recorder, number: int, tokens: int = 2) -> None:
    now = time.monotonic()
    arrival = Arrival(number=number, due_s=0.0, prompt=PROMPT)
    recorder.record(arrival, now, now, Answer(outcome="ok", token_times=[now] * tokens, last=now, ended=now))


def test_rows_are_written_when_space_returns(tmp_path: Path, disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    """Every row is recorded once, the sentence is printed once, and an event has the time without a write."""
    recorder = Recorder(RunFolder(tmp_path), Clock.start(), worker=0)
    record(recorder, 0)
    assert recorder.flush()
    disk.full = True
    for number in (1, 2, 3):
        record(recorder, number)
        assert not recorder.flush()
    disk.full = False
    assert recorder.flush()
    folder = RunFolder(tmp_path)
    assert folder.read("requests").request_id.to_list() == [0, 1, 2, 3]
    assert folder.read("tokens").request_id.to_list() == [0, 1, 2, 3]
    (event,) = folder.read("events").to_dict("records")
    assert event["kind"] == "recording_delayed"
    data = json.loads(event["data"])
    assert data["source"] == "disk"
    assert data["to_s"] >= data["from_s"] == pytest.approx(event["t_s"], abs=0.001)
    assert capsys.readouterr().err.count("records stay in memory") == 1
    record(recorder, 4)
    assert recorder.flush()
    assert len(folder.read("events")) == 1


def test_what_the_server_says_is_recorded(tmp_path: Path) -> None:
    """Times in the engine and the replica, each null where the server does not say; a request never sent has none."""
    recorder = Recorder(RunFolder(tmp_path), Clock.start(), worker=0)
    now = time.monotonic()
    answers = (
        Answer(outcome="ok", last=now, ended=now, engine=EngineTimes(2.0, 0.125, 3.0), pod="triton-0"),
        Answer(outcome="ok", last=now, ended=now, engine=EngineTimes(queue_s=1.0)),
        Answer(outcome="ok", last=now, ended=now),
    )
    for number, answer in enumerate(answers):
        recorder.record(Arrival(number=number, due_s=0.0, prompt=PROMPT), now, now, answer)
    recorder.record_unsent(Arrival(number=3, due_s=0.0, prompt=PROMPT), now, "no free user")
    assert recorder.flush()
    columns = ["engine_queue_s", "engine_prefill_s", "engine_decode_s", "pod"]
    rows = pq.read_table(tmp_path / "requests", columns=columns).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (2.0, 0.125, 3.0, "triton-0"),
        (1.0, None, None, None),
        (None,) * 4,
        (None,) * 4,
    ]


def test_a_disk_that_stays_full(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the run as a tool error; what was recorded before stays, and a second outage starts anew."""
    recorder = Recorder(RunFolder(tmp_path), Clock.start(), worker=0)
    record(recorder, 0)
    assert recorder.flush()
    at_s = time.monotonic()
    monkeypatch.setattr("loadgen.dataset.outage.time", Namespace(monotonic=lambda: at_s))
    disk.full = True
    record(recorder, 1)
    assert not recorder.flush()
    at_s += FULL_DISK_S - 1
    assert not recorder.flush()
    disk.full = False
    assert recorder.flush()
    disk.full = True
    at_s += 10
    record(recorder, 2)
    assert not recorder.flush()
    at_s += FULL_DISK_S - 1
    assert not recorder.flush()
    at_s += 2
    with pytest.raises(RecordError, match="No space left on device") as caught:
        recorder.flush()
    assert caught.value.exit_code == ExitCode.TOOL
    assert RunFolder(tmp_path).read("requests").request_id.to_list() == [0, 1]


def test_memory_is_bounded(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows and token times than fit in memory end the run before the time is up."""
    monkeypatch.setattr("loadgen.load.recorder.MAX_ROWS", 10)
    recorder = Recorder(RunFolder(tmp_path), Clock.start(), worker=0)
    disk.full = True
    record(recorder, 0, tokens=5)
    assert not recorder.flush()
    record(recorder, 1, tokens=5)
    with pytest.raises(RecordError):
        recorder.flush()


def test_a_deleted_run_folder_ends_the_run_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the folder and does not wait for space."""
    folder = tmp_path / "run"
    folder.mkdir()
    recorder = Recorder(RunFolder(folder), Clock.start(), worker=0)
    record(recorder, 0)
    assert recorder.flush()
    shutil.rmtree(folder)
    record(recorder, 1)
    with pytest.raises(FolderGoneError, match=f"{folder} was deleted or moved"):
        recorder.flush()
    assert "space" not in capsys.readouterr().err
