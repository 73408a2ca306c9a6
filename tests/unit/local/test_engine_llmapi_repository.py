"""The model repository of a replica in the ``llmapi`` mode with an emulated engine."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from loadgen.local.engine.llmapi_repository import render_llmapi_repository
from loadgen.local.engine.profile import load_profile
from support.runs.stack_runs import FOUR_PLACES

FILES = Path(__file__).parents[3] / "charts/triton-trtllm/files"
PLAY = """
import asyncio, json, pathlib, sys
sys.path.insert(0, {version!r})
from tensorrt_llm import LLM, SamplingParams
settings = json.loads(pathlib.Path({version!r}, "model.yaml").read_text())
settings.pop("triton_config")
async def main():
    llm = LLM(**settings, return_perf_metrics=True)
    one = llm.generate_async("a b c", sampling_params=SamplingParams(max_tokens=5), streaming=True)
    texts = [output.outputs[0].text async for output in one]
    timing = one.outputs[0].request_perf_metrics.timing_metrics
    stats = [s["inflightBatchingStats"]["numScheduledRequests"] async for s in llm.get_stats_async(timeout=0.1)]
    long = llm.generate_async("a b c", sampling_params=SamplingParams(max_tokens=500), streaming=True)
    async for _ in long:
        long.abort()
    llm.shutdown()
    return len(texts), texts[-1], timing.last_token_time > timing.first_token_time > timing.arrival_time, stats, \\
        long.outputs[0].finish_reason
print(json.dumps(asyncio.run(main())))
"""


def render(dest, profile):
    render_llmapi_repository(dest, profile, llmapi=FILES / "llmapi", emulated=FILES / "emulated")
    return dest / "tensorrt_llm/1"


def test_one_model_with_the_files_of_the_chart_and_the_parameters_of_the_profile(tmp_path):
    """An older repository is replaced."""
    (tmp_path / "models/stale").mkdir(parents=True)
    profile = load_profile(FOUR_PLACES)
    version = render(tmp_path / "models", profile)
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["tensorrt_llm"]
    chart, own = (FILES / "llmapi/config.pbtxt").read_text(), (version.parent / "config.pbtxt").read_text()
    assert own == chart + 'parameters { key: "emulated_profile" value { string_value: "four_places" } }\n'
    assert (version / "model.py").read_text() == (FILES / "llmapi/model.py").read_text()
    settings = json.loads((version / "model.yaml").read_text())
    assert settings["emulated_engine"] == dataclasses.asdict(profile.engine)
    assert settings["model"] == "emulated/four_places"


def test_the_written_engine_plays_without_this_package(tmp_path):
    """Five tokens in five iterations of one request; an abort ends a running request with a last step."""
    version = render(tmp_path / "models", load_profile(FOUR_PLACES))
    code = PLAY.format(version=str(version))
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    tokens, text, ordered, stats, ended = json.loads(done.stdout)
    assert (tokens, len(text.split()), ordered, ended) == (5, 5, True, "cancelled")
    assert stats == [1] * 5
