"""The reports of one run."""

import shutil
import sys
from pathlib import Path

import pytest

import loadgen.run.run
from loadgen.base.errors import ExitCode, LoadgenError
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
