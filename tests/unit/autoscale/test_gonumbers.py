"""Go's integers and float conversions, as measured with Go 1.26 on amd64."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.autoscale.gonumbers import (
    MAX_INT32,
    MAX_INT64,
    MIN_INT32,
    MIN_INT64,
    ceil_float,
    divide_float,
    divide_int,
    to_int32,
    to_int64,
    wrap_int32,
    wrap_int64,
)


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
    """The fraction is dropped toward zero, and everything out of range is the lowest integer."""
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
def test_quotient_and_rest_make_the_dividend(dividend, divisor):
    """The rest is smaller than the divisor and has the sign of the dividend."""
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


def test_rounding_up_lets_infinity_through():
    """Python's math.ceil raises where Go's math.Ceil does not."""
    assert ceil_float(1.2) == 2.0
    assert ceil_float(math.inf) == math.inf
    assert math.isnan(ceil_float(math.nan))
