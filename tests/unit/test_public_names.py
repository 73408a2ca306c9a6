"""Public names that users, charts and pipelines depend on: they may be added, but not changed or removed."""

import argparse
from collections.abc import Iterator

import pytest

import loadgen.locust
from loadgen.base.errors import ExitCode
from loadgen.cli import command_line, main

LOCUSTFILE_NAMES = {
    "Constant",
    "Fixed",
    "Kube",
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
}
COMMANDS = {
    ("report",),
    ("keep",),
    ("upload",),
    ("deploy",),
    ("destroy",),
    ("sandbox",),
    ("sandbox", "build"),
    ("sandbox", "up"),
    ("sandbox", "down"),
    ("sandbox", "exec"),
    ("sandbox", "open"),
}


def commands(parser: argparse.ArgumentParser, *before: str) -> Iterator[tuple[str, ...]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield (*before, name)
                yield from commands(command, *before, name)


def test_scenario_files_import_their_names_from_one_module() -> None:
    """`loadgen.locust` exports every public name of scenario files."""
    assert set(loadgen.locust.__all__) >= LOCUSTFILE_NAMES
    assert all(hasattr(loadgen.locust, name) for name in loadgen.locust.__all__)


def test_no_command_is_removed() -> None:
    """The `loadgen` command has all its public subcommands."""
    assert set(commands(command_line())) >= COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS), ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` of each command prints its usage and exits with 0."""
    with pytest.raises(SystemExit) as exit_:
        main([*command, "--help"])
    assert exit_.value.code == 0
    assert f"loadgen {' '.join(command)}" in capsys.readouterr().out


def test_exit_codes() -> None:
    """The exit codes are stable, as pipelines depend on them."""
    assert {code.name: int(code) for code in ExitCode} == {"PASS": 0, "FAIL": 1, "USAGE": 2, "INVALID": 3, "TOOL": 4}
