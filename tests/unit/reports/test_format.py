"""Numbers as text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadgen_reports import format as fmt

MISSING = [None, math.nan]


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize(
    "show",
    [
        fmt.number,
        fmt.count,
        fmt.seconds,
        fmt.rounded_duration,
        fmt.percent,
        fmt.rate,
        fmt.ratio_value,
        fmt.clock,
        fmt.time_difference,
        lambda value: fmt.quantity(value, "s"),
        lambda value: fmt.quantity(value, "ratio"),
        lambda value: fmt.quantity(value, "count"),
        lambda value: fmt.time_span(value, 1.0),
        lambda value: fmt.column([value])[1][0],
    ],
)
def test_missing_is_a_dash(show, missing) -> None:
    """A missing value is shown as missing by every formatter, never as 0."""
    assert show(missing) == fmt.MISSING


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1480, "1,480"),
        (12.34, "12.3"),
        (0.04216, "0.0422"),
        (9.999, "10"),
        (-3.5, "−3.5"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_number(value: float, text: str) -> None:
    """A number has three significant digits, grouped thousands, a real minus and no trailing zeros."""
    assert fmt.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 s"),
        (0.0004, "0.4 ms"),
        (0.18, "180 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (2.04, "2.04 s"),
        (41.0, "41 s"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    """Below a second a duration is in milliseconds, and rounding never gives 1000 ms."""
    assert fmt.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1834, "180 ms"),
        (4.24, "4.2 s"),
        (9.96, "10 s"),
        (41.3, "41 s"),
        (599.4, "599 s"),
        (725.0, "12 min 5 s"),
        (720.0, "12 min"),
        (7500.0, "2 h 5 min"),
        (7200.0, "2 h"),
        (-12.3, "−12 s"),
    ],
)
def test_about(value: float, text: str) -> None:
    """In prose a duration has two digits, and whole seconds from ten seconds on."""
    assert fmt.rounded_duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.61, "61 %"),
        (0.031, "3.1 %"),
        (0.0004, "<0.1 %"),
        (0.9996, ">99.9 %"),
        (0.995, "99.5 %"),
        (0.0996, "10 %"),
        (1.42, "142 %"),
    ],
)
def test_percent(value: float, text: str) -> None:
    """A share is shown as a percentage, with a decimal only where it is significant."""
    assert fmt.percent(value) == text


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_percent_is_never_rounded_to_all_or_nothing(share: float) -> None:
    """Only exactly 0 is shown as 0 %, and only exactly 1 as 100 %."""
    assert fmt.percent(share) not in ("0 %", "100 %", "0.0 %", "100.0 %")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.5, "s", "2.5 s"),
        (0.01, "ratio", "1 %"),
        (1480.0, "count", "1,480"),
        (8.25, "per_s", "8.25/s"),
        (1.1, "", "1.1"),
    ],
)
def test_quantity(value: float, unit: str, text: str) -> None:
    """A finding's value is shown in its unit."""
    assert fmt.quantity(value, unit) == text


def test_a_value_and_its_limit_are_told_apart() -> None:
    """A value that missed its limit by half a millisecond has enough digits to show it."""
    assert fmt.measured_and_limit(2.0004, 2.0, "s") == ("2.0004 s", "2 s")
    assert fmt.measured_and_limit(0.010004, 0.01, "ratio") == ("1.0004 %", "1 %")
    assert fmt.measured_and_limit(2.0, 2.0, "s") == ("2 s", "2 s")
    assert fmt.measured_and_limit(None, 2.0, "s") == ("–", "2 s")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.42, "2.4 s"),
        (29.94, "29.9 s"),
        (0.04, "0.0 s"),
        (-0.04, "0.0 s"),
        (-3.0, "−3.0 s"),
        (99.97, "100 s"),
        (725.0, "12 min 5 s"),
    ],
)
def test_lag_has_one_decimal(value: float, text: str) -> None:
    """A lag and its parts are shown to the tenth of a second, in prose and in the table."""
    assert fmt.tenths(value) == text
    assert fmt.tenths(None) == fmt.MISSING


@given(st.floats(0, 99.9))
def test_a_lag_in_prose_is_the_lag_of_the_table(value: float) -> None:
    """A sentence gives the same lag as the table."""
    assert f"+{fmt.tenths(value)}" == fmt.time_difference(value)


@pytest.mark.parametrize(
    ("value", "text"), [(65.0, "1:05"), (3723.0, "1:02:03"), (-5.0, "−0:05"), (-0.2, "0:00"), (59.6, "1:00")]
)
def test_clock(value: float, text: str) -> None:
    """A time on the axis is minutes and seconds, and rounding carries over."""
    assert fmt.clock(value) == text


def test_clock_with_decimals() -> None:
    """With tenths, seconds still have two digits."""
    assert fmt.clock(65.04, 1) == "1:05.0"
    assert fmt.clock(-4.96, 1) == "−0:05.0"


def test_later_has_a_sign() -> None:
    """A difference has a sign, and one that rounds to zero is not negative."""
    assert (fmt.time_difference(9.04), fmt.time_difference(-0.4), fmt.time_difference(-0.01)) == (
        "+9.0 s",
        "−0.4 s",
        "+0.0 s",
    )


def test_column_has_one_unit() -> None:
    """All values of a column have the unit and the decimals of its largest."""
    assert fmt.column([0.012, 0.5, None]) == ("ms", ["12", "500", "–"])
    assert fmt.column([0.012, 4.6249]) == ("s", ["0.01", "4.62"])
    assert fmt.column([0.0006, 0.002]) == ("ms", ["0.60", "2.00"])
    assert fmt.column([math.inf, 3.0]) == ("s", ["∞", "3.00"])
    assert fmt.column([None]) == ("s", ["–"])


def test_words_and_lists() -> None:
    """Small counts are words, nouns agree with their count, and lists read as prose."""
    assert [fmt.number_word(n) for n in (0, 2, 12, 13)] == ["no", "two", "twelve", "13"]
    assert [fmt.plural(n, "replica") for n in (0, 1, 2)] == ["replicas", "replica", "replicas"]
    assert [fmt.join_list(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


@given(st.text(alphabet=st.characters()))
def test_clean_text_can_be_written(text: str) -> None:
    """Cleaned text can be encoded and contains no control characters except tabs and line ends."""
    cleaned = fmt.clean(text)
    cleaned.encode()
    assert not any(ord(c) < 32 and c not in "\t\n\r" for c in cleaned)
    assert len(cleaned) == len(text)


def test_moments_are_utc() -> None:
    """Wall-clock times are UTC and do not depend on where the report is written."""
    assert fmt.utc(1_795_521_600.0) == "2026-11-24 12:00:00 UTC"
    assert fmt.iso(1_795_521_600.0) == "2026-11-24T12:00:00"
