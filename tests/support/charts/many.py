"""Renders a chart with many values in one process of helm."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadgen.kube.deploy.chart import chart_folder
from support.charts.helm import KUBE_VERSION, TRITON, Values, helm
from support.yaml_files import read_yaml

_SOURCE = re.compile(r"^# Source: many/charts/(case-\d+)/.*\n", re.MULTILINE)


def templates(values: Sequence[Values], chart: str = TRITON) -> list[str]:
    """The manifests for each of the values, which the chart has to accept; equal values have equal manifests.

    The chart is the dependency of another, whose name is different for each of the values: an alias of the chart itself
    would be part of its names and hashes.
    """
    cases = [f"case-{number}" for number in range(len(values))]
    with TemporaryDirectory() as name:
        many, case = Path(name), Path(name) / "charts" / "case"
        (case / "charts").mkdir(parents=True)
        (case / "charts" / chart).symlink_to(chart_folder(chart))
        version = read_yaml(chart_folder(chart) / "Chart.yaml")["version"]
        _write(many, "many", [{"name": "case", "version": "0.0.0", "alias": each} for each in cases])
        _write(case, "case", [{"name": chart, "version": version}])
        where = ["demo", name, "--namespace=serving", f"--kube-version={KUBE_VERSION}"]
        by_case = {each: {chart: of_case} for each, of_case in zip(cases, values, strict=True)}
        done = helm("template", *where, values=by_case)
    assert done.returncode == 0, done.stderr
    made: dict[str, list[str]] = {each: [] for each in cases}
    for document in re.split(r"^---\n", done.stdout, flags=re.MULTILINE):
        if source := _SOURCE.search(document):
            made[source[1]].append(_SOURCE.sub("", document).strip())
    return ["\n---\n".join(sorted(each)) for each in made.values()]


def _write(folder: Path, name: str, dependencies: list[dict[str, Any]]) -> None:
    head = {"apiVersion": "v2", "name": name, "version": "0.0.0"}
    text = json.dumps({**head, "dependencies": [{"repository": "", **each} for each in dependencies]})
    (folder / "Chart.yaml").write_text(text)  # JSON is YAML
