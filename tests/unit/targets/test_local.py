"""`--target local`: its description in `run.json`, refused settings, and its state and journal files."""

import dataclasses
import json
from pathlib import Path

import pytest

from loadgen.base.errors import DatasetError, LoadgenError, StackError
from loadgen.dataset.events import Event
from loadgen.dataset.run_info import Compression
from loadgen.dataset.stack import ReplicaState, StackFolder, StackState
from loadgen.local.programs import version_in
from loadgen.scenario.fleets import Local
from loadgen.targets.local import EMULATED, autoscaler_info, compressions, start_stack
from support.runs.stack_runs import run_folder


def test_compressions_name_what_is_shorter_than_in_production() -> None:
    """The defaults shorten five durations; the autoscaler's interval is that of Kubernetes and not listed."""
    assert compressions(Local()) == (
        Compression(what="scale-down stabilization window", local=60, production=300),
        Compression(what="image pull and engine load of a new replica", local=10, production=180),
        Compression(what="scrape and rule interval", local=1, production=30),
        Compression(what="rate window of the ratio", local=10, production=60),
        Compression(what="first back-off after a crash", local=1, production=10),
    )


def test_uncompressed_settings_are_not_listed() -> None:
    """Durations as long as in production are left out; a shorter sync period is listed."""
    result = compressions(
        Local(scale_down_window_s=300, startup_delay_s=180, scrape_interval_s=30, rate_window_s=120, sync_period_s=5)
    )
    assert [(each.what, each.local) for each in result] == [
        ("interval of the autoscaler", 5),
        ("first back-off after a crash", 1),
    ]


def test_autoscaler_info() -> None:
    """`run.json` has the metric, its target, the bounds and the timing."""
    info = autoscaler_info(Local(replicas=(2, 6), ratio_target=1.5, sync_period_s=5))
    assert (info.metric, info.target) == ("triton:queue_compute:ratio", 1.5)
    assert (info.min_replicas, info.max_replicas, info.sync_period_s) == (2, 6, 5)


def test_the_description_discloses_emulation() -> None:
    """The description of the target has both what is emulated and what is real."""
    assert "emulated" in EMULATED
    assert "real" in EMULATED


@pytest.mark.parametrize(
    ("local", "sentence"),
    [(Local(profile="nonesuch"), "nonesuch"), (Local(scale_down_window_s=5000), "3600")],
)
def test_invalid_settings_are_refused_before_the_start(tmp_path: Path, local: Local, sentence: str) -> None:
    """An unknown profile and an impossible window are errors, and there is no stack folder."""
    folder = run_folder(tmp_path, local)
    with pytest.raises(LoadgenError, match=sentence):
        start_stack(folder, on_progress=lambda sentence: None)
    assert not (folder.path / "stack").exists()


def test_the_state_file_has_every_field(tmp_path: Path) -> None:
    """A state that is written to `state.json` and read again is equal, and missing values are null."""
    replica = ReplicaState(name="x-a", phase="ready", http="127.0.0.1:1", grpc="127.0.0.1:2", metrics="127.0.0.1:3")
    state = StackState(
        phase="ready",
        gateway="127.0.0.1:9",
        prometheus="http://127.0.0.1:8",
        model="m",
        desired=2,
        versions={"traefik": "3"},
        replicas=(replica, ReplicaState(name="triton-x-b", phase="pulling")),
    )
    record = StackFolder(tmp_path)
    record.write(state)
    assert record.read() == state
    document = json.loads(record.state_file.read_text())
    assert document.keys() == {field.name for field in dataclasses.fields(StackState)}
    assert (document["metric_milli"], document["replicas"][1]["http"]) == (None, None)


@pytest.mark.parametrize("content", [None, "{", '{"phase": "happy"}'])
def test_an_unreadable_state_is_an_error(tmp_path: Path, content: str | None) -> None:
    """The error names the file when it is missing or damaged."""
    record = StackFolder(tmp_path)
    if content is not None:
        record.path.mkdir()
        record.state_file.write_text(content)
    with pytest.raises(StackError, match=r"state\.json"):
        record.read()


def test_the_journal_has_one_event_per_line(tmp_path: Path) -> None:
    """Every event has the documented keys, and a message with line feeds stays on its line."""
    record = StackFolder(tmp_path)
    record.emit(Event(1.25, "replica_crashed", "a", "BackOff", "two\nlines", {"exit_code": -9}))
    record.emit(Event(2, "hpa_sync"))
    lines = record.journal_file.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"t_s": 1.25, "kind": "replica_crashed", "pod": "a", "reason": "BackOff", "message": "two\nlines"}
        | {"data": {"exit_code": -9}},
        {"t_s": 2, "kind": "hpa_sync", "pod": None, "reason": None, "message": None, "data": None},
    ]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("prometheus, version 2.42.0+ds (branch: debian/sid, revision: 2.42.0+ds-5)\n", "2.42.0+ds"),
        ("Version:      3.7.15\nCodename:     langres\n", "3.7.15"),
        ("", "unknown"),
    ],
)
def test_versions(text: str, version: str) -> None:
    """The version is the first version number in the output of a program."""
    assert version_in(text) == version


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    """An event that cannot be written is an error, not a gap in the journal."""
    record = StackFolder(tmp_path)
    record.path.mkdir()
    record.journal_file.symlink_to("/dev/full")
    with pytest.raises(DatasetError, match="No space left on device; free space"):
        record.emit(Event(1.0, "hpa_sync"))
