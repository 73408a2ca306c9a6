"""The Locust plugin: what a scenario file imports. It wires flags, shape, users, run and report to Locust's events.

from loadgen.locust import Scenario, TritonUser, Wave
"""

import signal
import sys
import time
import traceback
from argparse import Namespace
from types import TracebackType
from typing import Any

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadgen.errors import ExitCode, LoadgenError, SettingsError
from loadgen.load.carrier import Assignment
from loadgen.load.crew import Crew, LoneCrew, Worker, WorkerCrew
from loadgen.load.plan import LoadPlan
from loadgen.load.rates import Constant, Spike, Step, Wave
from loadgen.load.shapes import SPAWN_PER_S, ScenarioShape
from loadgen.load.users import TritonUser
from loadgen.progress import Progress, say
from loadgen.run import Run
from loadgen.settings import TOKEN_LIMITS, Fixed, Local, LogNormal, Prompts, Scenario, Seeds, Slo, Uniform, Validity

__all__ = [
    "Constant",
    "Fixed",
    "Local",
    "LogNormal",
    "Prompts",
    "Scenario",
    "Seeds",
    "Slo",
    "Spike",
    "Step",
    "TritonUser",
    "Uniform",
    "Validity",
    "Wave",
]

_LEAD_S = 1.0
_OVERTIME_S = 15.0


def scenario_of(user_classes: list[type[Any]]) -> Scenario:
    """The one scenario of the user classes that Locust was given.

    Raises:
        SettingsError: no class has one, or they have different ones.
    """
    scenarios = {cls.__name__: getattr(cls, "scenario", None) for cls in user_classes if issubclass(cls, TritonUser)}
    if not scenarios:
        raise SettingsError("the locustfile has no TritonUser: write `class MyUser(TritonUser): scenario = …`")
    for name, scenario in scenarios.items():
        if not isinstance(scenario, Scenario):
            raise SettingsError(f"{name}.scenario is {scenario!r}: set it to a Scenario(…)")
    first, *others = scenarios.values()
    if any(other != first for other in others):
        raise SettingsError(
            f"a run has one scenario: name one user class on the command line, {' or '.join(scenarios)}"
        )
    assert isinstance(first, Scenario)
    return first


def with_flags(scenario: Scenario, options: Namespace, host: str | None) -> Scenario:
    """The scenario with the command line's words; Locust's own `--host` names a target too.

    Raises:
        SettingsError: the words contradict the scenario or one another.
    """
    changes: dict[str, Any] = {}
    if target := options.target or (host if host != TritonUser.host else None):
        changes["target"] = target
    for flag in ("protocol", "stream", "model"):
        if (value := getattr(options, flag)) not in (None, ""):
            changes[flag] = value
    timed = {name: None for name, limit in scenario.slo if name in TOKEN_LIMITS and limit is not None}
    if changes.get("stream") is False and timed:
        say("without streaming there are no token times: the scenario's limits on TTFT, ITL and TPOT are left out")
        changes["slo"] = Slo(**{**dict(scenario.slo), **timed})
    return scenario.replace(**changes) if changes else scenario


class _Conductor:
    """The process that has the run folder and the target: an ordinary Locust process, or the master of workers."""

    def __init__(self, environment: Environment, scenario: Scenario) -> None:
        self._environment = environment
        self._scenario = scenario
        self._plan = LoadPlan(scenario)
        self._crew: Crew
        runner = environment.runner
        self._crew = WorkerCrew(runner) if isinstance(runner, MasterRunner) else LoneCrew(environment)
        self._run: Run | None = None
        self._load_start: float | None = None
        self._over_at: float | None = None
        self._error: LoadgenError | None = None
        self._last_words = ""
        self._progress: gevent.Greenlet | None = None

    def users(self) -> int:
        """Locust users that keep the loop open."""
        return self._plan.users(max(1, self._crew.size()))

    def start(self) -> None:
        """Everything from the run folder to the first request; on trouble the run is called off."""
        self._load_start = self._over_at = self._error = None
        self._last_words = ""
        try:
            self._start()
        except LoadgenError as error:
            self._call_off(error)
        except Exception as error:  # a fault of ours must still take the target down, and be seen
            traceback.print_exc()
            self._call_off(LoadgenError(f"unexpected {error!r}: please report it with the lines above"))

    def _start(self) -> None:
        options = self._environment.parsed_options
        assert options is not None
        scenario = with_flags(self._scenario, options, self._environment.host)
        self._run = run = Run(scenario, say)
        say(f"run folder {run.folder.path}")
        target = run.up()
        reference = run.start_reference()
        workers = self._crew.size()
        self._crew.prepare(
            [
                Assignment(
                    folder=str(run.folder.path.resolve()),
                    endpoint=target.endpoint,
                    model=target.model,
                    stream=scenario.stream,
                    reference=reference,
                    worker=worker,
                    workers=workers,
                )
                for worker in range(workers)
            ]
        )
        run.stop_reference()
        load_start_s = run.clock.now_s() + _LEAD_S + self.users() / SPAWN_PER_S
        run.begin(load_start_s)
        self._load_start = run.clock.to_monotonic(load_start_s)
        self._crew.go(load_start_s)
        call = target.endpoint.call_name(target.model, stream=scenario.stream)
        say(
            f"sending {len(self._plan)} requests in {scenario.load.length_s:g} s to {target.model.name} "
            f"({call}, {scenario.target})"
        )
        self._progress = gevent.spawn(self._show_progress, run, Progress(self._plan, self._load_start))

    def over(self) -> bool:
        """Whether the run is over: every answer is there, time is up, or it cannot go on."""
        if self._error is not None:
            return True
        if self._run is None or self._load_start is None:
            return False
        counts = self._crew.counts()
        if counts.error:
            self._error = LoadgenError(counts.error)
            return True
        if (trouble := self._run.trouble()) is not None:
            self._error = trouble
            return True
        t_s = time.monotonic() - self._load_start
        options = self._environment.parsed_options
        if options is not None and options.run_time and t_s > float(options.run_time):
            return True
        scenario = self._run.scenario
        if self._over_at is None and counts.over and t_s >= scenario.load.length_s:
            self._over_at = t_s
            self._run.end(stopped=False)
        if self._over_at is not None:
            return t_s >= self._over_at + scenario.settle_s
        return t_s > scenario.load.length_s + scenario.request_timeout_s + _OVERTIME_S

    def finish(self) -> None:
        """Close the records, take everything down, judge and report; the users have stopped."""
        run, self._run = self._run, None
        if run is None:
            self._set_exit_code(self._error.exit_code if self._error else None)
            return
        if self._progress is not None:
            self._progress.kill()
            self._progress = None
        try:
            self._crew.close()
            error = self._crew.counts().error
            if error and self._error is None:
                self._error = LoadgenError(error)
            run.end(stopped=True)  # unless it ended by itself before
        except LoadgenError as error_at_end:
            self._error = self._error or error_at_end
        finally:
            run.down()
        if self._load_start is None:
            self._set_exit_code(self._error.exit_code if self._error else ExitCode.TOOL)
            return
        say("analysing …")
        code, text = run.report()
        self._set_exit_code(self._error.exit_code if self._error else code)
        self._last_words = text
        if self._environment.web_ui is not None:
            self.last_words()

    def last_words(self) -> None:
        """What the run comes to, after Locust's own tables."""
        if self._last_words:
            sys.stdout.write(f"\n{self._last_words}")
            sys.stdout.flush()
            self._last_words = ""
        if self._error is not None:
            say(f"error: {self._error}")

    def active(self) -> bool:
        """Whether something stands that must be taken down."""
        return self._run is not None

    def _call_off(self, error: LoadgenError) -> None:
        self._error = error
        if self._environment.web_ui is not None:
            say(f"error: {error}")

    def _set_exit_code(self, code: int | None) -> None:
        if code is not None:
            self._environment.process_exit_code = int(code)

    def _show_progress(self, run: Run, progress: Progress) -> None:
        while True:
            progress.show(self._crew.counts(), run.fleet())
            gevent.sleep(1.0)


def _add_flags(parser: LocustArgumentParser) -> None:
    group = parser.add_argument_group("Triton load test")
    group.add_argument(
        "--target",
        default=None,
        env_var="LOADGEN_TARGET",
        help="'local' (embedded stack), or the URL of a Triton: http://host:8000, grpc://host:8001",
    )
    group.add_argument("--protocol", choices=["grpc", "http"], default=None, help="protocol to speak")
    group.add_argument("--stream", dest="stream", action="store_const", const=True, default=None, help="stream tokens")
    group.add_argument(
        "--no-stream", dest="stream", action="store_const", const=False, help="wait for the whole answer"
    )
    group.add_argument("--model", default=None, help="model to drive, when several fit")


def _wire(environment: Environment, runner: Any, **_: Any) -> None:
    """Connect the parts to this process's Locust; faults in the settings end it with one sentence."""
    if isinstance(runner, WorkerRunner):
        worker = Worker(environment, runner)
        environment.events.test_stop.add_listener(lambda **_: worker.close())
        environment.process_exit_code = 0  # the master judges
        return
    options = environment.parsed_options
    assert options is not None
    try:
        scenario = scenario_of(environment.user_classes)
        with_flags(scenario, options, environment.host)
        conductor = _Conductor(environment, scenario)
    except LoadgenError as error:
        say(f"error: {error}")
        sys.exit(int(error.exit_code))
    # Locust handles SIGTERM only once a shape's headless run is over; until then it is to end like Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shape = ScenarioShape(conductor.users, conductor.over)
    shape.runner = runner
    environment.shape_class = shape
    if not options.print_stats:
        options.only_summary = True  # the live line stands where Locust would print its table every two seconds
    environment.events.test_start.add_listener(lambda **_: conductor.start())
    environment.events.test_stop.add_listener(lambda **_: conductor.finish())
    environment.events.quit.add_listener(lambda **_: conductor.last_words())

    def take_down(**_: Any) -> None:
        if conductor.active():  # SIGTERM: Locust decides on its exit code before it stops the run
            runner.stop()
            conductor.finish()

    environment.events.quitting.add_listener(take_down)


def _tell_as_sentence(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show our own errors as one sentence: Locust lets those of a locustfile's import fall through."""
    if isinstance(error, LoadgenError):
        say(f"error: {error}")
        sys.exit(int(error.exit_code))
    sys.__excepthook__(kind, error, trace)


events.init_command_line_parser.add_listener(_add_flags)
events.init.add_listener(_wire)
sys.excepthook = _tell_as_sentence
