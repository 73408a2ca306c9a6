"""Sentences that name a flag name one that exists."""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments

from loadgen.cli import command_line
from loadgen.run.flags import add_flags

ROOT = Path(__file__).parents[2]
OF_KUBECTL = {"--follow", "--previous"}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")


def flags_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from flags_of(command)


def sentences(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Raise):
            for text in ast.walk(node):
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.value


def test_flags_in_error_sentences_exist() -> None:
    """A user who follows an error's advice finds the flag, ours or that of the program that the sentence is about."""
    locust = get_empty_argument_parser()
    setup_parser_arguments(locust)
    add_flags(locust)
    known = {*flags_of(locust), *flags_of(command_line()), *OF_KUBECTL}
    files = sorted((ROOT / "loadgen").rglob("*.py"))
    named = {flag: file.name for file in files for text in sentences(file) for flag in FLAG.findall(text)}
    assert {"--model", "--no-stream", "--processes", "--kube-namespace"} <= named.keys(), "the search finds sentences"
    assert not {flag: file for flag, file in named.items() if flag not in known}
