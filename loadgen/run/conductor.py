"""Conducts a run inside Locust: from Start to the report, and what happens when anything on the way fails."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import numpy as np
from locust.env import Environment
from locust.runners import STATE_SPAWNING, MasterRunner

from loadgen.base.console import say
from loadgen.base.errors import LoadgenError, unexpected
from loadgen.load.adapters.generators import DistributedGenerator, Generator, LocalGenerator
from loadgen.load.adapters.shape import SPAWN_PER_S
from loadgen.load.host import Host
from loadgen.load.plan import LoadPlan
from loadgen.load.share import Assignment
from loadgen.run.flags import with_flags
from loadgen.run.progress import Progress
from loadgen.run.run import Run
from loadgen.scenario.settings import Scenario

_LEAD_S = 1.0
_OVERTIME_S = 15.0
_STOP_MARGIN_S = 1.0
"""Workers hear of a stop at moments of their own, so the last arrivals before it may have no row."""


class Conductor:
    """The process that has the run folder and the target: an ordinary Locust process, or the master of workers."""

    def __init__(self, environment: Environment, scenario: Scenario) -> None:
        assert environment.parsed_options is not None
        self._environment = environment
        self._options = environment.parsed_options
        self._run_time_flag = self._options.run_time
        self._scenario = scenario
        self._plan = LoadPlan(scenario)
        self._crew: Generator
        runner = environment.runner
        self._crew = DistributedGenerator(runner) if isinstance(runner, MasterRunner) else LocalGenerator(environment)
        self._workers: int | None = None
        self._run: Run | None = None
        self._run_time_s: float | None = None
        self._load_start: float | None = None
        self._over_at: float | None = None
        self._stopped_at: float | None = None
        self._error: LoadgenError | None = None
        self._progress: gevent.Greenlet | None = None
        self._finishing: gevent.Greenlet | None = None
        self._folder: Path | None = None
        self._last_words = ""
        self._last_error: LoadgenError | None = None

    def users(self) -> int:
        """Locust users that keep the loop open; fixed while a load runs, whatever becomes of the workers."""
        return self._plan.users(self._workers or max(1, self._crew.size()))

    def start(self) -> None:
        """Everything from the run folder to the first request; on trouble the run is called off."""
        runner = self._environment.runner
        if isinstance(runner, MasterRunner):
            runner.update_state(STATE_SPAWNING)  # until then it does not listen to Stop
        self.wait()
        self._load_start = self._over_at = self._stopped_at = self._error = self._workers = None
        self._last_words, self._last_error = "", None
        # the web UI leaves its run time behind for the runs after it
        self._run_time_s, self._options.run_time = self._options.run_time, self._run_time_flag
        try:
            self._start()
        except LoadgenError as error:
            self._error = error
        except Exception as fault:  # a fault of ours must still take the target down, and be seen
            self._error = unexpected(fault)

    def _start(self) -> None:
        scenario = with_flags(self._scenario, self._environment)
        if scenario.slo != self._scenario.slo:
            say("without streaming there are no token times: the scenario's limits on TTFT, ITL and TPOT are left out")
        self._run = run = Run(scenario, say)
        self._folder = run.folder.path
        say(f"run folder {run.folder.path}")
        target = run.up()
        reference = run.start_reference()
        self._workers = workers = self._crew.size()
        self._crew.prepare(
            [
                Assignment(
                    folder=str(run.folder.path.resolve()),
                    master=Host.here(),
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
        run.begin(load_start_s, arrivals=len(self._plan))
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
                self._error = error
        return self._error is not None

    def _over(self, run: Run, t_s: float) -> bool:
        counts = self._crew.counts()
        if counts.error:
            raise LoadgenError(counts.error)
        if (trouble := run.failure()) is not None:
            raise trouble
        if self._run_time_s and t_s > self._run_time_s:
            return True
        load_s = run.scenario.load.length_s
        if self._over_at is None and counts.over and t_s >= load_s:
            self._over_at = t_s
            run.end()
        if self._over_at is not None:
            return t_s >= self._over_at + run.scenario.settle_s
        if t_s > load_s + run.scenario.request_timeout_s + _OVERTIME_S:
            missing = counts.total - counts.ok - counts.failed
            raise LoadgenError(
                f"{missing} requests have no outcome {t_s - load_s:.0f} s after the load, though each times out after "
                f"{run.scenario.request_timeout_s:g} s: free CPU, or use more processes (--processes), and run again"
            )
        return False

    def stopping(self) -> None:
        """Note when the stop came: what is due from then on is not sent."""
        self._stopped_at = time.monotonic()

    def finish(self) -> None:
        """Close the records, take everything down, judge and report; the users have stopped.

        A greenlet of its own does it, for Locust may kill the one that called. Behind the web UI the call returns at
        once: Locust would ignore a Start until then, and ours waits.
        """
        if self._finishing is None:
            self._finishing = gevent.spawn(self._finish)
        if self._environment.web_ui is None or self._options.autostart:
            self.wait()

    def wait(self) -> None:
        """Wait until all that `finish` does is done."""
        if self._finishing is None:
            return
        try:
            self._finishing.join()
        except KeyboardInterrupt:
            self._finishing.kill()  # no report, but everything goes down
            say(f"stopped at once; what was recorded is judged by `loadgen report {self._folder}`")
            raise

    def _finish(self) -> None:
        run, load_start = self._run, self._load_start
        errors = [] if self._error is None else [self._error]
        self._run = self._load_start = self._error = self._workers = None
        code: int | None = None
        if self._progress is not None:
            self._progress.kill()
            self._progress = None
        if run is not None:
            if load_start is None and not errors:
                errors.append(LoadgenError("stopped before the load began; nothing was sent"))
            try:
                with _kept(errors):
                    if load_start is None:
                        run.not_started(str(errors[0]))
                    else:
                        self._close(run, load_start, broken=bool(errors))
            finally:
                with _kept(errors):
                    run.down()
            if load_start is not None:
                say("analysing …")
                with _kept(errors):
                    code, self._last_words = run.report()
        if errors:
            self._last_error, code = errors[0], errors[0].exit_code
        if code is not None:
            self._environment.process_exit_code = int(code)
        if self._environment.web_ui is not None:
            self.last_words()
        self._finishing = None

    def _close(self, run: Run, load_start: float, *, broken: bool) -> None:
        self._crew.close()
        if error := self._crew.counts().error:
            raise LoadgenError(error)
        if not broken:
            stopped_at = self._stopped_at or time.monotonic()
            run.stopped(int(np.searchsorted(self._plan.due_s, stopped_at - load_start - _STOP_MARGIN_S)))

    def last_words(self) -> None:
        """What the run comes to, after Locust's own tables."""
        if self._last_words:
            sys.stdout.write(f"\n{self._last_words}")
            sys.stdout.flush()
        if self._last_error is not None:
            say(f"error: {self._last_error}")
        self._last_words, self._last_error = "", None

    def active(self) -> bool:
        """Whether something stands that must be taken down."""
        return self._run is not None or self._finishing is not None

    def _show_progress(self, run: Run, progress: Progress) -> None:
        while True:
            progress.show(self._crew.counts(), run.fleet())
            gevent.sleep(1.0)


@contextmanager
def _kept(errors: list[LoadgenError]) -> Iterator[None]:
    """Add what goes wrong to the errors, so that the next step is still taken."""
    try:
        yield
    except LoadgenError as error:
        errors.append(error)
    except Exception as fault:
        errors.append(unexpected(fault))
