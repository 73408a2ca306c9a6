"""`loadgen report` of a group of repeated runs."""

import json
from pathlib import Path

import pytest

from loadgen.base.errors import ExitCode
from loadgen.cli import main
from loadgen.dataset.run_info import GroupInfo
from support.runs.synthetic import Plan, write

GROUP = "20261124T120000Z-group-0123abcd"
SMALL = Plan(name="small", cycles=1, period_s=60.0, observed_s=5.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of a group of three, one by itself, and one that is damaged."""
    runs = tmp_path_factory.mktemp("runs")
    for number in (2, 1, None):
        folder = write(runs, SMALL)
        if number is not None:
            group = GroupInfo(id=GROUP, number=number, repeats=3, sync_period_s=15.0, sync_s=1.0)
            folder.write_info(folder.read_info().model_copy(update={"group": group}))
    (runs / "damaged").mkdir()
    (runs / "damaged/run.json").write_text("{")
    return runs


def test_a_group_is_reported_by_its_name(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its runs are those beside its folder, in the order of their numbers; the folder need not be there."""
    code = main(["report", str(runs / GROUP), "--reports", "json,html,markdown,junit"])
    document = json.loads((runs / GROUP / "group.json").read_text())
    assert code == {"pass": 0, "fail": 1, "invalid": 3}[document["verdict"]]
    assert [run["number"] for run in document["runs"]] == [1, 2]
    assert [run["phase_s"] for run in document["runs"]] == [0.0, 5.0]
    first, *_, last = capsys.readouterr().out.strip().splitlines()
    assert first.startswith(f"{document['verdict'].upper()}: ")
    assert last == str(runs / GROUP / "report.html")
    assert {path.name for path in (runs / GROUP).iterdir()} == {"group.json", "report.html", "report.md", "junit.xml"}


def test_a_group_without_runs_is_one_sentence(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As for every folder that is not one of a run."""
    assert main(["report", str(runs / "20261124T120000Z-group-other")]) == ExitCode.USAGE
    assert "is not a run folder" in capsys.readouterr().err
