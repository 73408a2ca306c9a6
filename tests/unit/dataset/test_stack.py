"""`stack/` of a run on a disk that is full for a while, and in a folder that is deleted."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.base.clock import Clock
from loadgen.base.errors import ExitCode, FolderGoneError, RecordError
from loadgen.dataset import outage
from loadgen.dataset.events import Event
from loadgen.dataset.stack import StackFolder, StackState, StackWriter


class Writer:
    """A writer of `stack/`, and the sentences that it prints."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.said: list[str] = []
        self.writer = StackWriter(run, Clock.start(), self.said.append)
        self.state = StackState.initial("m", 1)

    def block(self) -> None:
        """Make `stack/` unwritable also for root: a file in its place, as on a disk without space for a folder."""
        if self.writer._folder.path.exists():
            self.writer._folder.path.rename(self.run / "aside")
        self.writer._folder.path.write_text("")

    def free(self) -> None:
        self.writer._folder.path.unlink()
        if (self.run / "aside").exists():
            (self.run / "aside").rename(self.writer._folder.path)

    def journal(self) -> list[dict[str, object]]:
        lines = StackFolder(self.run).journal_file.read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def test_a_full_disk_loses_no_event_and_no_state(writer: Writer) -> None:
    """Events are written once and in order, the state is the last one, and an event has the time without a write."""
    writer.writer.emit(Event(1.0, "a"))
    writer.writer.write(writer.state)
    writer.block()
    for number in (2, 3):
        writer.writer.emit(Event(float(number), "a"))
        writer.writer.write(replace(writer.state, desired=number))
        assert not writer.writer.flush()
    writer.free()
    assert writer.writer.flush()
    *events, delay = writer.journal()
    assert [event["t_s"] for event in events] == [1.0, 2.0, 3.0]
    assert delay["kind"] == "recording_delayed"
    assert StackFolder(writer.run).read().desired == 3
    assert len(writer.said) == 1
    assert "cannot be written" in writer.said[0]
    assert writer.writer.flush()
    assert len(writer.journal()) == 4


def test_a_disk_that_stays_full(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the error of the disk ends the process."""
    monkeypatch.setattr(outage, "FULL_DISK_S", -1.0)
    writer.block()
    with pytest.raises(RecordError, match=r"cannot create .*stack is a file and not a folder; move or delete it"):
        writer.writer.emit(Event(1.0, "a"))


FILL = """
import resource, sys
from pathlib import Path
from loadgen.base.errors import RecordError
from loadgen.dataset.events import Event
from loadgen.dataset.stack import StackFolder

folder = StackFolder(Path(sys.argv[1]))
folder.emit(Event(1.0, "a"))
size = folder.journal_file.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY))  # only a part of the next line fits
try:
    folder.emit(Event(2.0, "a"))
except RecordError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
folder.emit(Event(3.0, "a"))
"""


def test_no_part_of_an_event_is_written(tmp_path: Path) -> None:
    """If only a part of a line fits on the disk, it is not in the journal, and the next line is whole."""
    done = subprocess.run([sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {tmp_path}/stack/journal.jsonl: ")
    lines = StackFolder(tmp_path).journal_file.read_text().splitlines()
    assert [json.loads(line)["t_s"] for line in lines] == [1.0, 3.0]


def test_a_deleted_run_folder_is_named(writer: Writer) -> None:
    """No wait for space: the error has the folder, what is lost and what to do."""
    writer.writer.write(writer.state)
    shutil.rmtree(writer.run)
    with pytest.raises(FolderGoneError, match=f"{writer.run} was deleted or moved during the run") as caught:
        writer.writer.emit(Event(1.0, "a"))
    assert caught.value.exit_code == ExitCode.TOOL
    assert writer.said == []
