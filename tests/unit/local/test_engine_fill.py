"""The model repository that a pod's init container writes with the chart's files and the standard library only."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadgen.local.engine.config import EngineProfile
from loadgen.local.engine.llmapi_repository import render_llmapi_repository
from loadgen.local.engine.profile import load_profile
from loadgen.local.engine.repository import render_repository
from support.yaml_files import read_yaml

CHART = Path(__file__).parents[3] / "charts/triton-trtllm"
PROFILE: dict[str, Any] = read_yaml(CHART / "values.yaml")["emulated"]["profile"]


def fill(folder: Path, plays: str, profile: object) -> "subprocess.CompletedProcess[str]":
    """Run the script as in the pod: with the chart's files in one folder and without this project's packages."""
    here = folder / "emulated"
    here.mkdir()
    for link in (*(CHART / "files/emulated").iterdir(), CHART / "files/llmapi"):
        (here / link.name).symlink_to(link)
    (here / "profile.json").write_text(json.dumps(profile))
    command = [sys.executable, "-S", "-m", "loadgen.local.engine.fill", f"--plays={plays}", "--profile=profile.json"]
    return subprocess.run(
        [*command, str(folder / "models")], cwd=here, capture_output=True, text=True, timeout=60, check=False
    )


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def demo() -> EngineProfile:
    return load_profile("demo")


def test_the_charts_engine_is_the_default_of_the_local_stack(tmp_path: Path) -> None:
    """The values of the chart and the profile `demo` result in the same repository."""
    done = fill(tmp_path, "engine", PROFILE)
    assert done.returncode == 0, done.stderr
    render_repository(tmp_path / "expected", demo())
    assert contents(tmp_path / "models") == contents(tmp_path / "expected")


def test_the_emulated_llm_api_has_the_charts_model(tmp_path: Path) -> None:
    """The repository has one model, with the same file as on a GPU and an emulated package below it."""
    done = fill(tmp_path, "llmapi", PROFILE)
    assert done.returncode == 0, done.stderr
    render_llmapi_repository(
        tmp_path / "expected", demo(), llmapi=CHART / "files/llmapi", emulated=CHART / "files/emulated"
    )
    files = contents(tmp_path / "models")
    assert files == contents(tmp_path / "expected")
    assert files["tensorrt_llm/1/model.py"] == (CHART / "files/llmapi/model.py").read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"blsInstances": 0}, "bls_instance_count must be at least 1"),
        ({"engine": {**PROFILE["engine"], "max_batch_sizes": 3}}, "max_batch_sizes"),
        ({"engine": {}}, "the emulated profile has no step"),
    ],
)
def test_an_invalid_profile_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    """The init container exits with 2 and prints what is wrong."""
    done = fill(tmp_path, "engine", {**PROFILE, **change})
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
