"""Times and durations as people read them, the same in findings and reports."""

import math

import pytest
from loadgen_reports import format as fmt

from loadgen.analyze.results.finding import Window
from loadgen.base import display


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (Window(67.9, 218.0), "from 1:08 to 3:38"),
        (Window(67.9), "at 1:08"),
        (Window(67.6, 68.4), "at 1:08"),
        (Window(-5.0, 3725.0), "from −0:05 to 1:02:05"),
    ],
)
def test_a_window_has_the_times_of_the_tables(window: Window, text: str) -> None:
    """Minutes and seconds, as on the axis of the page; a window shorter than a second is a moment."""
    assert str(window) == text
    assert fmt.clock(window.start_s) in text


def test_programs_read_seconds() -> None:
    """As before in `analysis.json`."""
    assert (Window(67.9, 218.0).in_seconds, Window(67.9).in_seconds) == ("from 67.9 s to 218.0 s", "at 67.9 s")


def test_reports_and_findings_have_the_same_helpers() -> None:
    """One definition of each: of reports they are those of the ground floor."""
    for name in ("clock", "known", "number", "rounded_duration", "seconds", "tenths"):
        assert getattr(fmt, name) is getattr(display, name)


@pytest.mark.parametrize("function", [display.clock, display.number, display.rounded_duration, display.seconds])
def test_a_missing_value_is_a_dash(function) -> None:
    """None and NaN are never 0."""
    assert function(None) == function(math.nan) == display.MISSING
