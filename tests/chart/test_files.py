"""The chart `triton-trtllm` renders with all of its files or not at all."""

import shutil
from pathlib import Path

import pytest

from loadgen.kube.deploy.chart import chart_folder
from support.charts.helm import helm


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("files/emulated/loadgen", "16 of its files are missing: files/emulated/loadgen/local/engine/__init__.py"),
        ("files/llmapi/model.py", "1 of its files are missing: files/llmapi/model.py"),
        ("files/engine/wait.py", "1 of its files are missing: files/engine/wait.py"),
        ("files/list.txt", "missing: files/list.txt"),
    ],
)
def test_an_incomplete_chart_is_refused(tmp_path: Path, lost: str, words: str) -> None:
    """Whatever the mode, the message names what is missing and what to do."""
    chart = tmp_path / "chart"
    shutil.copytree(chart_folder(), chart, ignore=shutil.ignore_patterns("__pycache__"))
    if (chart / lost).is_dir():
        shutil.rmtree(chart / lost)
    else:
        (chart / lost).unlink()
    done = helm("template", "demo", str(chart), "--set=mode=emulated")
    assert done.returncode != 0
    assert words in done.stderr
    assert "install the chart from a complete checkout" in done.stderr
