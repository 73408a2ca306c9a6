"""The conductor: after any error the target is stopped, and recorded requests are reported on."""

import signal
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gevent
import gevent.event
import pytest
from flask import Flask
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from locust.env import Environment

from loadgen.base.console import say
from loadgen.base.errors import LoadgenError
from loadgen.load.plan import LoadPlan
from loadgen.load.share import Assignment
from loadgen.load.tally import Counts
from loadgen.run import conductor as conductor_module
from loadgen.run.conductor import Conductor
from loadgen.run.execution import Execution, LoadPhase
from loadgen.run.result import RunResult
from loadgen.run.run import Run
from loadgen.scenario.rates import Constant
from loadgen.scenario.settings import Scenario

SCENARIO = Scenario(
    name="x",
    load=Constant(per_s=1, duration_s=10),
    arrivals="even",
    target="grpc://127.0.0.1:1",
    request_timeout_s=5,
    reports=("html",),
)


class Processes:
    """Hand-written sending processes whose requests never end; with a fault, they fail when they are closed."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault

    def size(self) -> int:
        return 1

    def check_limits(self, users: int) -> None:
        pass

    def prepare(self, assignments: Sequence[Assignment]) -> None:
        pass

    def go(self, load_start_s: float) -> None:
        pass

    def counts(self) -> Counts:
        return Counts(total=10, sent=10, ok=7)

    def close(self) -> None:
        if self.fault:
            raise self.fault


def conductor_of(
    processes: Processes, ago_s: float, run_time_s: float | None = None
) -> tuple[Conductor, Environment, Run]:
    """A conductor whose load began a while ago."""
    environment = Environment(parsed_options=Namespace(run_time=None, autostart=False, client="built-in"))
    conductor = Conductor(environment, SCENARIO)
    conductor._execution = execution = Execution(LoadPlan(SCENARIO), processes, run_time_s)
    execution._run = run = Run(SCENARIO, say)
    run.record_start(run.clock.now_s() - ago_s, arrivals=10)
    execution._load = LoadPhase(start=time.monotonic() - ago_s)
    return conductor, environment, run


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOADGEN_REPORTS", "json,html")  # figures take seconds


def test_a_fault_at_the_end_is_printed_and_the_report_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Our own fault while the records are closed: traceback, sentence, exit code of the tool, and a report."""
    conductor, environment, run = conductor_of(Processes(ValueError("boom")), ago_s=5)
    conductor.finish()
    conductor.print_summary()
    printed = capsys.readouterr()
    assert environment.process_exit_code == 4
    assert "error: unexpected ValueError('boom'): please report it" in printed.err
    assert "Traceback" in printed.err
    assert (run.folder.path / "report.html").is_file()
    assert run.folder.read_info().state == "loading"


def test_a_load_that_does_not_end_is_a_tool_error(capsys: pytest.CaptureFixture[str]) -> None:
    """10 s of load, 5 s time-out, 15 s of overtime: after 29 s the run goes on, after 31 s it is a tool error."""
    conductor, _, _ = conductor_of(Processes(), ago_s=29)
    assert not conductor.is_over()
    conductor, environment, run = conductor_of(Processes(), ago_s=31)
    assert conductor.is_over()
    conductor.finish()
    conductor.print_summary()
    assert environment.process_exit_code == 4
    assert "error: 3 requests have no outcome 21 s after the load" in capsys.readouterr().err
    assert run.folder.read_info().state == "loading"


def test_a_stop_on_purpose_expects_the_rows_until_a_second_before_it() -> None:
    """Workers receive a stop at different moments, so the arrivals of its last second may have no row."""
    conductor, _, run = conductor_of(Processes(), ago_s=5)
    earliest = time.monotonic()
    conductor.stopping()
    latest = time.monotonic()
    load_start = run.clock.to_monotonic(run.info.load_start_s or 0.0)
    conductor.finish()
    due_s = LoadPlan(SCENARIO).due_s
    info = run.folder.read_info()
    assert info.state == "stopped"
    assert info.expected_rows is not None
    assert (due_s < earliest - load_start - 1.1).sum() <= info.expected_rows
    assert info.expected_rows <= (due_s < latest - load_start - 0.9).sum()


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "report", lambda _: (0, ""))


def stop_cause(run: Run) -> str | None:
    """How the load was stopped, which `run.json` and the event say alike."""
    (event,) = [each for each in run.folder.read("events").to_dict("records") if each["kind"] == "load_stopped"]
    info = run.folder.read_info()
    assert info.state == "stopped"
    assert info.stop_cause == event["reason"]
    return info.stop_cause


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    ("number", "cause"), [(signal.SIGINT, "ctrl_c"), (signal.SIGTERM, "sigterm"), (signal.SIGHUP, "sighup")]
)
def test_a_load_that_a_signal_stops(number: int, cause: str) -> None:
    """Each signal is recorded by its own name."""
    conductor, _, run = conductor_of(Processes(), ago_s=5)
    conductor.interrupted(number)
    conductor.stopping()
    conductor.finish()
    assert stop_cause(run) == cause


@pytest.mark.usefixtures("no_report")
def test_a_load_whose_run_time_is_over() -> None:
    """Also if Ctrl-C is pressed afterwards, while requests in flight finish."""
    conductor, _, run = conductor_of(Processes(), ago_s=5, run_time_s=4)
    assert conductor.is_over()
    conductor.interrupted()
    conductor.stopping()
    conductor.finish()
    assert stop_cause(run) == "run_time"


@pytest.mark.usefixtures("no_report")
def test_a_load_that_code_stops() -> None:
    """Locust tells the run only that it stops: no signal, no run time and no button."""
    conductor, _, run = conductor_of(Processes(), ago_s=5)
    conductor.stopping()
    conductor.finish()
    assert stop_cause(run) == "code"


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(("run_time_over", "cause"), [(None, "web_ui"), (True, "run_time"), (False, "code")])
def test_a_load_that_the_web_ui_stops(run_time_over: bool | None, cause: str) -> None:
    """Stop is a request to Locust's server; its own timer and code in the locustfile are none."""
    conductor, environment, run = conductor_of(Processes(), ago_s=5)
    environment.web_ui = cast(Any, SimpleNamespace())
    conductor._run_time_over_at = time.monotonic() + (-1 if run_time_over else 100)
    with Flask("test").test_request_context("/stop") if run_time_over is None else nullcontext():
        conductor.stopping()
    conductor.finish()
    conductor.wait()
    assert stop_cause(run) == cause


@pytest.mark.usefixtures("no_report")
def test_an_error_that_ends_the_load_is_recorded() -> None:
    """A worker that was lost, for instance: run.json says so, and the event of a stop is missing."""
    conductor, _, run = conductor_of(Processes(LoadgenError("worker w-1 was lost")), ago_s=5)
    conductor.stopping()
    conductor.finish()
    info = run.folder.read_info()
    assert (info.state, info.stop_cause, info.error) == ("loading", None, "worker w-1 was lost")


def test_a_stop_before_the_load_is_an_error_and_nothing_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to judge; run.json says why."""
    environment = Environment(parsed_options=Namespace(run_time=None, autostart=False, client="built-in"))
    conductor = Conductor(environment, SCENARIO)
    conductor._execution = execution = Execution(LoadPlan(SCENARIO), Processes(), run_time_s=None)
    execution._run = run = Run(SCENARIO, say)
    conductor.interrupted(signal.SIGTERM)
    conductor.stopping()
    conductor.finish()
    conductor.print_summary()
    assert environment.process_exit_code == 130
    assert "error: stopped before the load began, by SIGTERM; nothing was sent" in capsys.readouterr().err
    assert run.folder.read_info().error == "stopped before the load began, by SIGTERM; nothing was sent"
    assert not (run.folder.path / "report.html").exists()


def test_a_stop_after_all_workers_were_lost_is_a_tool_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Locust stops a test without workers; the user did not."""
    environment = Environment(parsed_options=Namespace(run_time=None, autostart=False, client="built-in"))
    conductor = Conductor(environment, SCENARIO)
    processes = Processes()
    processes.size = lambda: 0  # type: ignore[method-assign]
    conductor._execution = execution = Execution(LoadPlan(SCENARIO), processes, run_time_s=None)
    execution._run = Run(SCENARIO, say)
    conductor.finish()
    conductor.print_summary()
    assert environment.process_exit_code == 4
    assert "error: every worker was lost before the load began" in capsys.readouterr().err


def test_the_web_ui_shows_a_start_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the target starts the page has the state of a running test, though it was read as ready just before."""
    parser = get_empty_argument_parser(add_help=False)
    setup_parser_arguments(parser)
    monkeypatch.setattr(sys, "argv", ["locust"])  # which Locust's page reads
    environment = Environment(parsed_options=parser.parse_args([]), user_classes=[])
    environment.create_local_runner()
    page = environment.create_web_ui(delayed_start=True).app.test_client()
    conductor = Conductor(environment, SCENARIO)
    states = [page.get("/stats/requests").json["state"]]
    monkeypatch.setattr(conductor_module, "with_flags", lambda scenario, _: scenario)
    monkeypatch.setattr(Execution, "start", lambda *_: states.append(page.get("/stats/requests").json["state"]))
    conductor.start()
    assert states == ["ready", "spawning"]


class Analysis:
    """An execution that is analyzing until it is released."""

    def __init__(self) -> None:
        self.released = gevent.event.Event()
        self.folder = Path("runs/x")

    def finish(self) -> RunResult:
        self.released.wait()
        return RunResult(exit_code=0)


def interrupted(times: int) -> tuple[Environment, Analysis, Conductor]:
    """A conductor in whose analysis Ctrl-C is pressed; the analysis ends later."""
    environment = Environment(parsed_options=Namespace(run_time=None, autostart=False, client="built-in"))
    conductor = Conductor(environment, SCENARIO)
    analysis = Analysis()
    conductor._execution = analysis  # type: ignore[assignment]
    main = gevent.getcurrent()

    def press() -> None:
        conductor.interrupted()
        main.throw(KeyboardInterrupt)

    for _ in range(times):
        gevent.get_hub().loop.run_callback(press)
    gevent.spawn_later(0.01, analysis.released.set)
    return environment, analysis, conductor


def test_one_interrupt_during_the_analysis_keeps_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    """The first Ctrl-C waits for the report, and says so."""
    environment, _, conductor = interrupted(times=1)
    conductor.finish()
    assert environment.process_exit_code == 0
    assert "press Ctrl-C again to stop without it" in capsys.readouterr().err


def test_a_second_interrupt_during_the_analysis_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the command that reports later."""
    environment, _, conductor = interrupted(times=2)
    with pytest.raises(KeyboardInterrupt):
        conductor.finish()
    assert environment.process_exit_code is None
    assert "`loadgen report runs/x`" in capsys.readouterr().err


def test_a_run_leaves_nothing_to_the_next() -> None:
    """The error of one run does not end the next."""
    conductor, _, _ = conductor_of(Processes(ValueError("boom")), ago_s=31)
    assert conductor.is_over()
    conductor.finish()
    assert not conductor.is_over()
    assert not conductor.is_active()


def test_an_error_of_a_sending_process_ends_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """A disk that stays full, for example: the run ends as a tool error, with a report on what was recorded."""

    class Failed(Processes):
        def counts(self) -> Counts:
            return Counts(total=10, sent=10, ok=7, error="cannot record requests: the data recorded before is kept")

    conductor, environment, run = conductor_of(Failed(), ago_s=5)
    assert conductor.is_over()
    conductor.finish()
    conductor.print_summary()
    assert environment.process_exit_code == 4
    assert "error: cannot record requests: the data recorded before is kept" in capsys.readouterr().err
    assert (run.folder.path / "report.html").is_file()


def test_a_fault_while_the_load_runs_is_a_tool_error(capsys: pytest.CaptureFixture[str]) -> None:
    """An unexpected exception in the check once a second ends the run; Locust would log it and run for ever."""

    class Faulty(Processes):
        def counts(self) -> Counts:
            raise ZeroDivisionError("boom")

    conductor, _, _ = conductor_of(Faulty(), ago_s=5)
    assert conductor.is_over()
    assert "unexpected" not in capsys.readouterr().out
