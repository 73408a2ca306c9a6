"""The reports of one run."""

import shutil
import sys
from pathlib import Path

import pytest

import loadgen.run.run
from loadgen.base.errors import ExitCode, LoadgenError, RecordError
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import RunInfo
from loadgen.run.run import Run
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario


def test_a_report_that_takes_too_long_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is recorded, so the error says how to report on it later."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loadgen.run.run, "_REPORT_TIMEOUT_S", 0.01)
    run = Run(Scenario(name="x", load=Constant(per_s=1, duration_s=60)), say=lambda text: None)
    with pytest.raises(LoadgenError, match=f"`loadgen report {run.folder.path}`"):
        run.report()


def test_only_the_reports_of_the_scenario_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that reports is told which."""
    monkeypatch.chdir(tmp_path)
    scenario = Scenario(name="x", load=Constant(per_s=1, duration_s=60), reports=("markdown",))
    run = Run(scenario, say=lambda text: None)
    run.report()
    assert (run.folder.path / "report.md").is_file()
    assert not (run.folder.path / "report.html").exists()
    assert not (run.folder.path / "figures").exists()


def test_a_report_that_cannot_start_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python exits with 1 when it cannot start, for example without memory; that must not read as a FAIL."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    run = Run(Scenario(name="x", load=Constant(per_s=1, duration_s=60)), say=lambda text: None)
    assert run.report() == (ExitCode.TOOL, "")


@pytest.mark.parametrize("failures", [1, 3])
def test_a_disk_that_is_full_when_the_load_ends(failures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the load is recorded once space returns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loadgen.run.run, "_RETRY_S", 0.01)
    run = Run(Scenario(name="x", load=Constant(per_s=1, duration_s=60)), say=lambda text: None)
    run.record_start(0.0, arrivals=60)
    attempts = [RecordError("No space left on device")] * failures
    write = RunFolder.write_info

    def write_info(folder: RunFolder, info: RunInfo) -> None:
        if attempts:
            raise attempts.pop()
        write(folder, info)

    monkeypatch.setattr(RunFolder, "write_info", write_info)
    run.record_end()
    assert run.folder.read_info().state == "finished"
    assert len(run.folder.read("events")) == 2


def test_a_disk_that_stays_full_when_the_load_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error of the tool after a while."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loadgen.run.run, "_RETRY_S", 0.01)
    monkeypatch.setattr(loadgen.run.run, "FULL_DISK_S", 0.05)
    run = Run(Scenario(name="x", load=Constant(per_s=1, duration_s=60)), say=lambda text: None)
    (run.folder.path / "events").write_text("")  # a file in place of the folder
    with pytest.raises(RecordError, match="cannot record events"):
        run.record_end()
