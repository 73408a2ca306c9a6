"""Parses Kubernetes quantities such as `1500m`, `100u`, `1e3` and `4Gi`.

The grammar and the rounding are those of `k8s.io/apimachinery/pkg/api/resource`, v0.37.1.
"""

import math
import re
from fractions import Fraction

# A real quantity has a dozen characters. With the two digits of an exponent, this keeps every value within float64.
_MAX_LENGTH = 100
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))"
    r"(?:(?P<binary>[KMGTPE]i)|(?P<decimal>[numkMGTPE]?)|[eE](?P<exponent>[+-]?0*\d{1,2}))",
    re.ASCII,
)
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_NANO = 10**9
_MIN_INT64, _MAX_INT64 = -(2**63), 2**63 - 1


def parse_quantity(text: str | int | float) -> Fraction:
    """Parse a quantity into its exact value.

    As in Kubernetes, a value finer than a nano is rounded away from zero, and a value with a binary suffix is capped at
    ±(2^63 - 1). Unlike Kubernetes, which reads `m`, `+` and `.` as 0, a quantity needs a digit.

    Source: `resource.ParseQuantity`.

    Args:
        text: The value in the manifest: a string, or the bare number that YAML made of it.

    Raises:
        ValueError: The text is not a quantity. The message is a sentence for the user.
    """
    written = "" if isinstance(text, bool) else str(text)
    match = _QUANTITY.fullmatch(written) if len(written) <= _MAX_LENGTH else None
    if match is None:
        raise ValueError(
            f"{text!r:.{_MAX_LENGTH}} is not a Kubernetes quantity: write a number such as 2, 1500m or 4Ki"
        )
    value = Fraction(match["number"])
    if match["binary"]:
        value = min(max(value * 2 ** _BINARY[match["binary"]], Fraction(-_MAX_INT64)), Fraction(_MAX_INT64))
    else:
        exponent = int(match["exponent"]) if match["exponent"] else _DECIMAL[match["decimal"]]
        value *= Fraction(10) ** exponent
    away_from_zero = math.ceil if value > 0 else math.floor
    return Fraction(away_from_zero(value * _NANO), _NANO)


def parse_milli(text: str | int | float) -> int:
    """Parse a quantity into whole thousandths, rounded up.

    Source: `Quantity.MilliValue`.

    Raises:
        ValueError: The text is not a quantity, or its thousandths do not fit into an int64.
    """
    return _rounded_up(text, 1000, "9.2P")


def parse_bytes(text: str | int | float) -> int:
    """Parse a quantity into a whole number, such as a count of bytes, rounded up.

    Source: `Quantity.Value`.

    Raises:
        ValueError: The text is not a quantity, or its value does not fit into an int64.
    """
    return _rounded_up(text, 1, "9.2E")


def _rounded_up(text: str | int | float, per_unit: int, highest: str) -> int:
    value = parse_quantity(text) * per_unit
    # Go drops the fraction and adds one, below zero too: -1.5m is 0 thousandths, and -100u is 1.
    whole = int(value) + (value.denominator != 1)
    if not _MIN_INT64 <= whole <= _MAX_INT64:
        raise ValueError(f"the quantity {text} overflows Kubernetes' 64-bit integers: use at most {highest}")
    return whole
