"""The reports of one run."""

import os
import shutil
import sys
from pathlib import Path

import pytest

import loadgen.run.run
from loadgen.base.errors import ExitCode, FolderGoneError, LoadgenError, RecordError
from loadgen.dataset import outage
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


@pytest.mark.parametrize("failures", [1, 3])
def test_a_disk_that_is_full_when_the_load_ends(failures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the load is recorded once space returns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(outage, "RETRY_S", 0.01)
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
    monkeypatch.setattr(outage, "RETRY_S", 0.01)
    monkeypatch.setattr(outage, "FULL_DISK_S", 0.05)
    run = Run(Scenario(name="x", load=Constant(per_s=1, duration_s=60)), say=lambda text: None)
    (run.folder.path / "events").write_text("")  # a file in place of the folder
    with pytest.raises(RecordError, match="cannot record events"):
        run.record_end()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return Run(Scenario(name="x", load=Constant(per_s=1, duration_s=60)), say=lambda text: None)


def reporter(run: Run, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Replace the process of the report by a shell script."""
    program = run.folder.path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("kill -KILL $$", "was killed, as the kernel does when memory runs out"),
        ("kill -INT $$", "was ended by SIGINT"),
        ("echo MemoryError >&2; exit 1", r"failed \(exit code 1"),
        ("exit 4", r"failed \(exit code 4"),
        ("echo no such folder >&2; exit 2", r"failed \(exit code 2"),
    ],
)
def test_a_report_without_a_verdict(run: Run, monkeypatch: pytest.MonkeyPatch, script: str, says: str) -> None:
    """The tool failed, whatever the exit code of the process, and the message has the command that reports later."""
    reporter(run, monkeypatch, script)
    with pytest.raises(LoadgenError, match=f"{says}.*`loadgen report {run.folder.path}`") as caught:
        run.report()
    assert caught.value.exit_code == ExitCode.TOOL


def test_ctrl_c_does_not_reach_the_report(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal interrupts the process group of the command; the report is in another session."""
    reporter(run, monkeypatch, "cut -d' ' -f6 /proc/$$/stat; exit 3")
    code, output = run.report()
    assert code == ExitCode.INVALID
    assert int(output) != os.getsid(0)


def test_a_deleted_run_folder_is_the_cause(run: Run) -> None:
    """Whatever else fails without the folder: the error names it, and does not advise to free space or to report."""
    run.record_start(0.0, arrivals=60)
    shutil.rmtree(run.folder.path)
    for step in (run.failure, run.record_end, run.report):
        with pytest.raises(FolderGoneError, match="was deleted or moved during the run"):
            step()
