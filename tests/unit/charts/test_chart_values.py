"""A chart's values, its schema and its templates name the same things."""

import json
import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

CHARTS = Path(__file__).parents[3] / "charts"
NAMES = ("loadgen", "triton-trtllm")
# structures that are handed through as they are count as one value
HANDED_THROUGH = ("global", "autoscaling.behavior", "emulated.profile.engine", "server.probes", "resources")


def values_of(chart: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
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


@pytest.mark.parametrize("chart", NAMES)
def test_every_value_is_in_the_schema_and_the_other_way_round(chart: str) -> None:
    """A default that the schema does not know cannot be, nor a property that nobody would find in values.yaml."""
    in_schema, in_values = list(described(schema_of(chart))), list(leaves(values_of(chart)))
    assert strangers(in_schema, [*in_values, *HANDED_THROUGH]) == []
    assert strangers(in_values, in_schema) == []


def strangers(names: list[str], known: list[str]) -> list[str]:
    """Names that are neither known nor above or below a known one."""
    return [
        name
        for name in names
        if not any(f"{name}.".startswith(f"{each}.") or f"{each}.".startswith(f"{name}.") for each in known)
    ]


@pytest.mark.parametrize("chart", NAMES)
def test_the_schema_is_closed(chart: str) -> None:
    """No object with named properties takes a misspelt one."""
    assert list(closed(schema_of(chart))) == []


@pytest.mark.parametrize(("chart", "name"), [(chart, name) for chart in NAMES for name in leaves(values_of(chart))])
def test_every_value_does_something(chart: str, name: str) -> None:
    """A value that no template reads would be a promise that is not kept."""
    templates = templates_of(chart)
    parts = name.split(".")
    # a template may read the whole structure that holds it, or reach it by `with` or a variable
    whole = any(
        re.search(rf"toYaml [^|]*\.{re.escape('.'.join(parts[:n]))}\b", templates)
        or re.search(rf"\.{re.escape('.'.join(parts[:n]))} (\||\}}\}}|-\}}\}})", templates)
        for n in range(1, len(parts) + 1)
    )
    reached = re.search(rf"\.{re.escape(parts[-1])}\b", templates)
    assert whole or reached, f"{name} is read by no template"


@pytest.mark.parametrize(
    ("chart", "row"),
    [
        ("loadgen", '| `cron.timeZone` | `"Etc/UTC"` |  |'),
        ("triton-trtllm", "| `gpu.perNode` | `8` | GPUs per node."),
    ],
)
def test_the_readme_has_the_values_as_they_are(chart: str, row: str) -> None:
    """The table is written from values.yaml: `uv run python charts/readme.py`."""
    written = runpy.run_path(str(CHARTS / "readme.py"))["filled"]
    readme = (CHARTS / chart / "README.md").read_text()
    assert readme == written(readme, (CHARTS / chart / "values.yaml").read_text())
    assert row in readme
