"""Connects runs to Locust's events: each Start makes one run, each stop finishes it."""

import math
import signal
import time

import gevent
from flask import has_request_context
from locust.env import Environment
from locust.runners import MasterRunner

from loadgen.base.console import say
from loadgen.base.errors import ExitCode
from loadgen.dataset.names import StopCause
from loadgen.dataset.run_info import GroupInfo
from loadgen.load.adapters.generators import DistributedGenerator, Generator, LocalGenerator
from loadgen.load.adapters.users import needs_users
from loadgen.load.plan import LoadPlan
from loadgen.protocols.endpoint import ClientName
from loadgen.run.connection_flags import connection_of, take_headers
from loadgen.run.execution import Execution
from loadgen.run.flags import with_flags
from loadgen.run.result import RunResult
from loadgen.run.web_ui import show_start
from loadgen.scenario.settings import Scenario

_OF_SIGNAL: dict[int, StopCause] = {signal.SIGINT: StopCause.CTRL_C, signal.SIGHUP: StopCause.HANGUP}


class Conductor:
    """Runs a scenario in the process that owns the run folder: an ordinary Locust process, or the master of workers.

    Args:
        environment: That of Locust.
        scenario: The scenario.
        group: The place of the run among repeats; None for runs by themselves.

    Raises:
        SettingsError: the prompt file is malformed.
    """

    def __init__(self, environment: Environment, scenario: Scenario, group: GroupInfo | None = None) -> None:
        assert environment.parsed_options is not None
        self._environment = environment
        self._options = environment.parsed_options
        self._run_time_flag = self._options.run_time
        self._headers = take_headers(self._options)
        self._scenario = scenario
        self._group = group
        self._plan = LoadPlan(scenario)
        self._client: ClientName = getattr(self._options, "client", "built-in")
        self._has_users = self._client == "reference" or needs_users(environment.user_classes)
        runner = environment.runner
        self._generator: Generator = (
            DistributedGenerator(runner)
            if isinstance(runner, MasterRunner)
            else LocalGenerator(environment, self._plan)
        )
        self._execution: Execution | None = None
        self._finishing: gevent.Greenlet | None = None
        self._result = RunResult()
        self._interrupts = 0
        self._signal: StopCause | None = None
        self._run_time_over_at = math.inf

    def users(self) -> int:
        """Number of Locust users; fixed while a load runs, even when workers connect or disconnect."""
        if not self._has_users:
            return 0
        workers = self._execution.workers if self._execution else None
        return self._plan.users(workers or max(1, self._generator.size()))

    def start(self) -> None:
        """Start a run, up to its first request; an error ends the run at the next `is_over`."""
        show_start(self._environment)
        self.wait()
        self._result = RunResult()
        self._environment.process_exit_code = int(ExitCode.TOOL)  # unless it ends: Locust's own code would be 1
        # the web UI leaves its run time in the options for the runs that follow
        run_time_s, self._options.run_time = self._options.run_time, self._run_time_flag
        self._run_time_over_at = time.monotonic() + (run_time_s or math.inf)
        self._execution = execution = Execution(
            self._plan, self._generator, run_time_s, client=self._client, has_users=self._has_users
        )
        with execution.errors.collected():
            scenario = with_flags(self._scenario, self._environment)
            if any(getattr(self._options, name, None) for name in ("num_users", "spawn_rate")):
                say("-u and -r have no effect: the scenario decides when each request is sent")
            if scenario.slo != self._scenario.slo:
                say("without streaming there are no token times: limits on TTFT, ITL and TPOT are ignored")
            execution.start(scenario, connection_of(self._options, self._headers, scenario), self._group)

    def is_over(self) -> bool:
        """Whether the current run is over; false without one."""
        return self._execution is not None and self._finishing is None and self._execution.is_over()

    def stopping(self) -> None:
        """Inform the current run that Locust stops its users."""
        if self._execution is not None:
            self._execution.stop(self._stop_cause())

    def finish(self) -> None:
        """Finish the current run; the users have stopped.

        This happens in a greenlet of its own, because Locust may kill the calling one. With the web UI the call
        returns at once: until it returns, Locust ignores a Start, while `start` waits for the greenlet.
        """
        if self._finishing is None and self._execution is not None:
            self._finishing = gevent.spawn(self._finish, self._execution)
        if self._environment.web_ui is None or self._options.autostart:
            self.wait()

    def _finish(self, execution: Execution) -> None:
        self._result = result = execution.finish()
        self._environment.process_exit_code = ExitCode.PASS if result.exit_code is None else result.exit_code
        if self._environment.web_ui is not None:
            self.print_summary()
        self._execution = self._finishing = None

    def wait(self) -> None:
        """Wait until `finish` is done."""
        if self._finishing is None:
            return
        finishing, folder = self._finishing, self._execution.folder if self._execution else None
        try:
            finishing.join()
        except KeyboardInterrupt:
            if self._interrupts == 1:
                self.wait()
                return
            finishing.kill()  # without a report, but the target still goes down
            say(f"stopped immediately; `loadgen report {folder}` reports on what was recorded")
            raise

    def _stop_cause(self) -> StopCause:
        """What made Locust stop its users, where it was not the run itself."""
        if self._signal is not None:
            return self._signal
        if has_request_context():  # Locust's web UI calls stop() while it answers the request
            return StopCause.WEB_UI
        if self._environment.web_ui is not None and time.monotonic() >= self._run_time_over_at:
            return StopCause.RUN_TIME  # the web UI has a timer of its own, which counts from Start
        return StopCause.CODE

    def interrupted(self, number: int = signal.SIGINT) -> None:
        """Count a Ctrl-C or SIGTERM: the first one finishes the run with its report, the second one ends it at once.

        Args:
            number: The signal.
        """
        self._interrupts += 1
        self._signal = _OF_SIGNAL.get(number, StopCause.TERMINATED)
        if self._finishing is not None and self._interrupts == 1:
            say("the report is being written; press Ctrl-C again to stop without it")

    def print_summary(self) -> None:
        """Print the outcome of the last run once, after Locust's own tables.

        With --json, standard output has Locust's JSON and nothing else.
        """
        self._result.print(only_messages=bool(getattr(self._options, "json", False)))
        self._result = RunResult()

    def is_active(self) -> bool:
        """Whether a run has started and is not finished."""
        return self._execution is not None
