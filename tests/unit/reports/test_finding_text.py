"""A finding as a sentence and as an item of a list."""

from dataclasses import replace

import pytest
from loadgen_reports.finding_text import finding_sentence, list_item, sentence

from loadgen.analyze.results import Span, Window
from support.runs.synthetic import finding

STAGE = Span(name="peak 1", start_s=1.0, end_s=9.0)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "TTFT p95 was 3.4 s, above the limit of 2 s. Start sooner."),
        ({"window": STAGE}, "TTFT p95 in peak 1 was 3.4 s, above the limit of 2 s. Start sooner."),
        ({"window": Window(1.0, 9.0), "limit": None}, "TTFT p95 from 0:01 to 0:09 was 3.4 s. Start sooner."),
        ({"measured": None}, "TTFT p95 has no value, so the limit of 2 s was missed. Start sooner."),
        (
            {"measured": None, "severity": "invalid"},
            "TTFT p95 was not measured, so the limit of 2 s could not be checked. Start sooner.",
        ),
        ({"measured": 1.4, "passed": True}, "TTFT p95 was 1.4 s, within the limit of 2 s. Start sooner."),
        ({"measured": 2.0}, "TTFT p95 was 2 s, at the limit of 2 s. Start sooner."),
        ({"limit": None}, "TTFT p95 was 3.4 s. Start sooner."),
        ({"measured": None, "limit": None}, "Start sooner."),
        ({"title": "Lost tokens", "unit": "count"}, "Lost tokens were 3.4, above the limit of 2. Start sooner."),
        ({"severity": "warning"}, "TTFT p95: 3.4 s, limit 2 s. Start sooner."),
        ({"severity": "warning", "measured": None, "limit": None}, "TTFT p95: start sooner."),
        (
            {"severity": "warning", "title": "Lost", "measured": 1, "limit": 0, "unit": "count", "window": Window(9.0)},
            "Lost: 1 at 0:09. Start sooner.",
        ),
        (
            {"severity": "warning", "code": "signal.never_crossed", "measured": 0.4, "limit": 1.1, "unit": ""},
            "TTFT p95: 0.4, limit 1.1. Start sooner.",
        ),
    ],
)  # fmt: skip
def test_finding_sentences(changes: dict[str, object], text: str) -> None:
    """A finding gives a sentence, whichever of its values are missing."""
    base = finding("slo.ttft.p95", 3.4, 2.0, advice="start sooner")
    assert finding_sentence(replace(base, **changes)) == text  # type: ignore[arg-type]


def test_titles_in_a_list_start_in_lower_case() -> None:
    """Inside a list a title starts in lower case, unless it is an abbreviation."""
    failed = finding("slo.failed.ratio", 0.031, 0.01, title="Failed requests", unit="ratio")
    assert list_item(failed) == "failed requests (3.1 %, limit 1 %)"
    assert list_item(finding("slo.ttft.p95", 3.4, 2.0)) == "TTFT p95 (3.4 s, limit 2 s)"


def test_names_keep_their_case() -> None:
    """A sentence that starts with the name of a replica keeps its spelling."""
    assert sentence("triton-7d9f-a1: its server ended") == "triton-7d9f-a1: its server ended."
    assert sentence("prometheus: gone") == "Prometheus: gone."
    assert sentence(" ") == ""
