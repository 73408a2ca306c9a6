"""The Locust plugin: what a scenario file imports. It connects flags, shape, users and conductor to Locust's events.

from loadgen.locust import Scenario, TritonUser, Wave
"""

import signal
import sys
from types import TracebackType
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from loadgen.base.console import say
from loadgen.base.errors import LoadgenError
from loadgen.load.adapters.generators import Worker
from loadgen.load.adapters.shape import ScenarioShape
from loadgen.load.adapters.users import TritonUser
from loadgen.run.conductor import Conductor
from loadgen.run.flags import add_flags, scenario_of, with_flags
from loadgen.run.reexec import enter_sandbox_if_asked
from loadgen.scenario.rates import Constant, Spike, Step, Wave
from loadgen.scenario.settings import Fixed, Local, LogNormal, Prompts, Scenario, Seeds, Slo, Uniform, Validity

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
        with_flags(scenario, environment)
        conductor = Conductor(environment, scenario)
    except LoadgenError as error:
        say(f"error: {error}")
        sys.exit(int(error.exit_code))
    _interrupt_only_main()
    shape = ScenarioShape(conductor.users, conductor.over)
    shape.runner = runner
    environment.shape_class = shape
    if not options.print_stats:
        options.only_summary = True  # the live line stands where Locust would print its table every two seconds
    environment.events.test_start.add_listener(lambda **_: conductor.start())
    environment.events.test_stopping.add_listener(lambda **_: conductor.stopping())
    environment.events.test_stop.add_listener(lambda **_: conductor.finish())
    environment.events.quit.add_listener(lambda **_: conductor.print_summary())

    def take_down(**_: Any) -> None:
        if conductor.active():  # SIGTERM: Locust decides on its exit code before it stops the run
            runner.stop()
            conductor.finish()
            conductor.wait()

    environment.events.quitting.add_listener(take_down)


def _interrupt_only_main() -> None:
    """Let Ctrl-C reach Locust's main greenlet, whichever one runs at that moment: in any other it is a traceback.

    SIGTERM ends a run like Ctrl-C, too: Locust handles it only once a shape's headless run is over.
    """
    main = gevent.getcurrent()
    loop = gevent.get_hub().loop

    def interrupt(*_: object) -> None:
        loop.run_callback(main.throw, KeyboardInterrupt)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def _tell_as_sentence(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show our own errors as one sentence: Locust lets those of a locustfile's import fall through."""
    if isinstance(error, LoadgenError):
        say(f"error: {error}")
        sys.exit(int(error.exit_code))
    if not isinstance(error, KeyboardInterrupt):  # the second Ctrl-C: the conductor has said what is left
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _tell_as_sentence
enter_sandbox_if_asked()
events.init_command_line_parser.add_listener(add_flags)
events.init.add_listener(_wire)
