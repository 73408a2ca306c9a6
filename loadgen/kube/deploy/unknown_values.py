"""Proposes chart values for those that the chart's schema refuses as unknown."""

import json
import re
from pathlib import Path
from typing import Any

from loadgen.base.proposals import listed, meant

REFUSED = "meet the specifications of the schema"
"""Text of Helm where values do not fit the schema."""

_UNKNOWN = re.compile(r"at '([^']*)': additional properties ((?:'[^']*'(?:, )?)+) not allowed")


def proposals(message: str, chart: Path) -> str:
    """Return a message of Helm with the values that may have been meant, and those that exist, for each unknown value.

    Args:
        message: Helm's message.
        chart: Folder of the chart.
    """
    if not _UNKNOWN.search(message):
        return message
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))

    def sentence(found: re.Match[str]) -> str:
        path = found[1].strip("/").replace("/", ".")
        known = sorted(_properties(schema, [step for step in found[1].split("/") if step]))
        unknown = re.findall(r"'([^']*)'", found[2])
        names = " and ".join(f"{f'{path}.' if path else ''}{name}{meant(name, known)}" for name in unknown)
        where = f"of {path}" if path else "at the top"
        return f"no such value {names}" + (f"; the values {where} are {listed(known)}" if known else "")

    return _UNKNOWN.sub(sentence, message)


def _properties(schema: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """Return the properties of the part of a schema at a path; empty where the schema names none."""
    part: Any = schema
    for step in path:
        part = _resolved(schema, part)
        part = part.get("items", {}) if step.isdigit() else part.get("properties", {}).get(step, {})
    properties: dict[str, Any] = _resolved(schema, part).get("properties", {})
    return properties


def _resolved(schema: dict[str, Any], part: Any) -> dict[str, Any]:
    reference = part.get("$ref", "") if isinstance(part, dict) else ""
    if reference.startswith("#/"):
        part = schema
        for step in reference[2:].split("/"):
            part = part.get(step, {})
    return part if isinstance(part, dict) else {}
