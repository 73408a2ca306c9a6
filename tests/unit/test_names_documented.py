"""The documentation has exactly the declared events, signals, outcomes, causes, findings and flags."""

import argparse
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import takewhile
from pathlib import Path
from typing import get_args

import pytest
from locust.argument_parser import get_empty_argument_parser

from loadgen.analyze.findings import codes
from loadgen.base.checked import Settings
from loadgen.cli import command_line
from loadgen.dataset.names import Cause, EventKind, GapSource, Outcome, RescaleReason, SignalName, StopCause
from loadgen.run.flags import add_flags
from loadgen.scenario import fleets, prompts, rates, reference, settings
from loadgen.scenario.fleets import EndpointKind, Kube
from loadgen.scenario.settings import FLEETS
from support.docs import analysis, glossary

DOCS = Path(__file__).parents[2] / "docs"
CODE = re.compile(r"`([^`]+)`")
GROUPS = {"slo.<metric>.<statistic>": {each.code for each in codes.SLO.values()}}


def rows(file: str, head: str) -> list[list[str]]:
    """Return the rows, as cells, of the table whose header starts with `head`."""
    text = (DOCS / file).read_text(encoding="utf-8")
    assert head in text, f"docs/{file} has no table with the header {head!r}"
    table = takewhile(lambda line: line.startswith("|"), text.split(head, 1)[1].splitlines()[2:])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def differences(declared: Iterable[str], documented: Iterable[str]) -> dict[str, list[str]]:
    """Return the names that are only on one side; empty if both sides are equal."""
    declared, documented = set(declared), set(documented)
    sides = {"not documented": sorted(declared - documented), "not declared": sorted(documented - declared)}
    return {side: names for side, names in sides.items() if names}


def test_the_glossary_is_up_to_date() -> None:
    """docs/glossary.md equals the text that is generated from the declarations."""
    file = DOCS / "glossary.md"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(glossary.markdown(), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == glossary.markdown(), (
        "docs/glossary.md is out of date: run `UPDATE_GOLDEN=1 uv run pytest tests/unit/test_names_documented.py`"
    )


def test_the_reference_of_the_analysis_is_up_to_date() -> None:
    """docs/analysis.md equals the text that is generated from the classes of the result."""
    file = DOCS / "analysis.md"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(analysis.markdown(), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == analysis.markdown(), (
        "docs/analysis.md is out of date: run `UPDATE_GOLDEN=1 uv run pytest tests/unit/test_names_documented.py`"
    )


@pytest.mark.parametrize("each", analysis.classes(), ids=lambda each: each.__name__)
def test_every_field_of_the_analysis_has_a_meaning(each: type) -> None:
    """The docstring of a class of the result describes each of its fields, and no other."""
    assert not differences((field.name for field in fields(each)), analysis.meanings(each))


def test_the_reference_of_settings_is_up_to_date() -> None:
    """docs/settings.md equals the text that `loadgen settings` prints."""
    file = DOCS / "settings.md"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(reference.markdown(), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == reference.markdown(), (
        "docs/settings.md is out of date: run `UPDATE_GOLDEN=1 uv run pytest tests/unit/test_names_documented.py`"
    )


def test_every_setting_has_a_meaning() -> None:
    """The docstring of a settings class describes each of its fields, and no other; every class that a scenario file
    imports is in the reference."""
    classes = [each for group in reference.GROUPS.values() for each in group]
    for each in classes:
        assert not differences(reference.fields(each), reference.descriptions(each)), each.__name__
    declared = {
        each.__name__
        for module in (rates, prompts, fleets, settings)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Settings) and each.__module__ == module.__name__
    }
    internal = {"RateBase", "Span", "Scaled", "Sequence", "Sum"}  # bases, results, and the results of operators
    assert declared - internal == {each.__name__ for each in classes}


def test_findings_are_documented() -> None:
    """The table of docs/metrics.md has every declared code, with its severity and title, and no other."""
    documented: dict[str, tuple[str, str]] = {}
    for code, severity, title, *_ in rows("metrics.md", "| code | severity | title |"):
        for name in CODE.findall(code):
            documented |= dict.fromkeys(GROUPS.get(name, {name}), (severity, title))
    assert not differences((each.code for each in codes.ALL), documented)
    for each in codes.ALL:
        severity, title = documented[each.code]
        assert severity == each.severity, each.code
        assert title in (each.title, "metric and statistic"), each.code


def test_events_are_documented() -> None:
    """The table of docs/dataset.md has every event kind and no other."""
    documented = {name for kind, *_ in rows("dataset.md", "| kind | data |") for name in CODE.findall(kind)}
    assert not differences(EventKind, documented)


def test_signals_are_documented() -> None:
    """The table of docs/dataset.md has every signal, with its unit, and no other."""
    documented = {name.strip("`"): unit for name, _, unit, _ in rows("dataset.md", "| signal | source |")}
    assert documented == {signal.value: signal.unit for signal in SignalName}


def test_outcomes_are_documented() -> None:
    """The table of docs/dataset.md has every outcome and no other."""
    assert not differences(Outcome, (name.strip("`") for name, _ in rows("dataset.md", "| outcome | when |")))


@pytest.mark.parametrize("names", [Cause, StopCause, RescaleReason, GapSource], ids=lambda names: names.__name__)
def test_other_names_are_documented(names: Iterable[str]) -> None:
    """docs/dataset.md has all causes, reasons and sources as code."""
    documented = set(CODE.findall((DOCS / "dataset.md").read_text(encoding="utf-8")))
    assert not set(names) - documented


def flags(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Yield every flag of a parser and of its commands, with its help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from flags(command)
        elif action.option_strings:
            yield action.option_strings[-1], action.help or ""


def flags_of_a_run() -> dict[str, str]:
    """Return the flags that a run adds to those of Locust, with their help."""
    parser = get_empty_argument_parser()
    before = dict(flags(parser))
    add_flags(parser)
    return {flag: text for flag, text in flags(parser) if flag not in before}


def test_every_flag_has_help() -> None:
    """Every flag of a run and of the `loadgen` commands has a help text."""
    assert not [flag for flag, text in (*flags_of_a_run().items(), *flags(command_line())) if not text]


def test_help_lists_targets_and_endpoints() -> None:
    """The help of `--target` and `--kube-endpoint` lists exactly the values that the settings accept."""
    texts = flags_of_a_run()
    assert set(re.findall(r"'(\w+)'", texts["--target"])) == set(FLEETS)
    endpoints = re.findall(r"\w+", texts["--kube-endpoint"].split(", or a URL")[0])
    assert set(endpoints) == set(get_args(EndpointKind))


def test_every_kube_flag_is_a_setting() -> None:
    """A flag `--kube-x` sets the field `x` of `Kube`."""
    fields = {flag.removeprefix("--kube-").replace("-", "_") for flag in flags_of_a_run() if flag.startswith("--kube-")}
    assert fields
    assert fields <= set(Kube.model_fields)


def test_the_tests_of_the_promises_exist() -> None:
    """Each test file that docs/reliability.md names exists."""
    named = re.findall(r"`(\w+/[\w/]+\.py)`", (DOCS / "reliability.md").read_text(encoding="utf-8"))
    assert named
    assert [file for file in named if not (DOCS.parent / "tests" / file).is_file()] == []
