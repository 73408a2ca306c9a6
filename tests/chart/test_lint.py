"""`loadgen lint` on values of the chart; what it finds in all cases is in `test_reference_faults.py`."""

import json
import os
from pathlib import Path

import pytest

from loadgen.base.errors import ExitCode
from loadgen.cli import main
from loadgen.sandbox.build.build import fetch_kubectl

EXAMPLES = Path("charts/triton-trtllm/examples")


@pytest.fixture(autouse=True)
def helm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pinned helm is on PATH, and the current folder is the checkout."""
    monkeypatch.setenv("PATH", f"{fetch_kubectl()}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(Path(__file__).parents[2])


def test_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """The values are rendered, and the evidence names the chart."""
    assert main(["lint", str(EXAMPLES / "llama-3.1-8b-h100.yaml"), "--json", "--namespace", "llm"]) == ExitCode.PASS
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["errors"] == 0
    (pitfall,) = document["pitfalls"]
    assert (pitfall["code"], pitfall["file"], pitfall["namespace"]) == (
        "metric.target_default", "chart triton-trtllm", "llm",
    )  # fmt: skip
    assert pitfall["chart_value"] == "autoscaling.metrics.ratio.target"
    assert "checked Deployment triton-triton-trtllm, HorizontalPodAutoscaler" in err


def test_values_of_several_files_and_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files are merged, `--set` wins, and manifests beside values belong to the same setup."""
    (tmp_path / "window.yaml").write_text("rules: {window: 5m}")
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "mine"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "triton-triton-trtllm"},
            "maxReplicas": 4,
        },
    }
    (tmp_path / "hpa.json").write_text(json.dumps(hpa))
    files = [str(EXAMPLES / "emulated.yaml"), str(tmp_path / "window.yaml"), str(tmp_path / "hpa.json")]
    target = "autoscaling.metrics.ratio.target=10m"
    assert (
        main(["lint", *files, "--set", target, "--set", "podDisruptionBudget.enabled=false", "--json"]) == ExitCode.FAIL
    )
    found = {each["code"]: each["severity"] for each in json.loads(capsys.readouterr().out)["pitfalls"]}
    assert found == {
        "query.window_long": "warning",
        "autoscaler.several": "error",
        "metric.cpu": "error",
        "metric.target_noise": "warning",
        "hpa.no_behavior": "warning",
        "disruption.none": "warning",
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("mode: emulate", "the chart refuses its values: "),
        ("mode: emulated\nautoscalin: {}", "no such value autoscalin (did you mean autoscaling?)"),
        (
            "mode: emulated\nautoscaling: {minReplicas: 9}",
            "the chart refuses its values: autoscaling.minReplicas 9 is above",
        ),
    ],
)
def test_values_that_the_chart_refuses(
    values: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, and exit code 2."""
    (tmp_path / "values.yaml").write_text(values)
    assert main(["lint", str(tmp_path / "values.yaml")]) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1
