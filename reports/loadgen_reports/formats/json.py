"""Renders `analysis.json`: the whole analysis for machines, in base units and unrounded."""

import json
import math
from dataclasses import asdict
from typing import Any

from loadgen.analyze.results import Analysis
from loadgen_reports.finding_text import window_text

SCHEMA_VERSION = 1
"""Version of `analysis.json`; it changes when a field is renamed or changes its meaning."""


def render(analysis: Analysis) -> str:
    """The analysis as JSON text, fields in the order of `loadgen.analyze.results`.

    Missing values (None, NaN) are null; an infinite value, which JSON cannot represent, is the string "Infinity".
    Each series and each row of a table is one line, and so are values that belong together, so that a diff of two files
    is readable.
    """
    fields = asdict(analysis)
    if cluster := fields["run"]["cluster"]:
        cluster["workload"] = f"{cluster.pop('kind')} {cluster['workload']}"
        del cluster["hpa_manifest"]  # `run.json` has it
        del cluster["gpus_per_replica"]  # `cost` has it
    for finding, entry in zip(analysis.findings, fields["findings"], strict=True):
        entry["window"] = window_text(finding)
    return text({"schema_version": SCHEMA_VERSION, **fields}) + "\n"


def text(value: Any) -> str:
    """A value as JSON text, as described above."""
    return _text(value, "")


def _text(value: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(value, dict) and value:
        if all(entry is None or isinstance(entry, int | float) for entry in value.values()):
            return "{" + ", ".join(f"{json.dumps(str(key))}: {_text(entry, '')}" for key, entry in value.items()) + "}"
        rows = [f"{inner}{json.dumps(str(key))}: {_text(entry, inner)}" for key, entry in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list | tuple):
        if any(isinstance(entry, dict | list | tuple) for entry in value):
            return "[\n" + ",\n".join(inner + _entry(entry, inner) for entry in value) + f"\n{indent}]"
        return "[" + ", ".join(_text(entry, inner) for entry in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "null" if math.isnan(value) else json.dumps("Infinity" if value > 0 else "-Infinity")
    return json.dumps(value, default=str)


def _entry(value: Any, indent: str) -> str:
    """An entry of a list: a row without lists or objects of its own is one line."""
    if isinstance(value, dict) and not any(isinstance(each, dict | list | tuple) for each in value.values()):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_text(each, '')}" for key, each in value.items()) + "}"
    return _text(value, indent)
