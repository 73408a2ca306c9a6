"""Formats a finding: as a sentence, as measured value and limit, and as a result."""

import re
from typing import Literal

from loadgen.analyze.results import Analysis, Finding
from loadgen_reports import format as fmt

SYMBOL = {"pass": "✓", "fail": "✗", "invalid": "?", "warning": "!", "info": "i"}
Mood = Literal["", "pass", "fail", "invalid", "warning", "info", "over", "muted"]


def notable(analysis: Analysis) -> list[Finding]:
    """Findings that need attention, the most severe first: missed limits, then warnings."""
    order = {"invalid": 0, "fail": 1, "warning": 2}
    found = [f for f in analysis.findings if not f.passed and f.severity in order]
    return sorted(found, key=lambda f: order[f.severity])


def failed(analysis: Analysis) -> list[Finding]:
    """The limits that were missed."""
    return [f for f in analysis.findings if f.severity == "fail" and not f.passed]


def values(finding: Finding) -> tuple[str, str]:
    """Measured value and limit as text; `MISSING` where there is none."""
    return fmt.against(finding.measured, finding.limit, finding.unit)


def finding_sentence(finding: Finding, *, advice: bool = True) -> str:
    """Describes one finding: what was measured and where, the limit, and what to do next.

    Args:
        finding: The finding.
        advice: Whether to add the advice. A finding without figures consists of its advice, which is always added.
    """
    advice_text = sentence(finding.advice)
    if finding.severity in ("fail", "invalid"):
        if not fmt.known(finding.measured) and not fmt.known(finding.limit):
            return fmt.clean(advice_text or sentence(f"{finding.title}: {'met' if finding.passed else 'not met'}"))
        statement = f"{statement_of(finding)}."
    else:
        statement = _remark(finding)
        if not fmt.known(finding.measured):
            return fmt.clean(f"{finding.title}: {mid(advice_text)}" if advice_text else sentence(finding.title))
    return fmt.clean(f"{statement} {advice_text}".strip() if advice else statement)


def _remark(finding: Finding) -> str:
    """A warning's figures after its title: such a title need not be the subject of a sentence."""
    measured, limit = values(finding)
    # A limit of 0 only says that there should be none.
    beside = f", limit {limit}" if finding.limit else ""
    return f"{finding.title}: {measured}{where(finding.window)}{beside}."


def statement_of(finding: Finding) -> str:
    """What was measured, where, and how it compares with the limit; without a full stop."""
    subject = f"{finding.title}{where(finding.window)}"
    verb = "were" if _is_plural(finding.title) else "was"
    measured, limit = values(finding)
    if not fmt.known(finding.measured):
        if not fmt.known(finding.limit):
            return f"{subject}: {'met' if finding.passed else 'not met'}"
        if finding.severity == "fail":
            # So many requests failed that the percentile falls on one of them: worse than any value.
            return f"{subject} {'have' if verb == 'were' else 'has'} no value, so the limit of {limit} was missed"
        return f"{subject} {verb} not measured, so the limit of {limit} could not be checked"
    text = f"{subject} {verb} {measured}"
    if not fmt.known(finding.limit):
        return text
    if finding.passed:
        return f"{text}, within the limit of {limit}"
    if finding.measured == finding.limit:
        return f"{text}, at the limit of {limit}"
    return f"{text}, {'above' if finding.measured > finding.limit else 'below'} the limit of {limit}"


def in_brackets(finding: Finding) -> str:
    """A finding inside a list: `failed requests (3.1 %, limit 1 %)`."""
    measured, limit = values(finding)
    inside = measured if fmt.known(finding.measured) else _absent(finding)
    if fmt.known(finding.limit):
        inside += f", limit {limit}"
    return f"{mid(finding.title)}{where(finding.window)} ({inside})"


def _absent(finding: Finding) -> str:
    return "no value" if finding.severity == "fail" else "not measured"


def measured_text(finding: Finding) -> str:
    """The measured value for a table; a missing value is spelled out where a limit applies to it."""
    if fmt.known(finding.measured) or not fmt.known(finding.limit):
        return values(finding)[0]
    return _absent(finding)


def result(finding: Finding) -> tuple[str, Mood]:
    """A finding's result with its symbol, and how it is styled: met, missed, invalid, warning or note."""
    if finding.passed:
        return f"{SYMBOL['pass']} met", "pass"
    word = {"fail": "missed", "invalid": "invalid", "warning": "warning", "info": "note"}[finding.severity]
    return f"{SYMBOL[finding.severity]} {word}", finding.severity


def where(window: str) -> str:
    """The window of a finding inside a sentence, with a space before it; nothing for the whole run."""
    if window in ("", "whole run"):
        return ""
    return f" {window}" if window.startswith(("from ", "in ", "over ", "at ", "until ", "after ")) else f" in {window}"


def sentence(text: str) -> str:
    """Text with a capital at its start and a full stop at its end; a name such as `triton-1` keeps its case."""
    text = text.strip()
    if not text:
        return ""
    first = text.split()[0].rstrip(",.:;")
    start = text[0].upper() if first.isalpha() and first.islower() else text[0]
    return start + text[1:] + ("" if text[-1] in ".!?…" else ".")


def mid(text: str) -> str:
    """A title inside a sentence: `Failed requests` → `failed requests`, but `TTFT p95` as it is."""
    return text[0].lower() + text[1:] if text[1:2].islower() or text[:2] == "A " else text


def in_pieces(text: str) -> list[tuple[str, bool]]:
    """Text in pieces, each with whether it is code; code is what pairs of backquotes enclose."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return [(text, False)]
    return [(piece, i % 2 == 1) for i, piece in enumerate(pieces) if piece]


def _is_plural(title: str) -> bool:
    """Whether the noun of a title (its last word before any `of` or `with`) is plural."""
    noun = re.split(r" (?:of|with|in|per) ", title.strip())[0].rsplit(" ", 1)[-1].lower()
    return noun.isalpha() and noun.endswith("s") and not noun.endswith(("ss", "us", "is"))
