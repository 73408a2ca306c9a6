"""Kubernetes quantities and prometheus-adapter's conversion."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.autoscale.quantity import milli_from_reading, parse_quantity, quantity_float, quantity_milli
from loadgen.base.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "milli"),
    [
        ("1500m", 1500),
        ("1.5", 1500),
        ("1.", 1000),
        (".5", 500),
        ("+5", 5000),
        ("010", 10_000),
        ("2k", 2_000_000),
        ("1M", 10**9),
        ("1Ki", 1_024_000),
        ("0.5Ki", 512_000),
        ("1e3", 10**6),
        ("1E3", 10**6),  # an exponent
        ("1e-1", 100),
        ("100u", 1),  # 0.1 milli, rounded up
        ("1.5m", 2),
        ("2.0001", 2001),
        ("0.0000000001", 1),  # 0.1 nano is 1 nano, which is 1 milli rounded up
        (2, 2000),
        (0.25, 250),
        (1e-05, 1),
        ("0", 0),
        ("9.2P", 92 * 10**17),
        ("9223372036854775807m", 2**63 - 1),
    ],
)
def test_a_quantity_is_read_in_milli(text, milli):
    """`MilliValue` of apimachinery v0.37.1 gives the same for each."""
    assert quantity_milli(parse_quantity(text)) == milli


@pytest.mark.parametrize(
    "text", ["", "m", "1x", "1 k", "1K", "1ki", "1i", "1e", "one", "--1", "1.2.3", "٣", True, " 1"]
)
def test_what_is_no_quantity_is_refused(text):
    """The sentence shows the text and how a quantity looks."""
    with pytest.raises(SettingsError, match="is not a Kubernetes quantity: write a number such as"):
        parse_quantity(text)


def test_a_target_beyond_int64_is_refused():
    """1E is 10^21 milli: the controller's int64 would wrap to 0, a target that nobody meant."""
    with pytest.raises(SettingsError, match="overflows the controller's milli arithmetic: use at most"):
        quantity_milli(parse_quantity("1E"))


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
    """Mantissa times power of ten, which is not always the nearest float."""
    assert quantity_float(parse_quantity(text)) == value


def test_a_fraction_that_is_no_quantity_has_no_float():
    """A third was never parsed: it is an error of the caller."""
    with pytest.raises(ValueError, match="finer than a nano"):
        quantity_float(Fraction(1, 3))


@pytest.mark.parametrize(
    ("reading", "milli"),
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
def test_a_reading_arrives_as_the_controller_sees_it(reading, milli):
    """What does not fit arrives as 0: the lowest int64 is sent, and the quantity parser overflows it to 0."""
    assert milli_from_reading(reading) == milli


@given(st.floats(-9e12, 9e12))
def test_a_reading_loses_less_than_a_milli(reading):
    """In the range of any real metric the conversion cuts off less than one milli, plus float noise."""
    assert abs(milli_from_reading(reading) - reading * 1000) < 1
