"""Runs checkov and kube-score on rendered cases of a chart, and reads which of their checks a README explains."""

import json
import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from loadgen.kube.deploy.chart import chart_folder
from support.charts.cases import CASES
from support.charts.helm import objects
from support.charts.pods import pods

Failures = dict[str, set[str]]
"""Checks that fail, by name, and the cases and objects for which they do."""

HEADING = "## Checks of checkov and kube-score that do not pass, and why"
# values that turn the disruption budget or the network policy off
_TURNED_OFF = ("emulated-static", "everything-set")
_ROW = re.compile(r"^\| ((?:`[\w-]+`(?:, )?)+) \|", re.MULTILINE)
_KUBERNETES = "v1.32"  # the newest that kube-score 1.20 has
_ALL_OK = 10
_TIMEOUT_S = 300.0


def explained(chart: str) -> set[str]:
    """The checks in the first column of the table in the chart's README."""
    section = (chart_folder(chart) / "README.md").read_text().partition(HEADING)[2].partition("\n## ")[0]
    return {name for cell in _ROW.findall(section) for name in re.findall(r"`([\w-]+)`", cell)}


def render(chart: str, folder: Path) -> None:
    """Write each case that turns no protection off as a file, a release of its own.

    The tools do not know a LeaderWorkerSet: its leader and its worker become Deployments.
    """
    for name, values in CASES[chart].items():
        if name in _TURNED_OFF:
            continue
        found = objects(values, chart=chart, release=name.replace(".", "-"))
        groups = {key: each for key, each in found.items() if key[0] == "LeaderWorkerSet"}
        documents = [each for key, each in found.items() if key not in groups]
        documents += [_deployment(template) for _, template in pods(groups)]
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(documents))


def checkov(folder: Path) -> Failures:
    """The checks of checkov that fail for the files of a folder."""
    flags = ["--framework=kubernetes", "--skip-download", "--compact", "--quiet", "--output=json"]
    failed: Failures = defaultdict(set)
    for each in _answer("checkov", f"--directory={folder}", *flags)["results"]["failed_checks"]:
        failed[each["check_id"]].add(f"{Path(each['file_path']).stem}: {each['resource']}")
    return failed


def kube_score(folder: Path) -> Failures:
    """The checks of kube-score that fail for the files of a folder."""
    failed: Failures = defaultdict(set)
    flags = ["--output-format=json", f"--kubernetes-version={_KUBERNETES}"]
    for file in sorted(folder.glob("*.yaml")):
        for each in _answer("kube-score", "score", *flags, str(file)):
            for check in each["checks"]:
                if not check["skipped"] and check["grade"] < _ALL_OK:
                    failed[check["check"]["id"]].add(f"{file.stem}: {each['object_name']}")
    return failed


def _deployment(template: Mapping[str, Any]) -> dict[str, Any]:
    labels = template["metadata"]["labels"]
    metadata = {"name": f"group-{labels['app.kubernetes.io/component']}", "labels": labels}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _answer(program: str, *arguments: str) -> Any:
    assert shutil.which(program), f"{program} is not on PATH: tests/scan/README.md says how to install it"
    env = {**os.environ, "BC_SKIP_MAPPING": "TRUE"}  # checkov connects to nothing
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env=env
    )
    assert done.returncode in (0, 1), done.stderr  # 1: a check fails
    return json.loads(done.stdout)
