"""Executes one run inside Locust: `start`, `is_over` once a second until it is true, then `stop` and `finish`."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import gevent
import numpy as np

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.console import say
from loadgen.base.errors import Interrupted, LoadgenError, RecordError
from loadgen.dataset.names import StopCause
from loadgen.dataset.run_info import GroupInfo
from loadgen.load.adapters.generators import Generator
from loadgen.load.adapters.shape import SPAWN_PER_S
from loadgen.load.arrivals import max_in_any_window
from loadgen.load.host import Host
from loadgen.load.plan import LoadPlan
from loadgen.load.share import Assignment
from loadgen.local.resources import check_files
from loadgen.protocols.endpoint import ClientName, connections
from loadgen.run.progress import Progress
from loadgen.run.result import Errors, RunResult
from loadgen.run.run import Run, ServedModel
from loadgen.scenario.settings import Scenario
from loadgen.selftest.ceilings import last, remark

_LEAD_S = 1.0
"""Time from the last preparation to the load; more where the start has to reach other processes."""
_LEAD_OF_WORKERS_S = 2.0
_OVERTIME_S = 15.0
_STOP_MARGIN_S = 1.0
"""Workers receive a stop at different moments, so the last arrivals before it may have no row."""


@dataclass(slots=True)
class LoadPhase:
    """The load of a run, from the moment that it was scheduled.

    Attributes:
        start: Reading of the monotonic clock at which the load starts.
        finished_after_s: Seconds from the start until every arrival had its outcome; None before.
    """

    start: float
    finished_after_s: float | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the load started; negative before."""
        return time.monotonic() - self.start


class Execution:
    """One run, from its folder to its report.

    Args:
        plan: Arrivals of the scenario.
        generator: Processes that send them.
        run_time_s: Locust's `--run-time`; None or 0 runs the whole load.
        client: Client that sends requests.
        has_users: Whether Locust's users send them.

    Attributes:
        errors: Errors so far; any of them ends the run.
        folder: Path of the run folder; None before it is created.
        workers: Number of sending processes once the load is assigned to them; None before.
    """

    def __init__(
        self,
        plan: LoadPlan,
        generator: Generator,
        run_time_s: float | None,
        *,
        client: ClientName = "built-in",
        has_users: bool = False,
    ) -> None:
        self._plan = plan
        self._generator = generator
        self._run_time_s = run_time_s
        self._client = client
        self._has_users = has_users
        self._run: Run | None = None
        self._load: LoadPhase | None = None
        self._stopped_at: float | None = None
        self._stop_cause: StopCause | None = None
        self._progress: gevent.Greenlet | None = None
        self.errors = Errors()
        self.folder: Path | None = None
        self.workers: int | None = None

    def start(self, scenario: Scenario, connection: Connection = DIRECT, group: GroupInfo | None = None) -> None:
        """Do everything from the run folder to the first request.

        Args:
            scenario: Scenario to run.
            connection: How to connect to a URL target.
            group: The place of the run among repeats.

        Raises:
            LoadgenError: the target, the collector or a sending process is not ready.
        """
        self._check_limits(scenario)
        self._run = run = Run(scenario, say, connection, group)
        self.folder = run.folder.path
        say(f"run folder {self.folder}")
        try:
            served = run.start()
            self._prepare_generator(run, served)
            self._start_load(run, served)
        except Exception:
            run.folder.check_present()  # a folder that is gone is the cause of any other error
            raise

    def _check_limits(self, scenario: Scenario) -> None:
        """Check before anything starts that this machine allows as many files and connections as the load needs.

        Raises:
            SelfCheckError: the limits of the load generators are too low.
            StackError: those of the local stack are.
        """
        users = self._plan.users(max(1, self._generator.size()))
        needed = users if self._has_users else connections(scenario.wire, self._client, users)
        self._generator.check_limits(needed)
        if scenario.target == "local":
            check_files(users)

    def _prepare_generator(self, run: Run, served: ServedModel) -> None:
        """Let every sending process plan its share, and check itself against the reference server."""
        reference = run.start_reference()
        self.workers = workers = self._generator.size()
        self._generator.prepare(
            [
                Assignment(
                    folder=str(run.folder.path.resolve()),
                    master=Host.here(),
                    endpoint=replace(served.endpoint, client=self._client),
                    model=served.model,
                    stream=run.scenario.stream,
                    reference=replace(reference, client=self._client),
                    worker=worker,
                    workers=workers,
                    has_users=self._has_users,
                )
                for worker in range(workers)
            ]
        )
        run.stop_reference()

    def _start_load(self, run: Run, served: ServedModel) -> None:
        scenario = run.scenario
        assert self.workers is not None
        spawning_s = self._plan.users(self.workers) / SPAWN_PER_S if self._has_users else 0.0
        lead_s = _LEAD_S if self.workers == 1 else _LEAD_OF_WORKERS_S
        load_start_s = run.load_start_s(lead_s + spawning_s)
        run.record_start(
            load_start_s, arrivals=len(self._plan), prompts=self._plan.prompts.of_run(run.info.run_id).info()
        )
        self._load = load = LoadPhase(start=run.clock.to_monotonic(load_start_s))
        self._generator.start(load_start_s)
        call = served.endpoint.call_name(served.model, stream=scenario.stream)
        say(
            f"sending {len(self._plan)} requests in {scenario.load.length_s:g} s to {served.model.name} "
            f"({call}, {scenario.target})"
        )
        if not self._has_users:
            peak_per_s = float(max_in_any_window(self._plan.due_s, 1.0))
            if remarked := remark(last(), scenario.wire, peak_per_s, self.workers):
                say(remarked)
        if repeated := len(self._plan) - self._plan.prompts.distinct:
            say(
                f"{repeated} of the {len(self._plan)} prompts repeat an earlier one, because there are only "
                f"{self._plan.prompts.distinct} different ones; a server with a prefix cache answers repeats faster"
            )
        self._progress = gevent.spawn(self._show_progress, run, Progress(self._plan, load.start, self._run_time_s))

    def _show_progress(self, run: Run, progress: Progress) -> None:
        while True:
            progress.show(self._generator.counts(), run.fleet())
            gevent.sleep(progress.pause_s())

    def is_over(self) -> bool:
        """Whether every request has its outcome, the run time is up, or an error ended the run."""
        if not self.errors and self._run is not None and self._load is not None:
            with self.errors.collected():
                return self._load_is_over(self._run, self._load)
        return bool(self.errors)

    def _load_is_over(self, run: Run, load: LoadPhase) -> bool:
        counts, elapsed_s = self._generator.counts(), load.elapsed_s
        if counts.error:
            raise LoadgenError(counts.error)
        if (failure := run.failure()) is not None:
            raise failure
        if self._run_time_s and elapsed_s > self._run_time_s:
            self._stop_cause = StopCause.RUN_TIME
            return True
        scenario = run.scenario
        length_s = scenario.load.length_s
        if load.finished_after_s is None and counts.complete and elapsed_s >= length_s:
            load.finished_after_s = elapsed_s
            run.record_end()
        if load.finished_after_s is not None:
            return elapsed_s >= load.finished_after_s + scenario.settle_s
        if elapsed_s > length_s + scenario.request_timeout_s + _OVERTIME_S:
            missing = counts.total - counts.ok - counts.failed
            raise LoadgenError(
                f"{missing} requests have no outcome {elapsed_s - length_s:.0f} s after the load, though each times "
                f"out after {scenario.request_timeout_s:g} s: free CPU, or use more processes (--processes), and run "
                "again"
            )
        return False

    def stop(self, cause: StopCause) -> None:
        """Note that Locust stops its users now: requests that are due later are not sent.

        Args:
            cause: What made Locust stop, unless this run itself did, at the end of its run time or load.
        """
        self._stopped_at = time.monotonic()
        self._stop_cause = self._stop_cause or cause

    def finish(self) -> RunResult:
        """Close the records, stop the target, and write the reports; Locust's users have stopped."""
        if self._progress is not None:
            self._progress.kill()
        run = self._run
        if run is None:
            return self._result()
        try:
            with self.errors.collected():
                if self._load is None:
                    self._record_no_load(run)
                else:
                    self._record_end(run, self._load)
        finally:
            with self.errors.collected():
                self._record_error(run)
            with self.errors.collected():
                run.stop()
        if self._load is None:
            return self._result()
        with self.errors.collected():
            run.folder.check_present()
            say("analyzing …")
            return self._result(*run.report())
        return self._result()

    def _record_no_load(self, run: Run) -> None:
        if not self.errors and not self._generator.size():
            self.errors.add(
                LoadgenError(
                    "every worker was lost before the load began, so nothing was sent: read the log above for the "
                    "reason, free memory and CPU, and run again"
                )
            )
        elif not self.errors:
            by = f", {self._stop_cause.label}" if self._stop_cause else ""
            self.errors.add(Interrupted(f"stopped before the load began{by}; nothing was sent"))
        run.record_error(str(self.errors.first))

    def _record_error(self, run: Run) -> None:
        """Record the error that ended the load early, unless it is that the folder cannot be written."""
        error = self.errors.first
        if run.info.state == "loading" and error is not None and not isinstance(error, RecordError):
            run.record_error(str(error))

    def _record_end(self, run: Run, load: LoadPhase) -> None:
        self._generator.close()
        if error := self._generator.counts().error:
            raise LoadgenError(error)
        if not self.errors and load.finished_after_s is None:
            stopped_after_s = (self._stopped_at or time.monotonic()) - load.start
            arrivals = int(np.searchsorted(self._plan.due_s, stopped_after_s - _STOP_MARGIN_S))
            run.record_stop(arrivals, self._stop_cause)

    def _result(self, exit_code: int | None = None, summary: str = "") -> RunResult:
        error = self.errors.first
        return RunResult(exit_code=exit_code if error is None else int(error.exit_code), summary=summary, error=error)
