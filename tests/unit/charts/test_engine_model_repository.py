"""The model repository of engine mode, rendered from templates with the placeholders of TensorRT-LLM 1.x."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from support.charts.engine_programs import Volume, module, output

repository, settings, errors = module("repository"), module("settings"), module("errors")
# placeholders in each model's config.pbtxt: those without quotes, and those in string parameters
BARE = {
    "ensemble": "triton_max_batch_size logits_datatype",
    "preprocessing": "triton_max_batch_size max_queue_delay_microseconds max_queue_size preprocessing_instance_count",
    "tensorrt_llm": "triton_max_batch_size decoupled_mode max_queue_delay_microseconds max_queue_size logits_datatype "
    "encoder_input_features_data_type prompt_embedding_table_data_type",
    "postprocessing": "triton_max_batch_size postprocessing_instance_count",
    "tensorrt_llm_bls": "triton_max_batch_size decoupled_mode logits_datatype bls_instance_count",
}
QUOTED = {
    "ensemble": "",
    "preprocessing": "tokenizer_dir add_special_tokens multimodal_model_path engine_dir max_num_images hf_model_path",
    "tensorrt_llm": "triton_backend max_beam_width batching_strategy engine_dir encoder_engine_dir "
    "max_tokens_in_paged_kv_cache max_attention_window_size sink_token_length batch_scheduler_policy "
    "kv_cache_free_gpu_mem_fraction cross_kv_cache_fraction kv_cache_host_memory_bytes kv_cache_onboard_blocks "
    "enable_trt_overlap exclude_input_in_output cancellation_check_period_ms stats_check_period_ms "
    "iter_stats_max_iterations request_stats_max_iterations enable_kv_cache_reuse normalize_log_probs "
    "enable_chunked_context gpu_device_ids participant_ids num_nodes lora_cache_optimal_adapter_size "
    "lora_cache_max_adapter_size lora_cache_gpu_memory_fraction lora_cache_host_memory_bytes lora_prefetch_dir "
    "decoding_mode lookahead_window_size lookahead_ngram_size lookahead_verification_set_size medusa_choices "
    "eagle_choices gpu_weights_percent enable_context_fmha_fp32_acc multi_block_mode cuda_graph_mode "
    "cuda_graph_cache_size speculative_decoding_fast_logits tokenizer_dir guided_decoding_backend "
    "xgrammar_tokenizer_info_path",
    "postprocessing": "tokenizer_dir skip_special_tokens",
    "tensorrt_llm_bls": "accumulate_tokens tensorrt_llm_model_name tensorrt_llm_draft_model_name "
    "multimodal_encoders_name",
}


def template(model: str) -> str:
    bare = BARE[model].split()
    lines = [f'name: "{model}"', "max_batch_size: ${triton_max_batch_size}"]
    lines += ["model_transaction_policy { decoupled: ${decoupled_mode} }"] if "decoupled_mode" in bare else []
    if "max_queue_size" in bare:
        lines += ["dynamic_batching {", "  max_queue_delay_microseconds: ${max_queue_delay_microseconds}"]
        lines += ["  default_queue_policy: { max_queue_size: ${max_queue_size} }", "}"]
    lines += [f'input [ {{ name: "{each}" data_type: ${{{each}}} }} ]' for each in bare if each.endswith("_data_type")]
    lines += ['output [ { name: "logits" data_type: ${logits_datatype} } ]'] if "logits_datatype" in bare else []
    lines += [f"instance_group [ {{ count: ${{{each}}} }} ]" for each in bare if each.endswith("_instance_count")]
    for each in QUOTED[model].split():
        lines += [f'parameters: {{ key: "{each}" value: {{ string_value: "${{{each}}}" }} }}']
    return "\n".join(lines) + "\n"


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    folder = tmp_path / "all_models"
    for model in repository.MODELS:
        (folder / model / "1").mkdir(parents=True)
        (folder / model / "config.pbtxt").write_text(template(model))
        (folder / model / "1/model.py").write_text(f"# {model}\n")
    (folder / "ensemble/1/model.py").unlink()
    (folder / "ensemble/1").rmdir()
    return folder


def write(templates: Path, engine: Path | None = None, **changes: Any) -> dict[str, Any]:
    """Write the repository and return the configuration of each model, parsed as Triton does."""
    to = templates.parent / "models"
    resolved = settings.parse({"model": {"repository": "acme/tiny"}, "build": {"max_batch_size": 24}} | changes)
    repository.write(resolved, engine or Path("/e/engine"), Path("/e/tokenizer"), templates, to)
    texts = {model: (to / model / "config.pbtxt").read_text() for model in repository.MODELS}
    assert not any("${" in text for text in texts.values())
    return {model: text_format.Parse(text, model_config_pb2.ModelConfig()) for model, text in texts.items()}


def parameters(config: Any) -> dict[str, str]:
    return {name: value.string_value for name, value in config.parameters.items()}


def test_every_placeholder_has_a_value(templates: Path) -> None:
    """Engine, tokenizer, batching and streaming are set; parameters that a plain decoder does not use are empty."""
    configs = write(templates)
    engine = parameters(configs["tensorrt_llm"])
    assert engine["triton_backend"] == "tensorrtllm"
    assert (engine["engine_dir"], engine["tokenizer_dir"]) == ("/e/engine", "/e/tokenizer")
    assert engine["batching_strategy"] == "inflight_fused_batching"
    assert engine["exclude_input_in_output"] == "true"
    assert engine["enable_chunked_context"] == "true"
    assert {engine[each] for each in ("encoder_engine_dir", "lora_prefetch_dir", "gpu_device_ids")} == {""}
    for model in ("tensorrt_llm", "tensorrt_llm_bls"):
        assert configs[model].model_transaction_policy.decoupled
    assert configs["tensorrt_llm"].dynamic_batching.max_queue_delay_microseconds == 0
    assert configs["ensemble"].output[0].data_type == model_config_pb2.TYPE_FP32
    assert (templates.parent / "models/ensemble/1").is_dir()
    assert (templates.parent / "models/tensorrt_llm_bls/1/model.py").read_text() == "# tensorrt_llm_bls\n"


def test_bls_instances_equal_the_engines_batch_size(templates: Path) -> None:
    """Requests beyond the engine's batch then wait in Triton's queue of `tensorrt_llm_bls`; a setting overrides it."""
    assert write(templates)["tensorrt_llm_bls"].instance_group[0].count == 24
    configs = write(templates, serving={"bls_instance_count": 5, "preprocessing_instance_count": 2})
    assert configs["tensorrt_llm_bls"].instance_group[0].count == 5
    assert configs["preprocessing"].instance_group[0].count == 2
    assert configs["tensorrt_llm_bls"].max_batch_size == 24


def test_the_batch_size_is_read_from_the_engine(templates: Path, tmp_path: Path) -> None:
    """Another batch size in the settings is refused, unless the extra arguments of the build set it."""
    (tmp_path / "config.json").write_text(json.dumps({"build_config": {"max_batch_size": 16}}))
    with pytest.raises(errors.SettingsError, match="has the maximum batch size 16, and the settings 24"):
        write(templates, engine=tmp_path)
    configs = write(templates, engine=tmp_path, build={"max_batch_size": 24, "extra_args": ["--max_batch_size", "16"]})
    assert configs["tensorrt_llm_bls"].instance_group[0].count == 16


def test_only_the_front_model_has_histogram_buckets(templates: Path) -> None:
    """Buckets are set as in Triton's model_config.proto, and only on request: Triton before 24.11 lacks the field."""
    configs = write(templates, serving={"first_response_buckets_ms": [100, 2500, 60000]})
    (control,) = configs["tensorrt_llm_bls"].model_metrics.metric_control
    assert control.metric_identifier.family == "nv_inference_first_response_histogram_ms"
    assert list(control.histogram_options.buckets) == [100, 2500, 60000]
    assert [model for model in configs if configs[model].HasField("model_metrics")] == ["tensorrt_llm_bls"]
    assert not write(templates)["tensorrt_llm_bls"].HasField("model_metrics")


@pytest.mark.parametrize("wrong", [[100, 100], [500, 100], ["100"], [True], 100])
def test_invalid_buckets_are_refused(templates: Path, wrong: object) -> None:
    """Buckets must be a list of increasing numbers, as Triton requires."""
    with pytest.raises(errors.SettingsError, match=r"serving\.first_response_buckets_ms .* a list of .*numbers"):
        write(templates, serving={"first_response_buckets_ms": wrong})


def test_any_placeholder_can_be_set(templates: Path) -> None:
    """`serving.parameters` overrides the values of the chart."""
    configs = write(templates, serving={"parameters": {"max_beam_width": 2, "enable_chunked_context": False}})
    engine = parameters(configs["tensorrt_llm"])
    assert (engine["max_beam_width"], engine["enable_chunked_context"]) == ("2", "false")


def test_an_unknown_placeholder_is_refused(templates: Path) -> None:
    """The message has the placeholder and its file, and `serving.parameters` can set it."""
    path = templates / "preprocessing/config.pbtxt"
    path.write_text(path.read_text() + 'parameters: { key: "x" value: { string_value: "${novelty}" } }\n')
    with pytest.raises(errors.SettingsError, match=r"preprocessing/config\.pbtxt.*\$\{novelty\}"):
        write(templates)
    assert not (templates.parent / "models").exists()
    assert parameters(write(templates, serving={"parameters": {"novelty": "on"}})["preprocessing"])["x"] == "on"


def test_a_value_that_no_template_uses_is_refused(templates: Path) -> None:
    """A misspelled parameter and a missing placeholder of the chart are errors."""
    with pytest.raises(errors.SettingsError, match=r"serving\.parameters\.max_beam_with is not used in any template"):
        write(templates, serving={"parameters": {"max_beam_with": 2}})
    path = templates / "tensorrt_llm_bls/config.pbtxt"
    path.write_text(path.read_text().replace("${bls_instance_count}", "1"))
    with pytest.raises(errors.SettingsError, match=r"uses \$\{bls_instance_count\}"):
        write(templates)


@pytest.mark.parametrize(
    ("name", "value"),
    [("gpu_device_ids", '0"'), ("gpu_device_ids", "0\n1"), ("max_queue_size", ""), ("max_queue_size", "1 }")],
)
def test_a_value_cannot_break_the_syntax(templates: Path, name: str, value: str) -> None:
    """Quotes and line feeds in strings, and anything but one token elsewhere, are refused."""
    with pytest.raises(errors.SettingsError, match=rf"is not allowed for \${{{name}}}"):
        write(templates, serving={"parameters": {name: value}})


def test_an_image_without_templates_is_refused(tmp_path: Path) -> None:
    """Images above 26.07 and other kinds of images have no templates."""
    with pytest.raises(errors.SettingsError, match=r"ensemble/config\.pbtxt does not exist"):
        write(tmp_path / "all_models")


def test_the_program_needs_a_ready_engine(templates: Path, tmp_path: Path) -> None:
    """The program fails until the engine is ready, and can then write the same folder repeatedly."""
    volume = Volume(tmp_path)
    try:
        flags = ("--templates", str(templates), "--to", str(tmp_path / "models"))
        code, log = output(volume.start("repository", *flags))
        assert (code, "is not ready" in log) == (2, True), log
        assert output(volume.build())[0] == 0
        for _ in range(2):
            code, log = output(volume.start("repository", *flags))
            assert code == 0, log
        text = (tmp_path / "models/tensorrt_llm/config.pbtxt").read_text()
        assert f'"{volume.folder / "engine"}"' in text
        assert f'"{volume.folder / "tokenizer"}"' in text
    finally:
        volume.end()
