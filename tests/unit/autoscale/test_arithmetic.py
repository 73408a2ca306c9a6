"""Go's integers and float conversions, as measured with Go 1.26 on amd64, and prometheus-adapter's conversion."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.autoscale.arithmetic import (
    MAX_INT32,
    MAX_INT64,
    MIN_INT32,
    MIN_INT64,
    approximate_float,
    ceil_float,
    divide_float,
    divide_int,
    milli_from_sample,
    to_int32,
    to_int64,
    wrap_int32,
    wrap_int64,
)
from loadgen.base.quantity import parse_quantity


@pytest.mark.parametrize(
    ("value", "int32", "int64"),
    [
        (2.9, 2, 2),
        (-0.5, 0, 0),
        (-2.9, -2, -2),
        (2147483647.0, MAX_INT32, 2147483647),
        (2147483648.0, MIN_INT32, 2147483648),
        (4294967301.5, MIN_INT32, 4294967301),  # not the low 32 bits, which would be 5
        (-2147483649.0, MIN_INT32, -2147483649),
        (1e19, MIN_INT32, MIN_INT64),
        (math.inf, MIN_INT32, MIN_INT64),
        (-math.inf, MIN_INT32, MIN_INT64),
        (math.nan, MIN_INT32, MIN_INT64),
    ],
)
def test_a_float_that_does_not_fit_becomes_the_lowest_integer(value, int32, int64):
    """Conversion truncates toward zero, and any value out of range becomes the lowest integer."""
    assert (to_int32(value), to_int64(value)) == (int32, int64)


def test_integers_wrap():
    """One above the highest is the lowest, as in two's complement."""
    assert wrap_int32(MAX_INT32 + 1) == MIN_INT32
    assert wrap_int64(MAX_INT64 + 1) == MIN_INT64
    assert wrap_int64(-1) == -1


@pytest.mark.parametrize(
    ("dividend", "divisor", "quotient"), [(7, 2, 3), (-7, 2, -3), (7, -2, -3), (-7, -2, 3), (0, 5, 0)]
)
def test_integer_division_drops_the_fraction(dividend, divisor, quotient):
    """-7 / 2 is -3 in Go and -4 in Python."""
    assert divide_int(dividend, divisor) == quotient


@given(st.integers(MIN_INT64, MAX_INT64), st.integers(1, 10**6))
def test_quotient_and_remainder_make_the_dividend(dividend, divisor):
    """The remainder is smaller than the divisor and has the sign of the dividend."""
    rest = dividend - divide_int(dividend, divisor) * divisor
    assert abs(rest) < divisor
    assert rest * dividend >= 0


def test_division_by_zero_is_a_number():
    """x / 0 is an infinity with the sign of x, 0 / 0 and NaN / 0 are NaN."""
    assert divide_float(3.0, 0.0) == math.inf
    assert divide_float(-3.0, 0.0) == -math.inf
    assert divide_float(3.0, -0.0) == -math.inf
    assert math.isnan(divide_float(0.0, 0.0))
    assert math.isnan(divide_float(math.nan, 0.0))


def test_rounding_up_accepts_infinity():
    """Python's math.ceil raises where Go's math.Ceil does not."""
    assert ceil_float(1.2) == 2.0
    assert ceil_float(math.inf) == math.inf
    assert math.isnan(ceil_float(math.nan))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("50m", 0.05),
        ("0.333", 0.333),
        ("1", 1.0),
        ("100u", 9.999999999999999e-05),  # 100 · 10^-6 in float64
        ("2.0001", 2.0000999999999998),  # 2000100 · 10^-6
        ("3n", 3.0000000000000004e-09),
        ("0", 0.0),
    ],
)
def test_a_tolerance_is_the_float_the_controller_multiplies_out(text, value):
    """The tolerance is mantissa times power of ten, which is not always the nearest float."""
    assert approximate_float(parse_quantity(text)) == value


def test_a_fraction_that_was_not_parsed_has_no_float():
    """A third cannot be written as a quantity, so it does not come from the parser."""
    with pytest.raises(ValueError, match="finer than a nano"):
        approximate_float(Fraction(1, 3))


@pytest.mark.parametrize(
    ("sample", "milli"),
    [
        (0.0, 0),
        (1.0, 1000),
        (0.29, 290),
        (4.35, 4350),  # 4.35 · 1000 is 4350.0 in float64
        (1.0019, 1001),  # the fraction of a milli is dropped
        (1.001, 1000),  # 1.001 · 1000 is 1000.9999999999999
        (0.0009, 0),
        (-0.0009, 0),
        (-1.5, -1500),
        (9.2e15, 9_200_000_000_000_000_000),
        (math.nan, 0),
        (math.inf, 0),
        (-math.inf, 0),
        (9.3e15, 0),
        (9223372036854775.808, 0),  # 2^63 milli
        (1e300, 0),
    ],
)
def test_a_sample_has_the_value_that_the_controller_receives(sample, milli):
    """A value out of range becomes 0: the adapter sends the lowest int64, which overflows to 0 in the parser."""
    assert milli_from_sample(sample) == milli


@given(st.floats(-9e12, 9e12))
def test_a_sample_loses_less_than_a_milli(sample):
    """In the range of any real metric the conversion cuts off less than one milli, plus float noise."""
    assert abs(milli_from_sample(sample) - sample * 1000) < 1
