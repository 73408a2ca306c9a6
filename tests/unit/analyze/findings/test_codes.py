"""Findings are made from their declarations."""

import ast
from pathlib import Path

from loadgen.analyze.findings import codes

ANALYZE = Path(codes.__file__).parents[1]


def test_codes_and_titles_are_unique():
    """A code names one finding, and so does a title."""
    assert len({each.code for each in codes.ALL}) == len(codes.ALL)
    assert len({each.title for each in codes.ALL}) == len(codes.ALL)


def test_the_list_of_all_codes_is_complete():
    """Every declaration of the module is in the list."""
    declared = [value for value in vars(codes).values() if isinstance(value, codes.FindingCode)]
    assert {each.code for each in declared} <= {each.code for each in codes.ALL}


def test_every_finding_is_made_from_its_declaration():
    """No module but `codes` constructs a `Finding`, so title, unit and severity cannot differ from the declaration."""
    calls = {
        file.name
        for file in ANALYZE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"
    }
    assert calls == {"codes.py"}


def test_a_finding_has_the_fields_of_its_declaration():
    """Severity may be overridden: a limit without a value makes the run invalid instead of failed."""
    found = codes.SLO["ttft", "p95"].finding(measured=None, limit=2.0, advice="x", severity="invalid")
    assert (found.code, found.title, found.unit, found.window) == ("slo.ttft.p95", "TTFT p95", "s", None)
    assert (found.severity, found.passed) == ("invalid", False)
