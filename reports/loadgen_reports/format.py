"""Formats the values of reports: the only place with percent, and, with `loadgen.base.display`, with rounding.

Values are in base units (seconds, 0..1, counts). A missing value (None or NaN) is `MISSING` in a table and "not
measured" in a sentence; it is never shown as 0.
"""

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from loadgen.base.display import MINUS, MISSING, clock, known, number, rounded_duration, seconds, tenths
from loadgen.base.text import printable

__all__ = [
    "MINUS",
    "MISSING",
    "bounded",
    "clean",
    "clock",
    "column",
    "count",
    "iso",
    "join_list",
    "known",
    "measured_and_limit",
    "number",
    "number_word",
    "percent",
    "plural",
    "quantity",
    "rate",
    "ratio_value",
    "rounded_duration",
    "seconds",
    "tenths",
    "time_difference",
    "time_span",
    "utc",
]

NO_VALUE = "no value"
_NUMBER_WORDS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def clean(text: str) -> str:
    """External text without the characters that XML forbids and a terminal would obey."""
    return printable(text)


def bounded(lower: float | None, upper: float | None, text: Callable[[float], str] = number) -> str:
    """A value between two bounds: `12.3` if they are equal, `≥ 12.3` without an upper bound, `12.3 to 15`.

    It is `no value` if the lower bound is infinite: the value never arrived.
    """
    if not known(lower) or not known(upper):
        return MISSING
    if math.isinf(lower):
        return NO_VALUE
    if math.isinf(upper):
        return f"≥ {text(lower)}"
    return text(lower) if lower == upper else f"{text(lower)} to {text(upper)}"


def count(value: float | None) -> str:
    """A whole number with thousands grouped: `1,480`."""
    if not known(value):
        return MISSING
    return number(value) if math.isinf(value) else f"{value:,.0f}".replace("-", MINUS)


def number_word(value: int) -> str:
    """A count in prose, as a word up to twelve: `two`, but `13`."""
    return _NUMBER_WORDS[value] if 0 <= value < len(_NUMBER_WORDS) else count(value)


def plural(value: float, noun: str, many: str | None = None) -> str:
    """The singular or plural of a noun, by count: `request` for 1, else `requests` (or `many`)."""
    return noun if value == 1 else many or f"{noun}s"


def join_list(parts: Iterable[str]) -> str:
    """A list in prose: `a, b and c`."""
    items = list(parts)
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def percent(value: float | None) -> str:
    """A share of 0..1 as per cent: `61 %`, `3.1 %`, `<0.1 %`; never rounded up to 100 % or down to 0 %."""
    if not known(value):
        return MISSING
    if value in (0.0, 1.0) or math.isinf(value):
        return f"{number(value * 100)} %"
    if 0 < value < 0.001:
        return "<0.1 %"
    if 0.999 < value < 1:
        return ">99.9 %"
    decimals = 1 if abs(value) < 0.0995 or 0.99 < value < 1 else 0
    return f"{value * 100:.{decimals}f}".replace("-", MINUS).removesuffix(".0") + " %"


def rate(value: float | None) -> str:
    """A rate per second: `8.2/s`."""
    return f"{number(value)}/s" if known(value) else MISSING


def ratio_value(value: float | None) -> str:
    """A queue-to-compute ratio, which is not a share of 1: `1.31`."""
    return number(value)


def quantity(value: float | None, unit: str, digits: int = 3) -> str:
    """A value of a finding in its unit (`s`, `ratio`, `count`, `per_s`), as text."""
    if not known(value):
        return MISSING
    if unit == "s":
        return seconds(value, digits)
    if unit == "ratio":
        return percent(value) if digits <= 3 else f"{number(value * 100, digits)} %"
    if unit == "count":
        return count(value) if float(value).is_integer() else number(value, digits)
    if unit == "per_s":
        return f"{number(value, digits)}/s"
    return f"{number(value, digits)} {unit}".strip()


def measured_and_limit(measured: float | None, limit: float | None, unit: str) -> tuple[str, str]:
    """A measured value and its limit, with as many digits as are needed to distinguish them.

    Otherwise 2.0004 s would be shown as "2 s, above the limit of 2 s".
    """
    texts = quantity(measured, unit), quantity(limit, unit)
    for digits in range(4, 13):
        if texts[0] != texts[1] or measured == limit:
            break
        texts = quantity(measured, unit, digits), quantity(limit, unit, digits)
    return texts


def time_difference(value: float | None) -> str:
    """A difference of two times: `+9.0 s`, `−0.4 s`."""
    if not known(value):
        return MISSING
    text = f"{abs(value):.1f}"
    return f"{'+' if value >= 0 or text == '0.0' else MINUS}{text} s"


def time_span(start_s: float | None, end_s: float | None) -> str:
    """A span of the time axis: `0:38–1:52`."""
    return f"{clock(start_s)}–{clock(end_s)}" if known(start_s) and known(end_s) else MISSING


def utc(unix_s: float) -> str:
    """A wall-clock time, UTC: `2026-11-24 12:00:00 UTC`."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(unix_s: float) -> str:
    """A wall-clock time in ISO 8601, UTC, without zone: `2026-11-24T12:00:00`."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def column(values: Iterable[float | None]) -> tuple[str, list[str]]:
    """Durations of one table with one unit and the same decimals, so that its values can be compared.

    Returns:
        The unit (`s` or `ms`) and one text without unit for each value.
    """
    items = list(values)
    largest = max((abs(value) for value in items if known(value) and not math.isinf(value)), default=1.0)
    unit, factor = ("s", 1.0) if largest >= 0.9995 else ("ms", 1000.0)
    size = largest * factor
    decimals = 1 if size >= 99.95 else 2
    if unit == "ms":
        decimals = 0 if size >= 99.5 else 1 if size >= 9.95 else 2
    texts = []
    for value in items:
        if not known(value) or math.isinf(value):
            texts.append(number(value))
        else:
            texts.append(f"{value * factor:,.{decimals}f}".replace("-", MINUS))
    return unit, texts
