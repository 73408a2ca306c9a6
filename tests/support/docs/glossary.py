"""Writes docs/glossary.md from the declared names, terms and findings."""

from collections.abc import Iterable

from loadgen_reports.panels import symbols

from loadgen.analyze.findings import codes
from loadgen.autoscale.rules import Rule
from loadgen.dataset import terms
from loadgen.dataset.names import (
    MARK_SYMBOLS,
    Cause,
    EventKind,
    FailureCause,
    GapSource,
    Outcome,
    RescaleReason,
    SignalName,
    StopCause,
)

HEAD = """\
# Glossary

This file is generated from `loadgen/dataset/names.py`, `loadgen/dataset/terms.py`, `loadgen/autoscale/rules.py` and
`loadgen/analyze/findings/codes.py`; edit the declarations there, then run
`UPDATE_GOLDEN=1 uv run pytest tests/unit/test_names_documented.py`.

[metrics.md](metrics.md) explains the formulas in detail, [dataset.md](dataset.md) the tables of a run folder.
"""


def markdown() -> str:
    """The whole file."""
    drawn = symbols()
    sections = [
        HEAD,
        _table(
            "Terms",
            "",
            ("term", "formula", "unit", "meaning"),
            ((term.label, term.formula, term.unit, term.meaning) for term in terms.ALL),
        ),
        _table(
            "Outcomes",
            "Values of the column `outcome` of `requests/`.",
            ("outcome", "meaning"),
            ((_code(each), each.meaning) for each in Outcome),
        ),
        _table(
            "Causes",
            "Values of the column `cause` of `requests/`. Other causes are messages of servers and libraries.",
            ("cause", "meaning"),
            ((_code(each), each.meaning) for each in Cause),
        ),
        _table(
            "Causes of failed requests",
            "Keys of `failures` in `analysis.json`: every failed request has exactly one.",
            ("cause", "name", "meaning"),
            ((_code(each), each.label, each.meaning) for each in FailureCause),
        ),
        _table(
            "Signals",
            "Values of the column `signal` of `samples/`.",
            ("signal", "name", "unit", "meaning"),
            ((_code(each), each.label, each.unit, each.meaning) for each in SignalName),
        ),
        _table(
            "Events",
            "Values of the column `kind` of `events/`, and how the page draws them.",
            ("kind", "name", "symbol", "meaning"),
            (
                (_code(each), each.label, drawn[MARK_SYMBOLS[each]].name if each in MARK_SYMBOLS else "", each.meaning)
                for each in EventKind
            ),
        ),
        _table(
            "Causes of a stop",
            "Values of `stop_cause` in `run.json`, and of the column `reason` of a `load_stopped`.",
            ("cause", "meaning"),
            ((_code(each), each.meaning) for each in StopCause),
        ),
        _table(
            "Reasons of a rescale",
            "Values of the column `reason` of an `hpa_rescale`.",
            ("reason", "meaning"),
            ((_code(each), each.meaning) for each in RescaleReason),
        ),
        _table(
            "Rules of the HPA",
            "Values of `rule` in the audit of the autoscaler.",
            ("rule", "name", "meaning"),
            ((_code(each), each.label, each.meaning) for each in Rule),
        ),
        _table(
            "Sources of a collection gap",
            "Values of `source` in the data of a `collect_gap`.",
            ("source", "meaning"),
            ((_code(each), each.meaning) for each in GapSource),
        ),
        _table(
            "Findings",
            "Findings of severity `invalid` and `fail` decide the verdict; warnings do not affect it.",
            ("code", "severity", "title", "unit", "meaning"),
            ((_code(each.code), each.severity, each.title, each.unit, each.meaning) for each in codes.ALL),
        ),
    ]
    return "\n".join(sections)


def _table(title: str, intro: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"## {title}", "", *((intro, "") if intro else ()), _row(head), _row(("---",) * len(head))]
    return "\n".join([*lines, *(_row(row) for row in rows)]) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    return f"`{text}`"
