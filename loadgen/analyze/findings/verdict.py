"""Derives the verdict from the findings."""

from collections.abc import Iterable

from loadgen.analyze.results import Finding, Verdict

_ORDER = {"invalid": 0, "fail": 1, "warning": 2, "info": 3}


def verdict(findings: Iterable[Finding]) -> Verdict:
    """The verdict: `invalid` takes precedence over `fail`, and `fail` over `pass`.

    A limit that requests in flight at a stop leave unknown makes the run invalid only if no other limit was missed:
    they cannot change the verdict then.
    """
    unmet = [finding for finding in findings if not finding.passed]
    failed = any(finding.severity == "fail" for finding in unmet)
    if any(finding.severity == "invalid" and not (failed and finding.unknown) for finding in unmet):
        return "invalid"
    return "fail" if failed else "pass"


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings that decide the verdict first, then warnings, then passed ones (SLOs before conditions)."""
    return tuple(
        sorted(findings, key=lambda each: (4 if each.passed else _ORDER[each.severity], each.severity != "fail"))
    )
