"""From findings to the verdict."""

from collections.abc import Iterable

from loadgen.analyze.results import Finding, Verdict

_ORDER = {"invalid": 0, "fail": 1, "warning": 2, "info": 3}


def verdict(findings: Iterable[Finding]) -> Verdict:
    """`invalid` beats `fail` beats `pass`: a run that cannot be judged is neither good nor bad."""
    broken = {finding.severity for finding in findings if not finding.passed}
    if "invalid" in broken:
        return "invalid"
    return "fail" if "fail" in broken else "pass"


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What decides the verdict first, then warnings, then what passed (the SLOs before the conditions)."""
    return tuple(
        sorted(findings, key=lambda each: (4 if each.passed else _ORDER[each.severity], each.severity != "fail"))
    )
