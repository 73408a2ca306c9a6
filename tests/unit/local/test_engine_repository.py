"""The model repository that a replica is started with."""

import json
import re
import sys

from loadgen.local.engine.config import EngineConfig, StepModel
from loadgen.local.engine.profile import load_profile
from loadgen.local.engine.repository import RepositoryOptions, render_repository

MODELS = ["ensemble", "postprocessing", "preprocessing", "tensorrt_llm", "tensorrt_llm_bls"]


def parameter(config: str, name: str) -> str:
    match = re.search(rf'key: "{name}" value {{ string_value: ("(?:[^"\\]|\\.)*")', config)
    return json.loads(match[1])


def test_five_models_under_the_names_of_the_real_pipeline(tmp_path):
    """Each has a configuration and a version folder."""
    render_repository(tmp_path / "models", load_profile("demo"))
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == MODELS
    for model in MODELS:
        config = (tmp_path / "models" / model / "config.pbtxt").read_text()
        assert f'name: "{model}"' in config
        assert (tmp_path / "models" / model / "1").is_dir()


def test_the_model_gets_the_parameters_of_the_profile(tmp_path):
    """They are read back from config.pbtxt."""
    profile = load_profile("h100-fp8-llama-3.1-8b")
    render_repository(tmp_path / "models", profile)
    config = (tmp_path / "models/tensorrt_llm/config.pbtxt").read_text()
    numbers = json.loads(parameter(config, "emulated_engine"))
    assert EngineConfig(**{**numbers, "step": StepModel(**numbers["step"])}) == profile.engine
    assert parameter(config, "emulated_profile") == "h100-fp8-llama-3.1-8b"
    assert parameter(config, "max_tokens_in_paged_kv_cache") == "1000000"
    assert "max_batch_size: 1024" in config


def test_every_model_says_that_its_engine_is_emulated(tmp_path):
    """Whatever model a client calls, and whatever a chart is called, the server itself tells."""
    render_repository(tmp_path, load_profile("demo"))
    for model in MODELS:
        assert parameter((tmp_path / model / "config.pbtxt").read_text(), "emulated_profile") == "demo"


def test_the_instances_of_the_front_model(tmp_path):
    """The profile's number, unless the options have another."""
    profile = load_profile("demo")
    render_repository(tmp_path / "a", profile)
    render_repository(tmp_path / "b", profile, options=RepositoryOptions(bls_instance_count=7))
    assert (
        f"count: {profile.bls_instance_count} kind: KIND_CPU"
        in (tmp_path / "a/tensorrt_llm_bls/config.pbtxt").read_text()
    )
    assert "count: 7 kind: KIND_CPU" in (tmp_path / "b/tensorrt_llm_bls/config.pbtxt").read_text()


def test_a_limit_of_the_servers_own_queue_needs_batches_of_one(tmp_path):
    """The dynamic batcher must not combine requests."""
    render_repository(tmp_path, load_profile("demo"), options=RepositoryOptions(bls_max_queue_size=5))
    config = (tmp_path / "tensorrt_llm_bls/config.pbtxt").read_text()
    assert "max_batch_size: 1\n" in config
    assert "max_queue_size: 5" in config


def test_an_older_repository_is_replaced(tmp_path):
    """Its models are removed."""
    (tmp_path / "models/stale").mkdir(parents=True)
    render_repository(tmp_path / "models", load_profile("demo"))
    assert not (tmp_path / "models/stale").exists()


def test_the_models_contain_the_emulator_without_the_rest_of_the_package(tmp_path):
    """Its modules import only the standard library."""
    render_repository(tmp_path, load_profile("demo"))
    files = sorted(p.relative_to(tmp_path) for p in (tmp_path / "tensorrt_llm/1").rglob("*.py"))
    assert [p.name for p in files if p.name != "__init__.py"] == [*("config.py", "core.py", "tokens.py", "model.py")]
    for module in ("config.py", "core.py", "tokens.py"):
        text = (tmp_path / "tensorrt_llm/1/loadgen/local/engine" / module).read_text()
        imported = set(re.findall(r"^(?:from|import) ([\w.]+)", text, re.MULTILINE))
        assert {
            name.partition(".")[0] for name in imported - {"loadgen.local.engine.config"}
        } <= sys.stdlib_module_names


def test_fronts_and_engine_declare_the_name_of_the_replica(tmp_path):
    """The ensemble forwards that of the engine."""
    render_repository(tmp_path, load_profile("demo"))
    for model in ("ensemble", "tensorrt_llm_bls", "tensorrt_llm"):
        config = (tmp_path / model / "config.pbtxt").read_text()
        assert 'output { name: "pod_name" data_type: TYPE_STRING dims: [ 1 ] }' in config
    assert 'output_map { key: "pod_name" value: "pod_name" }' in (tmp_path / "ensemble/config.pbtxt").read_text()
