"""``model.yaml`` of the ``llmapi`` mode: what it may say, and what is refused with a sentence."""

import json
import sys

import pytest

from support.charts import llmapi_fakes

settings = llmapi_fakes.load("llmapi_settings")


def read(folder, text, environ=None):
    (folder / "model.yaml").write_text(text)
    return settings.read_settings(folder, environ or {})


def test_what_is_not_for_the_server_goes_to_the_engine(tmp_path):
    text = """
model: meta-llama/Llama-3.1-8B-Instruct
backend: pytorch
tensor_parallel_size: 2
kv_cache_config: {free_gpu_memory_fraction: 0.9}
triton_config: {max_batch_size: 0, decoupled: true, cancellation_check_period_ms: 50}
"""
    read_settings = read(tmp_path, text)
    assert read_settings.llm == {
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "backend": "pytorch",
        "tensor_parallel_size": 2,
        "kv_cache_config": {"free_gpu_memory_fraction": 0.9},
        "return_perf_metrics": True,
        "enable_iter_perf_stats": True,
    }
    assert read_settings.cancellation_check_period_s == 0.05


def test_json_needs_no_yaml(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert read(tmp_path, '{"model": "m"}').llm["model"] == "m"


def test_the_environment_may_name_another_file(tmp_path):
    (tmp_path / "other.json").write_text('{"model": "other"}')
    for named in ("other.json", str(tmp_path / "other.json")):
        assert read(tmp_path, '{"model": "m"}', {"LLM_CONFIG_PATH": named}).llm["model"] == "other"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": None}, "must name the model"),
        ({"backend": "tensorrt"}, "backend must be pytorch"),
        ({"return_perf_metrics": False}, "return_perf_metrics must be true or left out"),
        ({"enable_iter_perf_stats": False}, "enable_iter_perf_stats must be true or left out"),
        ({"triton_config": {"decoupled": False}}, "triton_config.decoupled must be true"),
        ({"triton_config": {"max_batch_size": 8}}, "triton_config.max_batch_size must be 0"),
        ({"triton_config": {"multimodal": True}}, "triton_config has 'multimodal'"),
        ({"triton_config": {"cancellation_check_period_ms": 0}}, "must be a number above 0"),
    ],
)
def test_what_this_model_does_not_do_is_refused(tmp_path, changed, message):
    with pytest.raises(settings.SettingsError, match=message):
        read(tmp_path, json.dumps({"model": "m", **changed}))


def test_a_file_that_is_missing_or_no_yaml_is_said(tmp_path):
    with pytest.raises(settings.SettingsError, match=r"model\.yaml cannot be read: .*No such file"):
        settings.read_settings(tmp_path, {})
    with pytest.raises(settings.SettingsError, match=r"model\.yaml cannot be read"):
        read(tmp_path, "model: [")
