"""The Locust plugin: the names that a scenario file imports, and the connection to Locust's events.

from loadgen.locust import Scenario, TritonUser, Wave
"""

import os
import signal
import sys
from contextlib import suppress
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from loadgen.base.console import protect_streams
from loadgen.base.processes import children_of, die_with_parent
from loadgen.load.adapters.generators import Worker
from loadgen.load.adapters.shape import ScenarioShape
from loadgen.load.adapters.users import TritonUser, apply_tags
from loadgen.load.adapters.worker_secret import listen_on_loopback, require_secret_of_workers
from loadgen.run.conductor import Conductor
from loadgen.run.connection_flags import connection_of
from loadgen.run.flags import add_flags, scenario_of, with_flags
from loadgen.run.option_checks import check_command_line
from loadgen.run.reexec import enter_sandbox_if_requested
from loadgen.run.repeats import check_repeats, end_with_repeats, own_group, repeat_if_requested
from loadgen.run.uncaught import errors_exit, exit_with_code
from loadgen.run.web_ui import show_stop
from loadgen.scenario.fleets import Kube, Local
from loadgen.scenario.prompts import Fixed, LogNormal, Prompts, Uniform
from loadgen.scenario.rates import Constant, Rate, Scaled, Sequence, Spike, Step, Sum, Wave
from loadgen.scenario.settings import Pricing, Scenario, Seeds, Slo, Validity

__all__ = [
    "Constant",
    "Fixed",
    "Kube",
    "Local",
    "LogNormal",
    "Pricing",
    "Prompts",
    "Rate",
    "Scaled",
    "Scenario",
    "Seeds",
    "Sequence",
    "Slo",
    "Spike",
    "Step",
    "Sum",
    "TritonUser",
    "Uniform",
    "Validity",
    "Wave",
]


def _connect(environment: Environment, runner: Any, **_: Any) -> None:
    """Connect this process, or exit with the code of the error: Locust would exit with 1 after an exception."""
    with errors_exit():
        _connect_to_events(environment, runner)


def _connect_to_events(environment: Environment, runner: Any) -> None:
    """Connect users, shape and conductor to the events of this process.

    Raises:
        SettingsError: the scenario or a flag is invalid.
    """
    options = environment.parsed_options
    assert options is not None
    if isinstance(runner, WorkerRunner):
        if options.processes:
            die_with_parent()
        worker = Worker(environment, runner)
        environment.events.test_stop.add_listener(lambda **_: worker.close())
        environment.process_exit_code = 0  # the master reports the verdict
        options.json = False  # and prints the statistics of all
        return
    check_repeats(getattr(options, "repeats", None))
    apply_tags(environment)
    scenario = scenario_of(environment.user_classes)
    connection_of(options, options.header or (), with_flags(scenario, environment))
    conductor = Conductor(environment, scenario, own_group())
    _interrupt_only_main(conductor)
    show_stop(environment)
    if options.processes:
        _keep_signals_of_the_terminal_from_workers()
    shape = ScenarioShape(conductor.users, conductor.is_over)
    shape.runner = runner
    environment.shape_class = shape
    if not options.print_stats:
        options.only_summary = True  # the live progress line replaces the table that Locust prints every two seconds
    environment.events.test_start.add_listener(lambda **_: conductor.start())
    environment.events.test_stopping.add_listener(lambda **_: conductor.stopping())
    environment.events.test_stop.add_listener(lambda **_: conductor.finish())
    environment.events.quit.add_listener(lambda **_: conductor.print_summary())

    def finish_run(**_: Any) -> None:
        if conductor.is_active():  # after SIGTERM, Locust takes the exit code before it stops the run
            runner.stop()
            conductor.finish()
            conductor.wait()

    environment.events.quitting.add_listener(finish_run)


def _interrupt_only_main(conductor: Conductor) -> None:
    """Raise KeyboardInterrupt in Locust's main greenlet, whichever greenlet runs when Ctrl-C is pressed.

    In any other greenlet it would end in a traceback. SIGTERM does the same: during a headless run with a load shape,
    Locust would handle it only after the run. So does SIGHUP, the end of the terminal, unless `nohup` ignores it.
    """
    main = gevent.getcurrent()
    loop = gevent.get_hub().loop

    def throw(number: int) -> None:
        conductor.interrupted(number)
        main.throw(KeyboardInterrupt)

    def interrupt(number: int, _: object) -> None:
        loop.run_callback(throw, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)


def _keep_signals_of_the_terminal_from_workers() -> None:
    """Give each worker of --processes a process group of its own: on Ctrl-C, the master stops them in order."""
    for worker in children_of(os.getpid()):
        with suppress(OSError):  # it has ended
            os.setpgid(worker, worker)


protect_streams()
sys.excepthook = exit_with_code
repeat_if_requested()
end_with_repeats()
enter_sandbox_if_requested()
require_secret_of_workers()
events.init_command_line_parser.add_listener(listen_on_loopback)
events.init_command_line_parser.add_listener(add_flags)
events.init_command_line_parser.add_listener(check_command_line)
events.init.add_listener(_connect)
