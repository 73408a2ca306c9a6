"""Reads the fields that all kinds of raw Kubernetes objects have: timestamps and quantities."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

Raw = Mapping[str, Any]
"""An object of the API as decoded JSON."""


def parse_time(timestamp: str | None) -> float | None:
    """Convert an API timestamp, with or without fractions, to seconds since the epoch; None stays None."""
    return None if timestamp is None else datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


def milli(quantity: str | None) -> int | None:
    """Convert a Kubernetes quantity to milli-units (`1500m` and `1.5` are 1500); None where it cannot be parsed."""
    if quantity is None:
        return None
    factors = {"m": 1, "": 1000, "k": 1_000_000, "M": 1_000_000_000}
    match = re.fullmatch(r"(-?[\d.]+)([mkM]?)", quantity)
    return round(float(match[1]) * factors[match[2]]) if match else None
