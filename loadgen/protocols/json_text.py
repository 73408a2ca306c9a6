"""Parses the JSON of answers, whose text may have bytes that are no UTF-8, such as a part of an emoji."""

import json
from collections.abc import Mapping
from typing import Any

from loadgen.base.text import clean

JSON_ERRORS = (ValueError, RecursionError)
"""What the parser raises: text that is not JSON, and JSON that is nested too deeply."""
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # which raw_decode calls, too


def parsed_json(data: bytes) -> object:
    """Parse JSON; faster than `json.loads`, and bytes that are no UTF-8 stay what they are.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    text = data.decode("utf-8", "surrogateescape").strip()
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        raise ValueError("not JSON") from None
    if end != len(text):
        raise ValueError("not JSON alone")
    return value


def text_bytes(text: str) -> bytes:
    """Return the bytes of a text in parsed JSON."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")  # an escape that is half of a pair


def error_message(value: Mapping[str, Any]) -> str | None:
    """Return the message of a JSON error: of Triton, of OpenAI's API in its forms, or of a proxy; None without one."""
    error = value.get("error")
    if isinstance(error, str) and error:
        return clean(error)
    own, keys = (error, ("message", "type", "code")) if isinstance(error, dict) else (value, ("message", "detail"))
    texts = (own.get(key) for key in keys)
    return next((clean(text) for text in texts if isinstance(text, str) and text), None)
