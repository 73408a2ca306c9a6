"""Derives the verdict from the findings."""

from collections.abc import Iterable

from loadgen.analyze.results import Finding, Verdict

_ORDER = {"invalid": 0, "fail": 1, "warning": 2, "info": 3}


def verdict(findings: Iterable[Finding]) -> Verdict:
    """The verdict: `invalid` takes precedence over `fail`, and `fail` over `pass`."""
    unmet = {finding.severity for finding in findings if not finding.passed}
    if "invalid" in unmet:
        return "invalid"
    return "fail" if "fail" in unmet else "pass"


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings that decide the verdict first, then warnings, then passed ones (SLOs before conditions)."""
    return tuple(
        sorted(findings, key=lambda each: (4 if each.passed else _ORDER[each.severity], each.severity != "fail"))
    )
