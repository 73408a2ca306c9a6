"""Damaged run folders: each gives an analysis that names the damage, or one sentence, and never another exception."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from loadgen_reports.write import write_reports

from loadgen.analyze.read import analyze_folder
from loadgen.analyze.results import Analysis
from loadgen.analyze.timeline import MAX_BINS, MAX_VALUES
from loadgen.base.errors import DatasetError, ExitCode
from loadgen.cli import main
from loadgen.dataset.folder import RunFolder
from support.runs.damage import SECOND, UNIX_S, Damage, base, damages, part, put, whole, with_info, with_value
from support.runs.synthetic.plan import LOAD_START_S
from support.runs.tables import by_code

CODE = "validity.damaged_rows"
DAMAGES = list(damages())


def read(folder: Path) -> Analysis:
    return analyze_folder(RunFolder.open(folder))


def damaged_rows(analysis: Analysis) -> list[str]:
    return [finding.advice for finding in analysis.findings if finding.code == CODE]


def first_answers(row: dict[str, Any]) -> bool:
    """Samples of a counter, which is always defined."""
    return bool(row["signal"] == "raw_success" and row["value"] == 1.0)


def check_sentence(error: DatasetError, folder: Path) -> None:
    """It names the folder, in one line, and the exit code is that of wrong usage."""
    assert error.exit_code == ExitCode.USAGE
    assert str(folder) in str(error)
    assert len(str(error).splitlines()) == 1
    assert len(str(error)) < 700


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """The analysis of the run before any damage."""
    return read(whole(tmp_path_factory.mktemp("sound") / "run"))


def test_the_folder_without_damage_has_none(sound: Analysis) -> None:
    """The damages below are the only cause of what they lead to."""
    assert damaged_rows(sound) == []
    assert sound.whole.scheduled == len(base()[1]["requests"])
    assert len(DAMAGES) > 120
    assert len({damage.name for damage in DAMAGES}) == len(DAMAGES)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_damaged_folder(damage: Damage, tmp_path: Path) -> None:
    """One sentence, or an analysis of the rows that can be true, with every report."""
    folder = damage.make(tmp_path / "run")
    if damage.outcome == "refused":
        with pytest.raises(DatasetError) as refused:
            read(folder)
        check_sentence(refused.value, folder)
        return
    try:
        analysis = read(folder)
    except DatasetError as error:
        if damage.outcome == "left out":
            raise
        check_sentence(error, folder)
        return
    write_reports(analysis, folder, ("json", "markdown", "junit"))
    json.loads((folder / "analysis.json").read_text(), parse_constant=pytest.fail)
    assert len(analysis.timeline.t_s) <= MAX_BINS
    texts = damaged_rows(analysis)
    if damage.outcome == "left out":
        (text,) = texts
        assert f"rows of {damage.table}" in text
        assert analysis.verdict == "invalid" or damage.table in ("samples", "events")


def test_each_fault_is_counted_and_named(tmp_path: Path) -> None:
    """Three faults in two tables: how many rows of how many, why, and an example of each."""
    folder = whole(tmp_path)
    requests = with_value("requests", "outcome", "surprise", lambda row: bool(row["request_id"] in (3, 5)))
    rows = requests.to_pylist()
    rows[7]["ended_s"] = math.inf
    put(folder, "requests", pa.Table.from_pylist(rows, requests.schema))
    put(folder, "samples", with_value("samples", "value", -1.0, first_answers))
    found = by_code(read(folder).findings, CODE)
    count = int(found.measured or 0) - 3
    assert found.advice.startswith(
        f"3 of {len(rows)} rows of requests are left out: "
        "2 with an unknown outcome (such as request_id 3, outcome surprise), "
        f"1 with an impossible ended_s (such as request_id {rows[7]['request_id']}, ended_s inf); "
        f"{count} of "
    )
    assert f"{count} with a negative value (such as signal raw_success, pod " in found.advice
    assert (found.severity, found.limit) == ("invalid", 0.0)


def test_left_out_requests_are_not_unrecorded(tmp_path: Path) -> None:
    """A damaged row is no row that a load process lost."""
    folder = whole(tmp_path)
    put(folder, "requests", with_value("requests", "scheduled_s", math.nan))
    assert by_code(read(folder).findings, "validity.rows").passed


def test_a_part_given_twice_is_not_twice_the_load(tmp_path: Path, sound: Analysis) -> None:
    """Every number of the requests is that of one copy, and the run is invalid."""
    folder = whole(tmp_path)
    for table in ("requests", "tokens", "events"):
        put(folder, table, base()[1][table], SECOND)
    analysis = read(folder)
    assert analysis.whole == sound.whole
    assert analysis.scaling == sound.scaling
    assert analysis.verdict == "invalid"
    count = len(base()[1]["requests"])
    assert (
        f"{count} of {2 * count} rows of requests are left out: {count} with the request_id of"
        in damaged_rows(analysis)[0]
    )


def test_samples_of_two_models_are_named(tmp_path: Path) -> None:
    """Two values for one time, signal and replica: the page says so and what to do, and the run is invalid."""
    folder = whole(tmp_path)
    ratio = [row for row in base()[1]["samples"].to_pylist() if row["signal"] == "ratio"]
    others = with_value("samples", "value", 7.25, lambda row: bool(row["signal"] == "ratio"))
    put(folder, "samples", others, SECOND)
    analysis = read(folder)
    (text,) = damaged_rows(analysis)
    assert f"{len(ratio)} with another value than a later row of the same time, signal and replica" in text
    assert "two models" in text
    assert analysis.verdict == "invalid"


def test_samples_that_are_there_twice_are_as_one(tmp_path: Path, sound: Analysis) -> None:
    """Overlapping reads of Prometheus repeat samples."""
    folder = whole(tmp_path)
    put(folder, "samples", base()[1]["samples"], SECOND)
    analysis = read(folder)
    assert damaged_rows(analysis) == []
    assert np.array_equal(analysis.timeline.ratio, sound.timeline.ratio, equal_nan=True)


def test_token_times_that_run_backwards(tmp_path: Path) -> None:
    """There is no negative gap, and the page does not say that the timestamps are in order."""
    folder = whole(tmp_path)
    times = base()[1]["tokens"].column("t_s").to_pylist()
    longest = max(times, key=len)
    put(folder, "tokens", with_value("tokens", "t_s", longest[::-1], lambda row: bool(row["t_s"] == longest)))
    analysis = read(folder)
    assert (analysis.whole.itl.p50 or 0.0) > 0
    clock = by_code(analysis.findings, "validity.clock")
    assert (clock.measured, clock.passed) == (1.0, False)
    assert "1 with token times that run backwards" in damaged_rows(analysis)[0]


@pytest.mark.parametrize(("count", "severity"), [(1, "warning"), (30, "invalid")])
def test_damage_of_samples_by_its_share(count: int, severity: str, tmp_path: Path) -> None:
    """Up to a hundredth of a table that only explains the verdict is a warning."""
    folder = whole(tmp_path)
    data = base()[1]["samples"]
    bad = pa.Table.from_pylist(
        [{"t_s": LOAD_START_S + n, "signal": "up", "pod": "x", "value": math.inf} for n in range(count)], data.schema
    )
    put(folder, "samples", bad, SECOND)
    assert 1 / 0.01 < len(data) < 30 / 0.01
    assert by_code(read(folder).findings, CODE).severity == severity


@pytest.mark.parametrize("table", ["requests", "samples", "events"])
def test_a_time_of_another_day_does_not_make_the_run_longer(table: str, tmp_path: Path, sound: Analysis) -> None:
    """Also where the clock of the run itself made it, which nothing sets."""
    folder = whole(tmp_path)
    rows = {
        "requests": lambda row: bool(row["request_id"] == 4),
        "samples": first_answers,
        "events": lambda row: bool(row["kind"] == "load_ended"),
    }
    column = "ended_s" if table == "requests" else "t_s"
    put(folder, table, with_value(table, column, LOAD_START_S + 20 * 86_400.0, rows[table]))
    analysis = read(folder)
    assert analysis.run.length_s == sound.run.length_s
    assert len(analysis.timeline.t_s) <= len(sound.timeline.t_s)
    assert f"rows of {table}" in damaged_rows(analysis)[0]


@pytest.mark.parametrize(
    ("edit", "code", "says"),
    [
        (lambda folder: None, ExitCode.INVALID, ""),
        (
            lambda folder: part(folder, "tokens").write_bytes(b""),
            ExitCode.USAGE,
            "part-a-000000.parquet cannot be read",
        ),
        (lambda folder: with_info(folder, ("limits", 0, "limit"), math.nan), ExitCode.USAGE, "run.json cannot be read"),
        (lambda folder: with_info(folder, ("limits", 0, "limit"), -1), ExitCode.USAGE, "run.json is damaged at limits"),
        (lambda folder: put(folder, "events", pa.table({"x": [1]})), ExitCode.USAGE, "it has no column t_s"),
    ],
    ids=["duplicates", "empty", "NaN", "negative", "foreign"],
)
def test_the_command(edit, code: ExitCode, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`loadgen report`: the exit code says what kind of problem it is, and the sentence is the only line."""
    folder = whole(tmp_path / "run")
    put(folder, "requests", base()[1]["requests"], SECOND)
    edit(folder)
    assert main(["report", str(folder), "--reports", "json"]) == code
    err = capsys.readouterr().err
    assert says in err
    assert len(err.splitlines()) == (1 if says else 0)


WORST = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
from loadgen.analyze.read import analyze_folder
from loadgen.dataset.folder import RunFolder

line = analyze_folder(RunFolder.open(Path(sys.argv[1]))).timeline
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(line.t_s), len(line.ratio_by_pod), line.bin_s, peak // 1024)
"""


@pytest.mark.parametrize("replicas", [0, 1000])
def test_memory_is_bounded(replicas: int, tmp_path: Path) -> None:
    """The longest run that a folder can describe, with a late row in each table and many replicas, in 1 GiB."""
    folder = whole(tmp_path / "run")
    end_s = 29 * 86_400.0
    info = json.loads((folder / "run.json").read_text())
    info["load_end_s"] = info["stages"][-1]["end_s"] = end_s
    (folder / "run.json").write_text(json.dumps(info))
    put(folder, "requests", with_value("requests", "ended_s", end_s, lambda row: bool(row["request_id"] == 4)))
    put(folder, "events", with_value("events", "t_s", end_s, lambda row: bool(row["kind"] == "load_ended")))
    rows = [
        {"t_s": LOAD_START_S + 2000.0 * n, "signal": "ratio", "pod": f"pod-{n}", "value": 0.5} for n in range(replicas)
    ]
    put(folder, "samples", pa.Table.from_pylist(rows, base()[1]["samples"].schema), SECOND)
    done = subprocess.run(
        [sys.executable, "-c", WORST, str(folder)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stderr == ""
    bins, drawn, width_s, megabytes = map(float, done.stdout.split())
    assert drawn == replicas + 1
    assert bins <= MAX_BINS
    assert bins * drawn <= MAX_VALUES
    assert bins * width_s >= end_s - LOAD_START_S
    assert megabytes < 1024


def test_a_unix_time_is_left_out(tmp_path: Path, sound: Analysis) -> None:
    """A time on the wall clock in place of one on the axis of the run is none of this run."""
    folder = whole(tmp_path)
    put(folder, "requests", with_value("requests", "scheduled_s", UNIX_S, lambda row: bool(row["request_id"] == 4)))
    analysis = read(folder)
    assert analysis.whole.scheduled == sound.whole.scheduled - 1
    assert np.isfinite(analysis.timeline.offered_per_s).all()
