"""Refuses what Locust would ignore, or would refuse with exit code 1, that of a FAIL: names and pairs of flags."""

import argparse
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from locust import User
from locust.argument_parser import LocustArgumentParser

from loadgen.base.errors import SettingsError
from loadgen.base.proposals import listed, meant, near
from loadgen.run.uncaught import errors_exit

PREFIX = "LOADGEN_"
WITHOUT_FLAG = ("LOADGEN_HEADERS", "LOADGEN_KUBE_PROMETHEUS_HEADERS", "LOADGEN_RUNS_DIR", "LOADGEN_WORKER_SECRET")
"""Environment variables of the user's that no flag names."""
BETWEEN_PROCESSES = ("LOADGEN_COLLECTOR_CONNECTION", "LOADGEN_GROUP", "LOADGEN_SANDBOX", "LOADGEN_SITE_PACKAGES")
"""Environment variables that processes of ours set for one another."""

_MISSPELLED = 0.8
_OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT\w*)$|_PORT(_\d+_\w+)?$")
"""Variables that a pod has for every Service; one called `loadgen-target` makes some with our prefix."""


def check_command_line(parser: LocustArgumentParser) -> None:
    """Refuse misspelled variables of the environment; `parse_args` of the parser then checks the options, too."""
    with errors_exit():
        check_environment(
            os.environ, [action.env_var for action in parser._actions if getattr(action, "env_var", None)]
        )
    parse_args = parser.parse_args

    def parse_and_check(*arguments: Any, **named: Any) -> Any:
        options = parse_args(*arguments, **named)  # which refuses unknown flags
        with errors_exit():
            check_options(options, {cls.__name__ for cls in _subclasses(User) if not cls.abstract})
        return options

    parser.parse_args = parse_and_check


def check_environment(environment: Iterable[str], variables_of_flags: Iterable[str]) -> None:
    """Refuse a variable with our prefix that is almost one of ours: the run would silently ignore it.

    Args:
        environment: Names of the variables that are set.
        variables_of_flags: Names of the variables that flags read.

    Raises:
        SettingsError: naming the variable and the one that was probably meant.
    """
    known = sorted({*WITHOUT_FLAG, *(name for name in variables_of_flags if name.startswith(PREFIX))})
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in (*known, *BETWEEN_PROCESSES) or _OF_KUBERNETES.search(name):
            continue
        close = near(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known], cutoff=_MISSPELLED)
        if close:
            raise SettingsError(
                f"the environment variable {name} has no meaning (did you mean {PREFIX}{close[0]}?): correct or unset "
                f"it; the variables are {', '.join(known)}"
            )


def check_options(options: argparse.Namespace, user_classes: Iterable[str]) -> None:
    """Check what Locust checks later.

    Args:
        options: The parsed options.
        user_classes: Names of the user classes of the locustfile.

    Raises:
        SettingsError: there is no user class, or not the named one, or two flags exclude each other.
    """
    names = sorted(user_classes)
    if not names:
        raise SettingsError("the locustfile has no user class: write `class MyUser(TritonUser): scenario = …`")
    for name in getattr(options, "user_classes", ()):
        if name not in names:
            raise SettingsError(
                f"the locustfile has no user class {name!r}{meant(name, names)}; its user classes are {listed(names)}"
            )
    if getattr(options, "processes", None) and getattr(options, "master", False):
        raise SettingsError("--processes makes this process the master: omit --master")
    if getattr(options, "autoquit", -1) != -1 and not options.autostart:
        raise SettingsError("--autoquit has a meaning only with --autostart: add it, or omit --autoquit")


def _subclasses(cls: type[User]) -> Iterator[type[User]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)
