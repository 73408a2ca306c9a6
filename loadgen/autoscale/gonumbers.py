"""Arithmetic as the controller's Go does it on amd64, where Python's numbers would differ.

Go integers wrap, integer division truncates toward zero, division of floats by zero gives an infinity or NaN, and
a float that does not fit converts to the lowest integer of the type (the machine's "integer indefinite"; the Go
language leaves this case to the implementation, arm64 saturates instead).
"""

import math

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


def _convert(value: float, lowest: int, highest: int) -> int:
    if not math.isfinite(value):
        return lowest
    whole = int(value)
    return whole if lowest <= whole <= highest else lowest
