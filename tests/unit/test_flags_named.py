"""Flags that are mentioned in error messages exist."""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments

from loadgen.cli import command_line
from loadgen.run.flags import add_flags

ROOT = Path(__file__).parents[2]
KUBECTL_FLAGS = {"--follow", "--previous"}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")


def flags_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from flags_of(command)


def messages(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Raise):
            for text in ast.walk(node):
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.value


def advice(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def known_flags() -> set[str]:
    locust = get_empty_argument_parser()
    setup_parser_arguments(locust)
    add_flags(locust)
    return {*flags_of(locust), *flags_of(command_line()), *KUBECTL_FLAGS}


def test_flags_in_error_messages_exist() -> None:
    """Every flag in an error message is a flag of Locust, of `loadgen` or of kubectl."""
    known = known_flags()
    files = sorted((ROOT / "loadgen").rglob("*.py"))
    mentioned = {flag: file.name for file in files for text in messages(file) for flag in FLAG.findall(text)}
    assert {"--model", "--no-stream", "--processes", "--kube-namespace"} <= mentioned.keys(), "the search finds flags"
    assert not {flag: file for flag, file in mentioned.items() if flag not in known}


def test_flags_in_the_advice_of_findings_exist() -> None:
    """Advice names flags that exist, and none that has no effect: the number of users follows from the load."""
    files = sorted((ROOT / "loadgen" / "analyze").rglob("*.py"))
    mentioned = {flag: file.name for file in files for text in advice(file) for flag in FLAG.findall(text)}
    assert {"--processes", "--stop-timeout", "--kube-prometheus"} <= mentioned.keys(), "the search finds flags"
    assert not {flag: file for flag, file in mentioned.items() if flag not in known_flags() - {"--users"}}
