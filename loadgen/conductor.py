"""Conducts a run inside Locust: from Start to the report, and what happens when anything on the way fails."""

import sys
import time
import traceback

import gevent
from locust.env import Environment
from locust.runners import MasterRunner

from loadgen.errors import ExitCode, LoadgenError
from loadgen.flags import with_flags
from loadgen.load.carrier import Assignment
from loadgen.load.crew import Crew, LoneCrew, WorkerCrew
from loadgen.load.plan import LoadPlan
from loadgen.load.shapes import SPAWN_PER_S
from loadgen.progress import Progress, say
from loadgen.run import Run
from loadgen.settings import Scenario

_LEAD_S = 1.0
_OVERTIME_S = 15.0


class Conductor:
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
        if self._error is None and self._run is not None and self._load_start is not None:
            try:
                return self._over(self._run, time.monotonic() - self._load_start)
            except LoadgenError as error:
                self._call_off(error)
        return self._error is not None

    def _over(self, run: Run, t_s: float) -> bool:
        counts = self._crew.counts()
        if counts.error:
            raise LoadgenError(counts.error)
        if (trouble := run.trouble()) is not None:
            raise trouble
        options = self._environment.parsed_options
        if options is not None and options.run_time and t_s > float(options.run_time):
            return True
        load_s = run.scenario.load.length_s
        if self._over_at is None and counts.over and t_s >= load_s:
            self._over_at = t_s
            run.end(stopped=False)
        if self._over_at is not None:
            return t_s >= self._over_at + run.scenario.settle_s
        return t_s > load_s + run.scenario.request_timeout_s + _OVERTIME_S

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
