"""Settings in `model.yaml` of the `llmapi` mode."""

import json
import sys

import pytest

from support.charts import llmapi_fakes

settings = llmapi_fakes.load("llmapi_settings")


def read(folder, text, environ=None):
    (folder / "model.yaml").write_text(text)
    return settings.read_settings(folder, environ or {})


def test_settings_outside_triton_config_are_passed_to_the_engine(tmp_path):
    """Only `triton_config` is for the server; the model adds the two settings that its metrics need."""
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


def test_json_is_read_without_a_yaml_parser(tmp_path, monkeypatch):
    """Settings in JSON do not need PyYAML."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert read(tmp_path, '{"model": "m"}').llm["model"] == "m"


def test_the_environment_can_set_another_file(tmp_path):
    """`LLM_CONFIG_PATH` is a path relative to the model's folder or an absolute one."""
    (tmp_path / "other.json").write_text('{"model": "other"}')
    for path in ("other.json", str(tmp_path / "other.json")):
        assert read(tmp_path, '{"model": "m"}', {"LLM_CONFIG_PATH": path}).llm["model"] == "other"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": None}, "must name the model"),
        ({"backend": "tensorrt"}, "backend must be pytorch"),
        ({"return_perf_metrics": False}, "return_perf_metrics must be true or omitted"),
        ({"enable_iter_perf_stats": False}, "enable_iter_perf_stats must be true or omitted"),
        ({"triton_config": {"decoupled": False}}, "triton_config.decoupled must be true"),
        ({"triton_config": {"max_batch_size": 8}}, "triton_config.max_batch_size must be 0"),
        ({"triton_config": {"multimodal": True}}, "triton_config has the unknown setting 'multimodal'"),
        ({"triton_config": {"cancellation_check_period_ms": 0}}, "must be a number above 0"),
    ],
)
def test_unsupported_settings_are_refused(tmp_path, changed, message):
    """The message has the name of the setting and its allowed values."""
    with pytest.raises(settings.SettingsError, match=message):
        read(tmp_path, json.dumps({"model": "m", **changed}))


def test_a_missing_or_invalid_file_is_reported(tmp_path):
    """The message has the name of the file."""
    with pytest.raises(settings.SettingsError, match=r"model\.yaml cannot be read: .*No such file"):
        settings.read_settings(tmp_path, {})
    with pytest.raises(settings.SettingsError, match=r"model\.yaml cannot be read"):
        read(tmp_path, "model: [")
