"""Refuses misspelled names that Locust's parser does not check: environment variables and user classes."""

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
BETWEEN_PROCESSES = ("LOADGEN_COLLECTOR_CONNECTION", "LOADGEN_SANDBOX", "LOADGEN_SITE_PACKAGES")
"""Environment variables that processes of ours set for one another."""

_MISSPELLED = 0.8
_OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT\w*)$|_PORT(_\d+_\w+)?$")
"""Variables that a pod has for every Service; one called `loadgen-target` makes some with our prefix."""


def refuse_misspelled_names(parser: LocustArgumentParser) -> None:
    """Refuse misspelled variables of the environment; `parse_args` of the parser then refuses unknown user classes."""
    with errors_exit():
        check_environment(
            os.environ, [action.env_var for action in parser._actions if getattr(action, "env_var", None)]
        )
    parse_args = parser.parse_args

    def parse_and_check(*arguments: Any, **named: Any) -> Any:
        options = parse_args(*arguments, **named)  # which refuses unknown flags
        with errors_exit():
            for name in options.user_classes:
                check_user_class(name)
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


def check_user_class(name: str) -> None:
    """Check that the locustfile has a user class.

    Raises:
        SettingsError: there is no such class. Locust would exit with 1, which is the exit code of a FAIL.
    """
    names = sorted({cls.__name__ for cls in _subclasses(User) if not cls.abstract})
    if name not in names:
        raise SettingsError(
            f"the locustfile has no user class {name!r}{meant(name, names)}; its user classes are {listed(names)}"
        )


def _subclasses(cls: type[User]) -> Iterator[type[User]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)
