"""checkov and kube-score on every case of both charts: each check that fails has its reason in the chart's README."""

from pathlib import Path

import pytest

from support.charts.cases import CASES
from support.charts.scanners import checkov, explained, kube_score, render


@pytest.mark.timeout(600)
@pytest.mark.parametrize("chart", CASES)
def test_what_fails_is_explained(chart: str, tmp_path: Path) -> None:
    """The checks that fail are those of the README's table: none is missing, and none of its rows is out of date."""
    render(chart, tmp_path)
    failed = {**checkov(tmp_path), **kube_score(tmp_path)}
    missing = {name: sorted(where)[:3] for name, where in failed.items() if name not in explained(chart)}
    assert not missing, f"pass these checks, or explain them in charts/{chart}/README.md: {missing}"
    assert explained(chart) <= set(failed), "these checks pass: remove them from the table"
