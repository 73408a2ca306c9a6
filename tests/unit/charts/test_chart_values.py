"""The chart's values, its schema and its templates name the same things."""

import json
import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[3] / "charts/triton-trtllm"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = "\n".join(path.read_text() for path in sorted((CHART / "templates").rglob("*")) if path.is_file())


def leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def described(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Names of the properties of a schema that have none below."""
    for key, below in schema["properties"].items():
        if "properties" in below:
            yield from described(below, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def closed(schema: Mapping[str, Any], path: str = "values") -> Iterator[str]:
    """Objects with named properties that take others, too."""
    if "properties" in schema:
        if schema.get("additionalProperties") is not False:
            yield path
        for key, below in schema["properties"].items():
            yield from closed(below, f"{path}.{key}")


def test_every_value_is_in_the_schema_and_the_other_way_round() -> None:
    """A default that the schema does not know cannot be, nor a property that nobody would find in values.yaml.

    A structure that is handed through as it is counts as one.
    """
    in_schema, in_values = list(described(SCHEMA)), list(leaves(VALUES))
    handed_through = ("global", "autoscaling.behavior", "emulated.profile.engine", "server.probes")
    assert strangers(in_schema, [*in_values, *handed_through]) == []
    assert strangers(in_values, in_schema) == []


def strangers(names: list[str], known: list[str]) -> list[str]:
    """Names that are neither known nor above or below a known one."""
    return [
        name
        for name in names
        if not any(f"{name}.".startswith(f"{each}.") or f"{each}.".startswith(f"{name}.") for each in known)
    ]


def test_the_schema_is_closed() -> None:
    """No object with named properties takes a misspelt one."""
    assert list(closed(SCHEMA)) == []


@pytest.mark.parametrize("name", sorted(leaves(VALUES)))
def test_every_value_does_something(name: str) -> None:
    """A value that no template reads would be a promise that is not kept."""
    parts = name.split(".")
    # a template may read the whole structure that holds it, or reach it by `with` or a variable
    whole = any(
        re.search(rf"toYaml [^|]*\.{re.escape('.'.join(parts[:n]))}\b", TEMPLATES)
        or re.search(rf"\.{re.escape('.'.join(parts[:n]))} (\||\}}\}}|-\}}\}})", TEMPLATES)
        for n in range(1, len(parts) + 1)
    )
    reached = re.search(rf"\.{re.escape(parts[-1])}\b", TEMPLATES)
    assert whole or reached, f"{name} is read by no template"


def test_the_readme_has_the_values_as_they_are() -> None:
    """The table is written from values.yaml: `uv run python charts/readme.py`."""
    written = runpy.run_path(str(CHART.parent / "readme.py"))["filled"]
    readme = (CHART / "README.md").read_text()
    assert readme == written(readme, (CHART / "values.yaml").read_text())
    assert "| `gpu.perNode` | `8` | GPUs of one node." in readme
