"""Formats numbers, durations and times on the axis of a run for people: in messages, findings and reports.

Values are in base units. A missing value (None or NaN) is `MISSING`; it is never shown as 0.
"""

import math
from collections.abc import Collection
from itertools import islice
from typing import TypeGuard

MISSING = "–"
MINUS = "−"


def known(value: float | None) -> TypeGuard[float]:
    """Whether there is a value to show; None and NaN are missing, infinity is a value."""
    return value is not None and not math.isnan(value)


def number(value: float | None, digits: int = 3) -> str:
    """A plain number: no digit after the point beyond the first `digits` significant ones: `1,480`, `12.3`, `0.042`."""
    if not known(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    decimals = max(0, digits - 1 - exponent)
    text = f"{abs(value):,.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return (MINUS if value < 0 and text != "0" else "") + text


def seconds(value: float | None, digits: int = 3) -> str:
    """A duration: `180 ms`, `2.04 s`, `41 s`; digits as in `number`."""
    if not known(value):
        return MISSING
    if 0 < abs(value) < 1 and float(f"{abs(value):.{digits}g}") < 1:
        return f"{number(value * 1000, digits)} ms"
    return f"{number(value, digits)} s"


def rounded_duration(value: float | None) -> str:
    """A duration in prose, without false precision: `41 s`, `4.2 s`, `180 ms`, `12 min 5 s`, `2 h 5 min`."""
    if not known(value):
        return MISSING
    size = abs(value)
    sign = MINUS if value < 0 else ""
    if math.isinf(value) or size < 9.95:
        return seconds(float(f"{value:.2g}"))
    whole = round(size)
    if whole < 600:
        return f"{sign}{whole} s"
    if whole < 3600:
        return f"{sign}{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(size / 60)
    return f"{sign}{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def tenths(value: float | None) -> str:
    """A duration to a tenth of a second, so that parts add up: `41.3 s`; from 100 s on as `rounded_duration`."""
    if not known(value):
        return MISSING
    text = f"{abs(value):.1f}"
    if float(text) >= 100:
        return rounded_duration(value)
    return f"{MINUS if value < 0 and text != '0.0' else ''}{text} s"


def clock(value: float | None, decimals: int = 0) -> str:
    """A time on the axis of a run: `1:05`, `1:02:03`, `−0:05`."""
    if not known(value):
        return MISSING
    if math.isinf(value):
        return number(value)
    scale = 10**decimals
    ticks = round(abs(value) * scale)
    minutes, rest = divmod(ticks, 60 * scale)
    hours, minutes = divmod(minutes, 60)
    second = f"{rest / scale:0{2 if decimals == 0 else 3 + decimals}.{decimals}f}"
    sign = MINUS if value < 0 and ticks else ""
    return f"{sign}{hours}:{minutes:02d}:{second}" if hours else f"{sign}{minutes}:{second}"


MOST_LISTED = 50
"""Most items of a list in a sentence."""


def listed(items: Collection[str], between: str = "; ") -> str:
    """The first items of a list in a sentence, and the number of the others: `a; b; 9,998 more`."""
    rest = len(items) - MOST_LISTED
    return between.join([*islice(items, MOST_LISTED), *([f"{rest:,} more"] if rest > 0 else [])])
