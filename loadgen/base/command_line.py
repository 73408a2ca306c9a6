"""Parses command lines, and proposes names for commands, flags and choices that do not exist."""

import argparse
from collections.abc import Iterable
from typing import Any, NoReturn

from loadgen.base.proposals import listed, meant


class Parser(argparse.ArgumentParser):
    """A parser that says which name was probably meant; those of its subcommands do so, too.

    Each subcommand reports its own unknown arguments, with its own usage: argparse leaves them to the program's parser,
    which does not know the flags of the subcommand.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, and exit with 2 if an argument is left that this parser does not know."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._refuse(unknown)
        return options, unknown

    def _refuse(self, unknown: Iterable[str]) -> NoReturn:
        flags = [flag for action in self._actions for flag in action.option_strings if action.help != argparse.SUPPRESS]
        first = next((each for each in unknown if each.startswith("-")), None)
        if first is None:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        flag = first.partition("=")[0]
        self.error(f"unrecognized argument {flag}{meant(flag, flags)}; the flags are {listed(flags)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(each) for each in action.choices]
            message = f"invalid choice: {str(value)!r}{meant(str(value), choices)}; choose from {listed(choices)}"
            raise argparse.ArgumentError(action, message)
