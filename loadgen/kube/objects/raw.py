"""Reads the fields that all kinds of raw Kubernetes objects have: timestamps and quantities."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from loadgen.base.quantity import parse_milli

Raw = Mapping[str, Any]
"""An object of the API as decoded JSON."""


def parse_time(timestamp: str | None) -> float | None:
    """Convert an API timestamp, with or without fractions, to seconds since the epoch; None stays None.

    Raises:
        ValueError: it is not a time with a zone, as the API writes it.
    """
    if timestamp is None:
        return None
    at = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    if at.tzinfo is None:
        raise ValueError(f"the time {timestamp!r:.40} has no zone")
    return at.timestamp()


def milli(quantity: str | None) -> int | None:
    """Convert a Kubernetes quantity to milli-units, rounded up; None where it cannot be parsed."""
    try:
        return None if quantity is None else parse_milli(quantity)
    except ValueError:
        return None
