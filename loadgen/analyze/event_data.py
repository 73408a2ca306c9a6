"""Parses the data of events: a JSON object whose fields have the types that `docs/dataset.md` declares."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from loadgen.analyze.rows import MAX_VALUE, MAX_WALL_CLOCK_S
from loadgen.base.json_text import parse_json
from loadgen.base.text import clean
from loadgen.dataset.tables import MAX_RUN_S

MAX_REPLICAS = 2**31 - 1
"""Kubernetes counts replicas in 32 bits."""
UNREADABLE = "data that is not a JSON object"


def parse_data(text: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Parse the data of one event.

    Args:
        text: JSON, or None.

    Returns:
        The fields, without those that no event has, and what is wrong with each of the latter, by an example.
    """
    if not text:
        return {}, {}
    try:
        data = parse_json(text)
    except ValueError as error:
        return {}, {UNREADABLE: clean(error)}
    if not isinstance(data, dict):
        return {}, {UNREADABLE: clean(text, 40)}
    good = {name: value for name, value in data.items() if value is None or _can_be(name, value)}
    faults = {f"an impossible {name} in its data": clean(data[name], 40) for name in data if name not in good}
    start, end = good.get("from_s"), good.get("to_s")
    if start is not None and end is not None and end < start:
        del good["from_s"], good["to_s"]
        faults["a to_s before its from_s in its data"] = f"{start} to {end}"
    return good, faults


def _number(most: float) -> Callable[[object], bool]:
    """Whether a value is a number of at most this size."""

    def check(value: object) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return math.isfinite(value) and abs(value) <= most

    return check


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_REPLICAS


def _text(value: object) -> bool:
    return isinstance(value, str)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_FIELDS: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("before", "after", "current", "desired"), _count),
    **dict.fromkeys(("from_s", "to_s"), _number(MAX_RUN_S)),
    **dict.fromkeys(("late_s", "silent_s", "step_s", "backoff_s"), _number(MAX_WALL_CLOCK_S)),
    **dict.fromkeys(("metric_milli", "target_milli"), _number(MAX_VALUE)),
    **dict.fromkeys(("condition", "node", "part", "source", "status", "watch"), _text),
    "pods": _texts,
}
"""The check of each field that an analysis reads; the others are not looked at."""


def _can_be(name: str, value: object) -> bool:
    check = _FIELDS.get(name)
    return check is None or check(value)
