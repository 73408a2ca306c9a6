"""What the report says of the settings of a run."""

from dataclasses import replace

import pytest
from loadgen_reports import provenance
from loadgen_reports.formats import html, markdown

from loadgen.analyze.results import Analysis
from support.runs.synthetic import sample


def test_the_autoscaler_has_a_sentence(failing: Analysis) -> None:
    """It has metric, target, window, interval and bounds, as far as known; a URL target has no such sentence."""
    assert provenance.autoscaler(failing) == (
        "Autoscaler: mean of `triton:queue_compute:ratio` over replicas, target 1 (scales up above 1.1), rate window "
        "10 s, sync every 15 s, 1 to 4 replicas, scale-down window 30 s."
    )
    bare = replace(failing.run, ratio_metric=None, tolerance=None, rate_window_s=None, scale_down_window_s=None)
    assert provenance.autoscaler(replace(failing, run=bare)) == (
        "Autoscaler: mean of the queue-to-compute ratio over replicas, target 1, sync every 15 s, 1 to 4 replicas."
    )
    assert provenance.autoscaler(sample("url")) is None


def test_settings_are_flat(failing: Analysis) -> None:
    """Nested settings become dotted names; lists of plain values stay on one row."""
    run = replace(
        failing.run, settings={"a": {"b": [1, 2], "c": None, "d": {}}, "parts": [{"kind": "wave"}], "on": True}
    )
    rows = [[cell.text for cell in row] for row in provenance.settings(replace(failing, run=run)).rows]
    assert rows == [["a.b", "1, 2"], ["a.c", "none"], ["a.d", "empty"], ["parts[0].kind", "wave"], ["on", "yes"]]


@pytest.mark.parametrize(
    ("ratio", "sentence"),
    [
        (None, None),
        (0.0, "Prompts: none repeats an earlier one of the run."),
        (0.26, "Prompts: 26 % of those sent repeat an earlier one, which a prefix cache makes faster."),
    ],
)
def test_the_share_of_repeated_prompts_has_a_sentence(
    failing: Analysis, ratio: float | None, sentence: str | None
) -> None:
    """On the page and in Markdown; a folder that does not know it has no such sentence."""
    analysis = replace(failing, run=replace(failing.run, repeated_prompts_ratio=ratio))
    assert provenance.repeated_prompts(analysis) == sentence
    assert ("Prompts:" in html.render(analysis)) == ("Prompts:" in markdown.render(analysis)) == (sentence is not None)
