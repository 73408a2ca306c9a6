"""Parses JSON from files that may be damaged: of bounded depth, and with numbers that a computation can use."""

import json
import math
from typing import Any

MAX_DEPTH = 64
"""Most levels of lists, objects and the values in them; the deepest document of loadgen, an HPA, has about ten."""
_MAX_INTEGER = 2**128
"""Seeds may have 128 bits; a larger integer cannot become a float."""


def parse_json(text: bytes | str) -> Any:
    """Parse a JSON document.

    Raises:
        ValueError: it is not JSON, is nested more than `MAX_DEPTH` deep, or has a number that is not finite or has
            more than 128 bits.
    """
    try:
        document = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [document]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
            elif _is_too_large(each):
                _refuse("too large")
        if not inner:
            return document
        level = inner
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"


def _is_too_large(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, int) and abs(value) > _MAX_INTEGER


def _refuse(constant: str) -> None:
    raise ValueError(f"it has a number that is {constant}")
