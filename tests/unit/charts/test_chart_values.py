"""Values, schema, templates and README of each chart are consistent."""

import json
import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.yaml_files import read_yaml

CHARTS = Path(__file__).parents[3] / "charts"
NAMES = ("loadgen", "triton-trtllm")
# structures that templates render as a whole count as one value
WHOLE_STRUCTURES = ("global", "autoscaling.behavior", "emulated.profile.engine", "server.probes", "resources")


def values_of(chart: str) -> dict[str, Any]:
    values: dict[str, Any] = read_yaml(CHARTS / chart / "values.yaml")
    return values


def schema_of(chart: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((CHARTS / chart / "values.schema.json").read_text())
    return schema


def templates_of(chart: str) -> str:
    files = sorted((CHARTS / chart / "templates").rglob("*"))
    return "\n".join(path.read_text() for path in files if path.is_file())


def leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def properties(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the names of the properties of a schema that have no properties of their own."""
    for key, below in schema["properties"].items():
        if "properties" in below:
            yield from properties(below, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def open_objects(schema: Mapping[str, Any], path: str = "values") -> Iterator[str]:
    """Yield the objects of a schema that have named properties and allow others."""
    if "properties" in schema:
        if schema.get("additionalProperties") is not False:
            yield path
        for key, below in schema["properties"].items():
            yield from open_objects(below, f"{path}.{key}")


@pytest.mark.parametrize("chart", NAMES)
def test_values_and_schema_have_the_same_names(chart: str) -> None:
    """Every default of values.yaml is in the schema, and every property of the schema is in values.yaml."""
    in_schema, in_values = list(properties(schema_of(chart))), list(leaves(values_of(chart)))
    assert unknown(in_schema, [*in_values, *WHOLE_STRUCTURES]) == []
    assert unknown(in_values, in_schema) == []


def unknown(names: list[str], known: list[str]) -> list[str]:
    """Return the names that are neither known nor a parent or child of a known name."""
    return [
        name
        for name in names
        if not any(f"{name}.".startswith(f"{each}.") or f"{each}.".startswith(f"{name}.") for each in known)
    ]


@pytest.mark.parametrize("chart", NAMES)
def test_the_schema_is_closed(chart: str) -> None:
    """Objects with named properties do not allow others, so misspelled values are refused."""
    assert list(open_objects(schema_of(chart))) == []


@pytest.mark.parametrize("chart", NAMES)
def test_every_value_is_used(chart: str) -> None:
    """Every value is read by a template."""
    templates = templates_of(chart)
    assert [name for name in leaves(values_of(chart)) if not is_read(name, templates)] == []


def is_read(name: str, templates: str) -> bool:
    """Whether templates read a value, or the structure that it is in, also through `with` or a variable."""
    parts = name.split(".")
    return bool(re.search(rf"\.{re.escape(parts[-1])}\b", templates)) or any(
        re.search(rf"toYaml [^|]*\.{re.escape('.'.join(parts[:n]))}\b", templates)
        or re.search(rf"\.{re.escape('.'.join(parts[:n]))} (\||\}}\}}|-\}}\}})", templates)
        for n in range(1, len(parts) + 1)
    )


@pytest.mark.parametrize(
    ("chart", "row"),
    [
        ("loadgen", '| `cron.timeZone` | `"Etc/UTC"` |  |'),
        ("triton-trtllm", "| `gpu.perNode` | `8` | GPUs per node."),
    ],
)
def test_the_readme_has_the_current_values(chart: str, row: str) -> None:
    """The table of the README is generated from values.yaml with `uv run python charts/readme.py`."""
    generate = runpy.run_path(str(CHARTS / "readme.py"))["filled"]
    readme = (CHARTS / chart / "README.md").read_text()
    assert readme == generate(readme, (CHARTS / chart / "values.yaml").read_text())
    assert row in readme
