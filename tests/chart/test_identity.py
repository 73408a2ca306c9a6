"""A release is recognised by what discovery reads, whatever the chart is called in it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadgen.kube.deploy.chart import chart_folder
from loadgen.kube.discover.selection import choose_workload
from loadgen.kube.objects.workload import CHART, CHART_LABEL, MODE_LABEL
from support.charts.cases import TRITON_CASES
from support.charts.helm import helm, objects, parsed
from support.charts.leaves import merged

# Prometheus' operator, KEDA and gateways have readers of their own objects, which are found by these labels, too
CASES = {name: TRITON_CASES[name] for name in ("emulated", "emulated-group-keda", "emulated-gateway", "engine-group")}


@pytest.mark.parametrize("case", CASES)
def test_every_object_and_pod_has_the_identity(case: str) -> None:
    """The chart's own name and the mode."""
    expected = {CHART_LABEL: CHART, MODE_LABEL: CASES[case]["mode"]}
    for (kind, name), each in objects(merged(CASES[case], {"nameOverride": "llm"})).items():
        assert expected.items() <= each["metadata"]["labels"].items(), (kind, name)
        group = each.get("spec", {}).get("leaderWorkerTemplate", {})
        for template in (
            each.get("spec", {}).get("template"),
            group.get("leaderTemplate"),
            group.get("workerTemplate"),
        ):
            if template:
                assert expected.items() <= template["metadata"]["labels"].items(), (kind, name)


def test_a_subchart_with_an_alias_is_found_as_emulated(tmp_path: Path) -> None:
    """An alias replaces the name in `helm.sh/chart`; the workload is still the chart's, and emulated."""
    dependency = {"name": CHART, "alias": "llm", "version": "0.1.0"}
    umbrella = {"apiVersion": "v2", "name": "umbrella", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(umbrella))
    shutil.copytree(chart_folder(), tmp_path / "charts" / CHART, ignore=shutil.ignore_patterns("__pycache__"))
    arguments = ("template", "demo", str(tmp_path), "--namespace=serving", "--kube-version=1.37.1")
    done = helm(
        *arguments, values={"llm": {"mode": "emulated", "image": {"repository": "registry.example.com/server"}}}
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = parsed(done.stdout)["Deployment", "demo-llm"]
    assert found["metadata"]["labels"]["helm.sh/chart"] == "llm-0.1.0"
    listed = {**found, "metadata": {**found["metadata"], "namespace": "serving"}}
    assert choose_workload([listed], name=None, location="in namespace serving").emulated
