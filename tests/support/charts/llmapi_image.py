"""The real Triton server with the emulated LLM API where an image has its packages, not beside the model."""

import dataclasses
from pathlib import Path
from typing import Any

from loadgen.kube.deploy.chart import chart_folder
from loadgen.local.engine.profile import load_profile
from loadgen.programs.find import TritonProgram, find_tritonserver
from support.runs.stack_runs import FOUR_PLACES

_EMULATED = chart_folder() / "files/emulated"


def program(packages: Path) -> TritonProgram:
    """The server, whose models find numpy and `tensorrt_llm` in this folder."""
    found = find_tritonserver()
    packages.mkdir()
    there = [*found.site_packages.glob("numpy*"), _EMULATED / "tensorrt_llm", _EMULATED / "loadgen"]
    for each in there:
        (packages / each.name).symlink_to(each)
    return dataclasses.replace(found, env={**found.env, "LOADGEN_SITE_PACKAGES": str(packages)})


def values(**others: Any) -> dict[str, Any]:
    """Values of the chart for it, in mode llmapi."""
    engine = dataclasses.asdict(dataclasses.replace(load_profile(FOUR_PLACES).engine, max_queue_size=0))
    return {
        "mode": "llmapi",
        "image": {"tag": "24.10-py3", "checkTag": False},
        "model": {"repository": "acme/small"},
        "llmapi": {"extraArgs": {"emulated_engine": engine}},
        "autoscaling": {"enabled": False},
        "metrics": {"monitor": "none"},
        "rules": {"enabled": False},
        **others,
    }
