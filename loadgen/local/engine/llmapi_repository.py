"""Writes the model repository of one replica of the ``llmapi`` mode: one model, served by an emulated LLM API.

Only the standard library is imported, so that it also runs where this package's dependencies are not installed.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from loadgen.local.engine.repository import copy_emulator, emulated_parameter

if TYPE_CHECKING:
    from loadgen.local.engine.config import EngineProfile

MODEL = "tensorrt_llm"


def render_llmapi_repository(dest: Path, profile: EngineProfile, *, llmapi: Path, emulated: Path) -> None:
    """Write the model repository of one replica.

    Args:
        dest: Folder to create; an existing folder is replaced.
        profile: The emulated engine.
        llmapi: The chart's folder with ``model.py``, the modules beside it, and ``config.pbtxt``.
        emulated: The chart's folder with the emulated package ``tensorrt_llm``.
    """
    shutil.rmtree(dest, ignore_errors=True)
    version = dest / MODEL / "1"
    version.mkdir(parents=True)
    config = (llmapi / "config.pbtxt").read_text(encoding="utf-8")
    (dest / MODEL / "config.pbtxt").write_text(f"{config}{emulated_parameter(profile)}\n", encoding="utf-8")
    for module in llmapi.glob("*.py"):
        shutil.copyfile(module, version / module.name)
    package = version / "tensorrt_llm"
    package.mkdir()
    for module in (emulated / "tensorrt_llm").glob("*.py"):
        shutil.copyfile(module, package / module.name)
    copy_emulator(version)
    # The queue of the LLM API has no limit; the metrics count the requests in it.
    settings = {
        "model": f"emulated/{profile.name}",
        "backend": "pytorch",
        "emulated_engine": dataclasses.asdict(dataclasses.replace(profile.engine, max_queue_size=0)),
        "triton_config": {"max_batch_size": 0, "decoupled": True},
    }
    (version / "model.yaml").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")  # JSON is YAML
