"""What users, charts and pipelines lean on: additions are fine, changes are not."""

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
    ("clean",),
    ("deploy",),
    ("destroy",),
    ("lint",),
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
    """Every name that a scenario file may import is there, and is what `from loadgen.locust import *` gives."""
    assert set(loadgen.locust.__all__) >= LOCUSTFILE_NAMES
    assert all(hasattr(loadgen.locust, name) for name in loadgen.locust.__all__)


def test_every_command_is_there() -> None:
    """No command went away."""
    assert set(commands(command_line())) >= COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS), ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` of each command prints its usage and ends well."""
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    name = " ".join(command).replace("keep", "upload")  # an alias
    assert f"loadgen {name}" in capsys.readouterr().out


def test_exit_codes() -> None:
    """Pipelines branch on these."""
    assert {code.name: int(code) for code in ExitCode} == {"PASS": 0, "FAIL": 1, "USAGE": 2, "INVALID": 3, "TOOL": 4}
