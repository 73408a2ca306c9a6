"""What the charts render, compared with golden files, and `helm lint`.

After a change: UPDATE_GOLDEN=1 uv run pytest tests/chart/test_golden.py && git diff tests/golden
"""

import os
from pathlib import Path

import pytest

from loadgen.kube.deploy.chart import chart_folder
from support.charts.cases import BASE, CASES
from support.charts.golden import difference, golden, scrubbed
from support.charts.helm import LOADGEN, TRITON, helm, template

GOLDEN = {
    name: Path(__file__).parents[1] / "golden" / folder
    for name, folder in ((TRITON, "chart"), (LOADGEN, "chart-loadgen"))
}
ALL = [(chart, name) for chart, cases in CASES.items() for name in cases]


def rendered(chart: str, name: str) -> str:
    return scrubbed(template(CASES[chart][name], chart=chart))


@pytest.mark.parametrize(("chart", "name"), ALL)
def test_manifests_are_the_golden_ones(chart: str, name: str) -> None:
    """Every changed byte of every case shows in a golden file, once: in the base case, or where a case differs."""
    text, base = rendered(chart, name), BASE[chart][name]
    if base != name:
        text = golden(text, rendered(chart, base), base)
    file = GOLDEN[chart] / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    changed = difference(text, file)
    assert not changed, f"if this is intended, run with UPDATE_GOLDEN=1\n{changed}"


@pytest.mark.parametrize("chart", CASES)
def test_every_golden_file_has_a_case(chart: str) -> None:
    """A file without a case would be compared with nothing."""
    assert {path.stem for path in GOLDEN[chart].glob("*.yaml")} == set(CASES[chart])


@pytest.mark.parametrize(("chart", "name"), ALL)
def test_helm_lint_is_clean(chart: str, name: str) -> None:
    """`helm lint --strict` has no error and no warning."""
    done = helm("lint", "--strict", str(chart_folder(chart)), values=CASES[chart][name])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout, done.stdout
