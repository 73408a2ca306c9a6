"""The conductor: whatever goes wrong at the end, the target goes down, and what was recorded is reported on."""

import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import pytest
from locust.env import Environment

from loadgen.base.console import say
from loadgen.load.sender import Counts
from loadgen.load.share import Assignment
from loadgen.run.conductor import Conductor
from loadgen.run.run import Run
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario

SCENARIO = Scenario(
    name="x", load=Constant(per_s=1, duration_s=10), arrivals="even", target="grpc://127.0.0.1:1", request_timeout_s=5
)


class Processes:
    """Hand-written sending processes that never end their requests, and fail at the end if told so."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault

    def size(self) -> int:
        return 1

    def prepare(self, assignments: Sequence[Assignment]) -> None:
        pass

    def go(self, load_start_s: float) -> None:
        pass

    def counts(self) -> Counts:
        return Counts(total=10, sent=10, ok=7)

    def close(self) -> None:
        if self.fault:
            raise self.fault


def conductor_of(crew: Processes, ago_s: float) -> tuple[Conductor, Environment, Run]:
    """A conductor whose load began a while ago."""
    environment = Environment(parsed_options=Namespace(run_time=None, autostart=False))
    conductor = Conductor(environment, SCENARIO)
    conductor._run = run = Run(SCENARIO, say)
    conductor._crew = crew
    run.begin(run.clock.now_s() - ago_s, arrivals=10)
    conductor._load_start = time.monotonic() - ago_s
    return conductor, environment, run


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOADGEN_REPORTS", "json,html")  # figures take seconds


def test_a_fault_at_the_end_is_told_and_the_report_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Our own fault while the records are closed: traceback, sentence, exit code of the tool, and a report."""
    conductor, environment, run = conductor_of(Processes(ValueError("boom")), ago_s=5)
    conductor.finish()
    conductor.last_words()
    said = capsys.readouterr()
    assert environment.process_exit_code == 4
    assert "error: unexpected ValueError('boom'): please report it" in said.err
    assert "Traceback" in said.err
    assert (run.folder.path / "report.html").is_file()
    assert run.folder.read_info().state == "loading"


def test_a_load_that_does_not_end_is_no_stop_on_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    """10 s of load, 5 s time-out, 15 s of patience: after 29 s all is open, after 31 s the run is a tool error."""
    conductor, _, _ = conductor_of(Processes(), ago_s=29)
    assert not conductor.over()
    conductor, environment, run = conductor_of(Processes(), ago_s=31)
    assert conductor.over()
    conductor.finish()
    conductor.last_words()
    assert environment.process_exit_code == 4
    assert "error: 3 requests have no outcome 21 s after the load" in capsys.readouterr().err
    assert run.folder.read_info().state == "loading"


def test_a_run_leaves_nothing_to_the_next() -> None:
    """What broke a run off does not end the next one before it began."""
    conductor, _, _ = conductor_of(Processes(ValueError("boom")), ago_s=31)
    assert conductor.over()
    conductor.finish()
    assert not conductor.over()
    assert not conductor.active()
