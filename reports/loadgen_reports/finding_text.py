"""Formats a finding: as a sentence, as measured value and limit, and as a result."""

import re
from typing import Literal

from loadgen.analyze.findings.codes import SLO_METRICS
from loadgen.analyze.results import Analysis, Finding, Span
from loadgen_reports import format as fmt

SYMBOL = {"pass": "✓", "fail": "✗", "invalid": "?", "warning": "!", "info": "i"}
Style = Literal["", "pass", "fail", "invalid", "warning", "info", "over", "muted"]


def notable(analysis: Analysis) -> list[Finding]:
    """Findings that are listed below the summary, the most severe first: missed limits, then warnings."""
    order = {"invalid": 0, "fail": 1, "warning": 2}
    unmet = [f for f in analysis.findings if not f.passed and f.severity in order]
    return sorted(unmet, key=lambda f: order[f.severity])


def missed_limits(analysis: Analysis) -> list[Finding]:
    """Findings about missed limits."""
    return [f for f in analysis.findings if f.severity == "fail" and not f.passed]


def value_and_limit(finding: Finding) -> tuple[str, str]:
    """Measured value and limit as text; `MISSING` where there is none."""
    return fmt.measured_and_limit(finding.measured, finding.limit, finding.unit)


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
        statement = f"{limit_statement(finding)}."
    else:
        statement = _warning_statement(finding)
        if not fmt.known(finding.measured):
            return fmt.clean(
                f"{finding.title}: {uncapitalize(advice_text)}" if advice_text else sentence(finding.title)
            )
    return fmt.clean(f"{statement} {advice_text}".strip() if advice else statement)


def _warning_statement(finding: Finding) -> str:
    """Title and figures of a warning; its title is not always a noun phrase that fits a sentence."""
    measured, limit = value_and_limit(finding)
    # A limit of 0 only says that there should be none.
    limit_text = f", limit {limit}" if finding.limit else ""
    return f"{finding.title}: {measured}{_window_phrase(finding)}{limit_text}."


def limit_statement(finding: Finding) -> str:
    """The measured value, its window and how it compares with the limit; without a full stop."""
    subject = f"{finding.title}{_window_phrase(finding)}"
    verb = "were" if _is_plural(finding.title) else "was"
    measured, limit = value_and_limit(finding)
    if not fmt.known(finding.measured):
        if not fmt.known(finding.limit):
            return f"{subject}: {'met' if finding.passed else 'not met'}"
        if finding.unknown:
            values = _open_values(finding)
            return f"{subject} cannot be compared with the limit of {limit}: {values} when the run was stopped"
        if finding.severity == "fail":
            # So many requests failed that the percentile is the value of a failed request, which has none.
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


def list_item(finding: Finding) -> str:
    """A finding as an item of a list: `failed requests (3.1 %, limit 1 %)`."""
    measured, limit = value_and_limit(finding)
    inside = measured if fmt.known(finding.measured) else _missing_text(finding)
    if fmt.known(finding.limit):
        inside += f", limit {limit}"
    return f"{uncapitalize(finding.title)}{_window_phrase(finding)} ({inside})"


def _open_values(finding: Finding) -> str:
    noun = "token gap" if SLO_METRICS.get(finding.code, ("",))[0] == "itl" else "request"
    verb = "was" if finding.unknown == 1 else "were"
    return f"{fmt.count(finding.unknown)} {fmt.plural(finding.unknown, noun)} {verb} open"


def _missing_text(finding: Finding) -> str:
    if finding.unknown:
        return f"unknown, {_open_values(finding)} at the stop"
    return "no value" if finding.severity == "fail" else "not measured"


def measured_text(finding: Finding) -> str:
    """The measured value for a table; a missing value is spelled out where a limit applies to it."""
    if fmt.known(finding.measured) or not fmt.known(finding.limit):
        return value_and_limit(finding)[0]
    return _missing_text(finding)


def result(finding: Finding) -> tuple[str, Style]:
    """A finding's result with its symbol, and how it is styled: met, missed, invalid, warning or note."""
    close = ", too close to call" if finding.too_close_to_call else ""
    if finding.passed:
        return f"{SYMBOL['pass']} met{close}", "pass"
    label = {"fail": "missed", "invalid": "invalid", "warning": "warning", "info": "note"}[finding.severity]
    return f"{SYMBOL[finding.severity]} {label}{close}", finding.severity


def window_text(finding: Finding) -> str:
    """Where a finding was measured: `whole run`, the name of a stage, or times."""
    if isinstance(finding.window, Span):
        return finding.window.name
    return "whole run" if finding.window is None else str(finding.window)


def _window_phrase(finding: Finding) -> str:
    """The window of a finding as part of a sentence, with a leading space; empty for the whole run."""
    if finding.window is None:
        return ""
    return f" in {window_text(finding)}" if isinstance(finding.window, Span) else f" {window_text(finding)}"


def sentence(text: str) -> str:
    """Text as a sentence, with a capital and a full stop; an initial name such as `triton-1` keeps its case."""
    text = text.strip()
    if not text:
        return ""
    first = text.split()[0].rstrip(",.:;")
    start = text[0].upper() if first.isalpha() and first.islower() else text[0]
    return start + text[1:] + ("" if text[-1] in ".!?…" else ".")


def uncapitalize(text: str) -> str:
    """A title as part of a sentence: `Failed requests` → `failed requests`, but `TTFT p95` as it is."""
    return text[0].lower() + text[1:] if text[1:2].islower() or text[:2] == "A " else text


def split_code(text: str) -> list[tuple[str, bool]]:
    """Split text into pieces, each with whether it is code, that is, between backquotes."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return [(text, False)]
    return [(piece, i % 2 == 1) for i, piece in enumerate(pieces) if piece]


def _is_plural(title: str) -> bool:
    """Whether the noun of a title (its last word before any `of` or `with`) is plural."""
    noun = re.split(r" (?:of|with|in|per) ", title.strip())[0].rsplit(" ", 1)[-1].lower()
    return noun.isalpha() and noun.endswith("s") and not noun.endswith(("ss", "us", "is"))
