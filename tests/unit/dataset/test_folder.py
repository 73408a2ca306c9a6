"""The run folder: complete parts only, no data lost, and other versions refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.base.clock import Clock
from loadgen.base.errors import DatasetError, ExitCode, FolderGoneError, RecordError
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import SCHEMA_VERSION, ClusterInfo, Compression, RunInfo, ValidityLimits
from loadgen.dataset.stack import StackFolder
from loadgen.dataset.tables import TABLES


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    clock = Clock(anchor_unix_s=1_790_000_000.0, anchor_monotonic_s=5.0)
    folder = RunFolder.create(tmp_path / "runs", "two waves", clock)
    folder.write_info(
        RunInfo(
            run_id=folder.path.name,
            scenario="two waves",
            anchor_unix_s=clock.anchor_unix_s,
            anchor_monotonic_s=clock.anchor_monotonic_s,
            target="local",
            protocol="grpc",
            stream=True,
            validity=ValidityLimits(send_lag_p99_s=0.05, scrape_gap_s=5, min_samples=100),
        )
    )
    return folder


def test_names_sort_by_time(tmp_path: Path) -> None:
    """A folder is named by UTC start and scenario, and a second one in the same second gets a number."""
    clock = Clock(anchor_unix_s=1_790_000_000.0, anchor_monotonic_s=0.0)
    names = [RunFolder.create(tmp_path, "a b/c", clock).path.name for _ in range(2)]
    assert names == ["20260921T141320Z-a-b-c", "20260921T141320Z-a-b-c-2"]


@pytest.mark.parametrize("umask", [0, 0o022])
def test_a_run_is_for_its_owner_only(tmp_path: Path, umask: int) -> None:
    """The run folder, its logs and its `stack/`, whatever the umask."""
    before = os.umask(umask)
    try:
        path = RunFolder.create(tmp_path / "runs", "a", Clock.start()).path
        StackFolder(path).progress("starting")
    finally:
        os.umask(before)
    assert [each.stat().st_mode & 0o777 for each in (path, path / "logs", path / "stack")] == [0o700] * 3


def test_run_json_reads_back_and_refuses_unknown_fields(folder: RunFolder) -> None:
    """Workload and shortened durations read back equal; an unknown field is damage."""
    cluster = ClusterInfo(
        kind="Deployment",
        workload="triton",
        namespace="llm",
        context="prod",
        endpoint="service 10.96.0.7:8001",
        balances="connections",
        skew_s={"kubernetes": 0.2},
    )
    shorter = Compression(what="scrape interval", local=1, production=30)
    info = folder.read_info().model_copy(update={"cluster": cluster, "compressions": (shorter,)})
    folder.write_info(info)
    assert folder.read_info() == info
    damaged = json.loads((folder.path / "run.json").read_text())
    damaged["cluster"]["surprise"] = 1
    folder.write_text("run.json", json.dumps(damaged))
    with pytest.raises(DatasetError, match=r"damaged at cluster\.surprise"):
        folder.read_info()


def test_parts_read_back_in_one_table(folder: RunFolder) -> None:
    """Rows of several writers and parts read back complete, in the schema's types."""
    folder.append("samples", "a", [{"t_s": 1.0, "signal": "ratio", "pod": "p", "value": 2.0}])
    folder.append("samples", "a", [{"t_s": 2.0, "signal": "ratio", "pod": None, "value": 3.0}])
    folder.append("samples", "b", [{"t_s": 3.0, "signal": "up", "pod": "p", "value": 1.0}])
    frame = folder.read("samples")
    assert sorted(frame.t_s) == [1.0, 2.0, 3.0]
    assert frame.pod.isna().sum() == 1


def test_empty_tables_have_columns(folder: RunFolder) -> None:
    """A table without parts reads as an empty frame with all columns; no rows make no part."""
    assert folder.append("events", "a", []) is None
    for table, schema in TABLES.items():
        assert list(folder.read(table).columns) == schema.names


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    """The message names the variable that sets the folder of the runs."""
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RecordError, match=r"cannot create the run folder .* set LOADGEN_RUNS_DIR"):
        RunFolder.create(tmp_path / "runs", "x", Clock(anchor_unix_s=0.0, anchor_monotonic_s=0.0))


def test_an_unfinished_part_is_ignored(folder: RunFolder) -> None:
    """The temporary file of a killed writer is not read."""
    folder.append("events", "a", [{"t_s": 1.0, "kind": "x"}])
    (folder.path / "events" / "part-a-000001.tmp").write_bytes(b"PAR1 half")
    assert len(folder.read("events")) == 1


def test_a_damaged_part_is_named(folder: RunFolder) -> None:
    """The message names the part and what to do."""
    folder.append("events", "a", [{"t_s": 1.0, "kind": "x"}])
    (folder.path / "events" / "part-a-000000.parquet").write_bytes(b"garbage")
    with pytest.raises(DatasetError, match=r"part-a-000000\.parquet cannot be read .*delete it"):
        folder.read("events")


def test_a_failed_write_keeps_the_recorded_data(folder: RunFolder) -> None:
    """The message says that the part cannot be written, and earlier parts stay."""
    folder.append("events", "a", [{"t_s": 1.0, "kind": "x"}])
    (folder.path / "samples").write_text("a file where the folder should be")
    with pytest.raises(RecordError, match="the data recorded before is kept") as caught:
        folder.append("samples", "a", [{"t_s": 1.0, "signal": "up", "pod": None, "value": 1.0}])
    assert caught.value.exit_code == ExitCode.TOOL
    assert len(folder.read("events")) == 1


FILL = """
import resource, sys
from pathlib import Path
from loadgen.dataset.folder import RunFolder
from loadgen.base.errors import RecordError

folder = RunFolder(Path(sys.argv[1]))
folder.append("events", "a", [{"t_s": 1.0, "kind": "x"}])
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # no file may grow beyond 100 bytes: the disk is full
try:
    folder.append("events", "a", [{"t_s": 2.0, "kind": "y"}])
except RecordError as error:
    print(error)
try:
    folder.write_text("report.md", "x" * 1000)
except RecordError as error:
    print(error)
"""


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    """The message says so, no incomplete file remains, and earlier parts are readable."""
    done = subprocess.run([sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("cannot record events in")
    assert "the data recorded before is kept" in first
    assert second.startswith(f"cannot write {tmp_path}/report.md")
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == ["part-a-000000.parquet"]
    assert len(RunFolder(tmp_path).read("events")) == 1


def test_info_reads_back(folder: RunFolder) -> None:
    """run.json reads back as it was written, and the clock comes from it."""
    info = folder.read_info()
    assert info.clock.at_unix(1_790_000_012.0) == 12.0
    assert RunFolder.open(folder.path).read_info() == info


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is not a run folder: it has no run.json"),
        ("{", "run.json cannot be read"),
        ("[]", "schema version None"),
        (json.dumps({"schema_version": SCHEMA_VERSION + 1}), "use the loadgen release that wrote it"),
        (json.dumps({"schema_version": SCHEMA_VERSION}), "is damaged at"),
    ],
)
def test_bad_info_is_refused(tmp_path: Path, content: str | None, says: str) -> None:
    """A missing, damaged or newer run has its own message and the exit code of wrong usage."""
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(DatasetError) as caught:
        RunFolder.open(tmp_path)
    assert says in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE


def test_the_imports_of_the_first_table_can_be_done_before() -> None:
    """The import of the module does not import pandas; `load_writer` does."""
    code = (
        "import sys; from loadgen.dataset.tables import load_writer; before = 'pandas' in sys.modules; load_writer(); "
        "print(before, 'pandas' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert said.split() == ["False", "True"]


@pytest.mark.parametrize("moved", [False, True])
def test_a_folder_that_is_gone_is_named(moved: bool, folder: RunFolder, tmp_path: Path) -> None:
    """Every write names the folder and what to do; nothing asks for space, and no new folder appears in its place."""
    folder.append("events", "a", [{"t_s": 1.0, "kind": "x"}])
    (folder.path / "run.json").write_text("{}")
    folder.check_present()
    if moved:
        folder.path.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(folder.path)
    for write in (
        folder.check_present,
        lambda: folder.append("events", "a", [{"t_s": 2.0, "kind": "x"}]),
        lambda: folder.write_text("run.json", "{}"),
    ):
        with pytest.raises(FolderGoneError, match=f"{folder.path} was deleted or moved .*run again, and leave"):
            write()
    assert not folder.path.exists()
