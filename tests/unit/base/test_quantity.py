"""Kubernetes quantities: grammar, value and rounding."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.base.quantity import parse_bytes, parse_milli, parse_quantity

NANO = Fraction(1, 10**9)
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("2", 2),
        ("+5", 5),
        ("-5", -5),
        ("010", 10),
        ("1.", 1),
        (".5", Fraction(1, 2)),
        ("-.5", Fraction(-1, 2)),
        ("1.5", Fraction(3, 2)),
        ("1n", NANO),
        ("100u", Fraction(1, 10**4)),  # 100 · 10^-6
        ("1500m", Fraction(3, 2)),
        ("2k", 2000),
        ("1M", 10**6),
        ("1G", 10**9),
        ("1T", 10**12),
        ("1P", 10**15),
        ("1E", 10**18),  # a suffix
        ("1E3", 1000),  # an exponent
        ("1e3", 1000),
        ("1e+3", 1000),
        ("1e-1", Fraction(1, 10)),
        ("1.5e0002", 150),
        ("1Ki", 1024),
        ("0.5Ki", 512),
        ("1.5Gi", 3 * 2**29),
        ("-1Mi", -(2**20)),
        ("1Ei", 2**60),
        ("8Ei", 2**63 - 1),  # 2^63 is capped
        ("-8Ei", 1 - 2**63),
        ("0.1n", NANO),  # finer than a nano
        ("-0.1n", -NANO),
        ("1.5n", 2 * NANO),
        ("0.0000000001Ki", 103 * NANO),  # 102.4 nano
        (2, 2),
        (0.25, Fraction(1, 4)),
        (1e-05, Fraction(1, 10**5)),
    ],
)
def test_a_quantity_has_the_value_that_kubernetes_gives_it(text: str | int | float, value: Fraction | int) -> None:
    """`ParseQuantity` of apimachinery v0.37.1 gives the same for each."""
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "m",
            "+",
            ".",
            "1x",
            "1 k",
            "1K",
            "1ki",
            "1KB",
            "1i",
            "1e",
            "1Em",
            "1e1.5",
            "1e100",
            "one",
            "--1",
            "1.2.3",
        ),
        *("٣", "0x10", " 1", "1\n", "inf", "nan", True, math.inf, None, [1], "9" * 101),
    ],
)
def test_any_other_text_is_refused(text: object) -> None:
    """The sentence shows the text and valid quantities."""
    with pytest.raises(ValueError, match="is not a Kubernetes quantity: write a number such as 2, 1500m or 4Ki"):
        parse_quantity(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "milli", "whole"),
    [
        ("1500m", 1500, 2),
        ("1.5", 1500, 2),
        ("100u", 1, 1),  # 0.1 thousandths
        ("1.5m", 2, 1),
        ("2.0001", 2001, 3),
        ("0.0000000001", 1, 1),
        ("1e3", 10**6, 1000),
        ("1Ki", 1_024_000, 1024),
        ("0.5Ki", 512_000, 512),
        ("9.2P", 92 * 10**17, 92 * 10**14),
        ("9223372036854775807m", 2**63 - 1, 9_223_372_036_854_776),
        ("-5", -5000, -5),
        ("-1.5m", 0, 1),  # -1 + 1, 0 + 1
        ("-100u", 1, 1),  # 0 + 1
    ],
)
def test_whole_numbers_are_rounded_up(text: str, milli: int, whole: int) -> None:
    """`MilliValue` and `Value` of apimachinery v0.37.1 give the same for each."""
    assert (parse_milli(text), parse_bytes(text)) == (milli, whole)


def test_a_value_beyond_64_bits_is_refused() -> None:
    """1E is 10^21 thousandths and 10E is 10^19 bytes: Kubernetes' int64 would wrap around."""
    with pytest.raises(ValueError, match=r"the quantity 1E overflows Kubernetes' 64-bit integers: use at most 9\.2P"):
        parse_milli("1E")
    with pytest.raises(ValueError, match=r"the quantity 10E overflows Kubernetes' 64-bit integers: use at most 9\.2E"):
        parse_bytes("10E")


@given(st.integers(0, 10**12), st.sampled_from(sorted(DECIMAL)))
def test_a_decimal_suffix_and_its_exponent_are_the_same(number: int, suffix: str) -> None:
    """7k is 7e3, and so on for every suffix of base 10."""
    assert parse_quantity(f"{number}{suffix}") == parse_quantity(f"{number}e{DECIMAL[suffix]}")


@given(st.integers(0, 7), st.sampled_from(sorted(BINARY)))
def test_a_binary_suffix_is_a_power_of_two(number: int, suffix: str) -> None:
    """Up to 7Ei the value is exact."""
    assert parse_quantity(f"{number}{suffix}") == number * 2 ** BINARY[suffix]


@given(st.decimals(-(10**9), 10**9, places=12), st.sampled_from(sorted(DECIMAL | BINARY)))
def test_a_sign_changes_the_sign_and_nothing_else(number: object, suffix: str) -> None:
    """Rounding is away from zero on both sides."""
    text = f"{number:f}{suffix}".lstrip("-")
    assert parse_quantity(f"-{text}") == -parse_quantity(text)


@given(st.decimals(0, 10**6, places=15))
def test_rounding_adds_less_than_a_nano(number: object) -> None:
    """The value is a whole count of nanos, at most one nano above the exact value."""
    value = parse_quantity(f"{number:f}")
    assert (value / NANO).denominator == 1
    assert 0 <= value - Fraction(f"{number:f}") < NANO


@given(st.text(max_size=12) | st.text("0123456789.+-eEinumkKMGTP", max_size=12))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    """No text raises anything else, and every value fits into a float64."""
    try:
        value = parse_quantity(text)
    except ValueError:
        return
    assert math.isfinite(float(value))
