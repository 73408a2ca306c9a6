"""The finding about rows of the run folder that cannot be true."""

from collections.abc import Sequence
from itertools import groupby

from loadgen.analyze.findings import codes
from loadgen.analyze.observed import Damage, Observed
from loadgen.analyze.results import Finding, Severity
from loadgen.analyze.rows import CONFLICT, MIXED

MINOR_RATIO = 0.01
"""Samples and events explain the verdict and do not make it: up to this share of a table is a warning."""
_JUDGED = ("requests", "tokens")
_MAX_FAULTS = 5
_CONFLICT_ADVICE = (
    " Samples that contradict each other come from two models or two sources that were recorded as one: record the "
    "model under test only, by the labels of the recording rule."
)


def damaged_rows(run: Observed) -> list[Finding]:
    """One finding with every table, fault and count; none without damage.

    Each request may be on either side of a limit, so the run is invalid if a row of requests or tokens is left out.
    """
    if not run.damage:
        return []
    parts = [_table(list(damage)) for _, damage in groupby(run.damage, key=lambda each: each.table)]
    advice = (
        f"{'; '.join(parts)}. The run folder was changed or damaged after the run, or has the parts of another run: "
        f"restore it from a copy, or run the test again."
    )
    if any(each.fault in (CONFLICT, MIXED) for each in run.damage):
        advice += _CONFLICT_ADVICE
    count = sum(each.count for each in run.damage)
    severity: Severity = codes.DAMAGED_ROWS.severity if _turns_verdict(run.damage) else "warning"
    return [codes.DAMAGED_ROWS.finding(measured=float(count), limit=0.0, advice=advice, severity=severity)]


def _turns_verdict(damage: Sequence[Damage]) -> bool:
    """Whether the verdict could be another one with the rows as they were."""
    if any(each.table in _JUDGED for each in damage):
        return True
    by_table: dict[str, list[Damage]] = {}
    for each in damage:
        by_table.setdefault(each.table, []).append(each)
    return any(sum(each.count for each in table) > MINOR_RATIO * table[0].rows for table in by_table.values())


def _table(damage: Sequence[Damage]) -> str:
    """The faults of one table, the most frequent first."""
    ranked = sorted(damage, key=lambda each: -each.count)
    faults = [
        f"{each.count:,} with {each.fault} (such as {each.example}{'' if each.left_out else '; it alone is left out'})"
        for each in ranked[:_MAX_FAULTS]
    ]
    if rest := ranked[_MAX_FAULTS:]:
        faults.append(f"{sum(each.count for each in rest):,} with {len(rest)} other faults")
    left_out = sum(each.count for each in damage if each.left_out)
    return f"{left_out:,} of {damage[0].rows:,} rows of {damage[0].table} are left out: {', '.join(faults)}"
