"""Kubernetes quantities (`1500m`, `2k`, `1Gi`) and the way a Prometheus reading becomes one."""

import math
import re
from fractions import Fraction

from loadgen.autoscale.gonumbers import MAX_INT64, MIN_INT64
from loadgen.base.errors import SettingsError

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?P<suffix>[numkMGTPE]?|[KMGTPE]i|[eE](?P<exponent>[+-]?\d{1,3}))",
    re.ASCII,
)
_NANO = 10**9


def parse_quantity(text: str | int | float) -> Fraction:
    """Read a quantity as its exact value; finer than a nano is rounded away from zero.

    Source: `resource.ParseQuantity`.

    Args:
        text: What the manifest says: a string, or the bare number YAML made of it.

    Raises:
        SettingsError: The text is no quantity.
    """
    match = None if isinstance(text, bool) else _QUANTITY.fullmatch(str(text))
    if match is None:
        raise SettingsError(f"{text!r} is not a Kubernetes quantity: write a number such as 2, 1500m or 4k")
    suffix = match["suffix"]
    value = Fraction(match["number"])
    if match["exponent"]:
        value *= Fraction(10) ** int(match["exponent"])
    elif suffix in _BINARY:
        value *= 2 ** _BINARY[suffix]
    else:
        value *= Fraction(10) ** _DECIMAL[suffix]
    away_from_zero = math.ceil if value > 0 else math.floor
    return Fraction(away_from_zero(value * _NANO), _NANO)


def quantity_milli(value: Fraction) -> int:
    """Round a quantity up to whole thousandths, as `Quantity.MilliValue` does.

    Raises:
        SettingsError: The value does not fit an int64 of milli, where the controller would overflow.
    """
    milli = math.ceil(value * 1000)
    if not MIN_INT64 <= milli <= MAX_INT64:
        raise SettingsError(
            f"the quantity {float(value):g} overflows the controller's milli arithmetic: use at most 9.2e15"
        )
    return milli


def quantity_float(value: Fraction) -> float:
    """Turn a quantity into the float64 the controller compares ratios with.

    The controller multiplies the mantissa of the canonical form (the exponent a multiple of 3) by a power of ten,
    which can be one rounding away from the nearest float: 100u becomes 9.999999999999999e-05.

    Source: `Quantity.AsApproximateFloat64`, after the API server's `CanonicalizeBytes`.
    """
    if value.denominator == 1:
        return float(value)
    for exponent in (-3, -6, -9):
        mantissa = value * 10**-exponent
        if mantissa.denominator == 1:
            return float(mantissa) * float(f"1e{exponent}")
    raise ValueError(f"{value} is finer than a nano: read it with parse_quantity")


def milli_from_reading(value: float) -> int:
    """Turn a Prometheus sample into the milli integer the HPA controller sees through prometheus-adapter.

    The fraction of a milli is dropped: 0.0009 is 0. A value that is not a number or does not fit (NaN, +Inf, -Inf,
    9.3e15) arrives as **0** on both metric APIs: the custom API writes 0 for NaN, and every other one becomes the
    lowest int64, `-9223372036854775808m`, which the controller's quantity parser overflows to 0. (Measured with
    apimachinery v0.37.1 on amd64; arm64 sends the highest int64 for +Inf.)

    Source: `metricFor` and `convertSample` in prometheus-adapter v0.12.0, then `Quantity.MilliValue`.

    Args:
        value: The sample, in the metric's unit.
    """
    milli = value * 1000.0
    if not math.isfinite(milli) or abs(milli) >= float(2**63):
        return 0
    return int(milli)
