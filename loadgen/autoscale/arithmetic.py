"""Does arithmetic as the HPA controller and prometheus-adapter do it, in Go on amd64, where Python's would differ.

Go integers wrap, integer division truncates toward zero, division of floats by zero gives an infinity or NaN, and
a float that does not fit converts to the lowest integer of the type (the machine's "integer indefinite"; the Go
language leaves this case to the implementation, arm64 saturates instead).
"""

import math
from fractions import Fraction

MIN_INT32 = -(2**31)
MAX_INT32 = 2**31 - 1
MIN_INT64 = -(2**63)
MAX_INT64 = 2**63 - 1


def wrap_int32(value: int) -> int:
    """Keep the low 32 bits of an integer, read as a signed number."""
    return (value - MIN_INT32) % 2**32 + MIN_INT32


def wrap_int64(value: int) -> int:
    """Keep the low 64 bits of an integer, read as a signed number."""
    return (value - MIN_INT64) % 2**64 + MIN_INT64


def divide_int(dividend: int, divisor: int) -> int:
    """Divide integers and drop the fraction: -7 by 2 is -3, where Python's `//` says -4."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def divide_float(dividend: float, divisor: float) -> float:
    """Divide as IEEE 754 says: x/0 is an infinity, 0/0 is NaN."""
    if divisor != 0:
        return dividend / divisor
    if dividend == 0 or math.isnan(dividend):
        return math.nan
    return math.copysign(math.inf, dividend) * math.copysign(1.0, divisor)


def to_int32(value: float) -> int:
    """Convert a float to an int32, dropping the fraction; what does not fit becomes -2^31."""
    return _convert(value, MIN_INT32, MAX_INT32)


def to_int64(value: float) -> int:
    """Convert a float to an int64, dropping the fraction; what does not fit becomes -2^63."""
    return _convert(value, MIN_INT64, MAX_INT64)


def ceil_float(value: float) -> float:
    """Round a float up and keep it a float, so that infinities and NaN pass through."""
    return float(math.ceil(value)) if math.isfinite(value) else value


def approximate_float(quantity: Fraction) -> float:
    """Convert a parsed quantity to the float64 that the controller compares ratios with.

    The controller multiplies the mantissa of the canonical form (the exponent a multiple of 3) by a power of ten,
    which can be one rounding away from the nearest float: 100u becomes 9.999999999999999e-05.

    Source: `Quantity.AsApproximateFloat64`, after the API server's `CanonicalizeBytes`.
    """
    if quantity.denominator == 1:
        return float(quantity)
    for exponent in (-3, -6, -9):
        mantissa = quantity * 10**-exponent
        if mantissa.denominator == 1:
            return float(mantissa) * float(f"1e{exponent}")
    raise ValueError(f"{quantity} is finer than a nano: use the result of parse_quantity")


def milli_from_sample(value: float) -> int:
    """Convert a Prometheus sample to the milli integer that the controller reads through prometheus-adapter.

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


def _convert(value: float, lowest: int, highest: int) -> int:
    if not math.isfinite(value):
        return lowest
    whole = int(value)
    return whole if lowest <= whole <= highest else lowest
