"""Checks manifests against the structural schemas of the oldest supported versions of custom resources."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from support.yaml_files import read_yaml


def schemas(name: str) -> dict[str, Any]:
    """Schemas of specs by kind, from a file of this folder such as `keda-2.18`."""
    found: dict[str, Any] = read_yaml(Path(__file__).parent / f"{name}.yaml")
    return found


def violations(value: Any, schema: Mapping[str, Any], path: str = "spec") -> Iterator[str]:
    """What a structural schema says against a value: unknown and missing fields, other types, sizes and strings."""
    if isinstance(value, Mapping):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        yield from (f"{path}.{name}: unknown" for name in value if name not in known and rest is None)
        yield from (f"{path}.{name}: missing" for name in schema.get("required", ()) if name not in value)
        for name, each in value.items():
            if below := known.get(name, rest):
                yield from violations(each, below, f"{path}.{name}")
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{path}: {len(value)} items"
        for number, each in enumerate(value):
            yield from violations(each, schema["items"], f"{path}[{number}]")
    elif isinstance(value, str):
        if value not in schema.get("enum", [value]) or len(value) > schema.get("maxLength", len(value)):
            yield f"{path}: {value}"
        if not re.search(schema.get("pattern", ""), value):
            yield f"{path}: {value}"
    elif schema.get("type") == "string":
        yield f"{path}: {value} is not a string"
