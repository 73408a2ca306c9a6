"""The values that the charts' READMEs print are accepted as they are."""

import re
from typing import Any

import pytest
import yaml

from loadgen.kube.deploy.chart import chart_folder
from support.charts.helm import LOADGEN, TRITON, objects
from support.charts.leaves import EMULATED, LLMAPI, merged
from support.yaml_files import read_yaml

BASE: dict[str, dict[str, Any]] = {TRITON: dict(EMULATED), LOADGEN: {"target": {"url": "grpc://llm.serving:8001"}}}
NO_MODEL = {"model": {"repository": ""}}


def printed(chart: str) -> list[dict[str, Any]]:
    """Indented blocks that begin with the name of a value."""
    names = read_yaml(chart_folder(chart) / "values.yaml").keys()
    text = (chart_folder(chart) / "README.md").read_text()
    blocks = re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE)
    return [yaml.safe_load(each) for each in blocks if each.strip().partition(":")[0] in names]


EXAMPLES = [(chart, number) for chart in BASE for number in range(len(printed(chart)))]


@pytest.mark.parametrize(("chart", "number"), EXAMPLES)
def test_printed_values_are_accepted(chart: str, number: int) -> None:
    """Each is rendered, and changes what is rendered."""
    values = printed(chart)[number]
    base = LLMAPI if "model" in values else BASE[chart]
    values = merged(NO_MODEL, values) if "model" in values else values
    assert objects(merged(base, values), chart=chart) != objects(base, chart=chart)


def test_examples_are_found() -> None:
    """At least one for the Service, the hosts, KEDA's triggers and its authentication."""
    assert {key for each in printed(TRITON) for key in each} >= {"service", "ingress", "autoscaling"}
