"""Writes the model repository of one replica: five models with TensorRT-LLM's names, tensors and parameters.

The tensors are those of the C++ pipeline for an engine without LoRA, draft model, prompt table or images. Inputs that
the emulation would have to ignore at the expense of a test are not declared, so the server refuses them by name.
Sampling inputs are accepted and have no effect: the answer is a function of the prompt, and its length is
``max_tokens``. TensorRT-LLM's models do not have the output ``pod_name``: the value of the environment variable
``POD_NAME``. It is an output and not a response parameter, because an ensemble does not forward the response parameters
of its models, and Triton's Python backend supports them only from release 25.02 on.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadgen.local.engine.config import EngineProfile

EMULATED_PARAMETER = "emulated_profile"
"""Parameter in the configuration of every model of an emulated engine: the name of its profile."""

_FOLDER = Path(__file__).parent
_STUB_MODULES = ("config.py", "core.py", "tokens.py")

# One tensor a line: name, type, dims without the batch dimension; "optional" if the client may omit it.
_SAMPLING = """
    end_id INT32 1 optional
    pad_id INT32 1 optional
    temperature FP32 1 optional
    repetition_penalty FP32 1 optional
    min_tokens INT32 1 optional
    presence_penalty FP32 1 optional
    frequency_penalty FP32 1 optional
    seed UINT64 1 optional
    beam_width INT32 1 optional
    num_return_sequences INT32 1 optional
    return_log_probs BOOL 1 optional
    return_context_logits BOOL 1 optional
    return_generation_logits BOOL 1 optional
    return_perf_metrics BOOL 1 optional
    return_num_input_tokens BOOL 1 optional
    return_num_output_tokens BOOL 1 optional
    exclude_input_in_output BOOL 1 optional
"""
_FRONT_INPUTS = f"""
    text_input STRING 1
    max_tokens INT32 1
    stream BOOL 1 optional
    bad_words STRING -1 optional
    stop_words STRING -1 optional
    top_k INT32 1 optional
    top_p FP32 1 optional
    length_penalty FP32 1 optional
    {_SAMPLING}
"""
_ENGINE_INPUTS = f"""
    input_ids INT32 -1 ragged
    input_lengths INT32 1
    request_output_len INT32 1
    streaming BOOL 1 optional
    stop BOOL 1 optional
    runtime_top_k INT32 1 optional
    runtime_top_p FP32 1 optional
    len_penalty FP32 1 optional
    {_SAMPLING}
"""
_RESULTS = """
    cum_log_probs FP32 -1
    output_log_probs FP32 -1,-1
    context_logits FP32 -1,-1
    generation_logits FP32 -1,-1,-1
    batch_index INT32 1
    sequence_index INT32 1
    kv_cache_alloc_new_blocks INT32 1
    kv_cache_reused_blocks INT32 1
    kv_cache_alloc_total_blocks INT32 1
    arrival_time_ns INT64 1
    first_scheduled_time_ns INT64 1
    first_token_time_ns INT64 1
    last_token_time_ns INT64 1
    acceptance_rate FP32 1
    total_accepted_draft_tokens INT32 1
    total_draft_tokens INT32 1
    num_input_tokens INT32 1
    num_output_tokens INT32 1
    pod_name STRING 1
"""
_PREPROCESSING_INPUTS = """
    QUERY STRING 1
    REQUEST_OUTPUT_LEN INT32 1
    BAD_WORDS_DICT STRING -1 optional
    STOP_WORDS_DICT STRING -1 optional
    END_ID INT32 1 optional
    PAD_ID INT32 1 optional
"""
_TENSORS = {
    "preprocessing": (
        _PREPROCESSING_INPUTS,
        "INPUT_ID INT32 -1\n REQUEST_INPUT_LEN INT32 1\n REQUEST_OUTPUT_LEN INT32 1\n OUT_END_ID INT32 1\n"
        "OUT_PAD_ID INT32 1",
    ),
    "tensorrt_llm": (_ENGINE_INPUTS, f"output_ids INT32 -1,-1\n sequence_length INT32 -1\n {_RESULTS}"),
    "postprocessing": ("TOKENS_BATCH INT32 -1,-1\n SEQUENCE_LENGTH INT32 -1", "OUTPUT STRING -1"),
    "ensemble": (_FRONT_INPUTS, f"text_output STRING -1\n {_RESULTS}"),
    "tensorrt_llm_bls": (_FRONT_INPUTS, f"text_output STRING -1\n {_RESULTS}"),
}
_TO_PREPROCESSING = {
    "QUERY": "text_input",
    "REQUEST_OUTPUT_LEN": "max_tokens",
    "BAD_WORDS_DICT": "bad_words",
    "STOP_WORDS_DICT": "stop_words",
    "END_ID": "end_id",
    "PAD_ID": "pad_id",
}
_TO_ENGINE = {
    "stream": "streaming",
    "top_k": "runtime_top_k",
    "top_p": "runtime_top_p",
    "length_penalty": "len_penalty",
}
_PREPROCESSING_TO_ENGINE = {
    "INPUT_ID": "input_ids",
    "REQUEST_INPUT_LEN": "input_lengths",
    "REQUEST_OUTPUT_LEN": "request_output_len",
    "OUT_END_ID": "end_id",
    "OUT_PAD_ID": "pad_id",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryOptions:
    """Settings that may differ from the profile.

    Attributes:
        bls_instance_count: Instances of ``tensorrt_llm_bls``; None uses the profile's.
        bls_max_queue_size: Maximum number of requests in Triton's queue of ``tensorrt_llm_bls``; the server refuses
            further requests. 0 for no limit, as in the real template.
    """

    bls_instance_count: int | None = None
    bls_max_queue_size: int = 0


def render_repository(dest: Path, profile: EngineProfile, *, options: RepositoryOptions | None = None) -> None:
    """Write the model repository of one replica.

    Args:
        dest: Folder to create; an existing folder is replaced.
        profile: The emulated engine.
        options: Settings that differ from the profile.
    """
    options = options or RepositoryOptions()
    shutil.rmtree(dest, ignore_errors=True)
    for model in _TENSORS:
        version = dest / model / "1"
        version.mkdir(parents=True)
        (dest / model / "config.pbtxt").write_text(_config(model, profile, options), encoding="utf-8")
        if model == "ensemble":
            continue
        shutil.copyfile(_FOLDER / "models" / model / "model.py", version / "model.py")
        copy_emulator(version)


def copy_emulator(version: Path) -> None:
    """Copy the emulator, without the rest of the package, to a model, where the stub imports it by its own name."""
    package = version / "loadgen" / "local" / "engine"
    package.mkdir(parents=True)
    for folder in (package, *package.parents[:2]):
        (folder / "__init__.py").touch()
    for module in _STUB_MODULES:
        shutil.copyfile(_FOLDER / module, package / module)


def _config(model: str, profile: EngineProfile, options: RepositoryOptions) -> str:
    inputs, outputs = _TENSORS[model]
    batch = profile.engine.max_batch_size
    queue = options.bls_max_queue_size if model == "tensorrt_llm_bls" else 0
    # With a queue policy the model needs the dynamic batcher, which must not put two requests into one instance.
    lines = [f'name: "{model}"', f"max_batch_size: {1 if queue else batch}"]
    lines.append('platform: "ensemble"' if model == "ensemble" else 'backend: "python"')
    lines += _tensors("input", inputs, scalar=model == "tensorrt_llm")
    lines += _tensors("output", outputs)
    if model == "ensemble":
        return "\n".join([*lines, *_steps(), emulated_parameter(profile), ""])
    if model in ("tensorrt_llm", "tensorrt_llm_bls"):
        lines.append("model_transaction_policy { decoupled: true }")
    if model != "tensorrt_llm_bls" or queue:
        lines.append(f"dynamic_batching {{ default_queue_policy {{ max_queue_size: {queue} }} }}")
    count = (options.bls_instance_count or profile.bls_instance_count) if model == "tensorrt_llm_bls" else 1
    lines.append(f"instance_group [ {{ count: {count} kind: KIND_CPU }} ]")
    lines += [_parameter(key, value) for key, value in _parameters(model, profile).items()]
    return "\n".join([*lines, ""])


def emulated_parameter(profile: EngineProfile) -> str:
    """Return the line of a model's configuration by which the model says that its engine is emulated."""
    return _parameter(EMULATED_PARAMETER, profile.name)


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: {json.dumps(value)} }} }}'


def _parameters(model: str, profile: EngineProfile) -> Mapping[str, str]:
    engine = profile.engine
    shared = {EMULATED_PARAMETER: profile.name, "cancellation_check_period_ms": "100"}
    if model == "tensorrt_llm_bls":
        return {**shared, "tensorrt_llm_model_name": "tensorrt_llm", "accumulate_tokens": "false"}
    if model != "tensorrt_llm":
        return {EMULATED_PARAMETER: profile.name}
    return {
        **shared,
        "emulated_engine": json.dumps(dataclasses.asdict(engine)),
        "stats_check_period_ms": "100",
        "gpt_model_type": "inflight_fused_batching",
        "batch_scheduler_policy": "guaranteed_no_evict",
        "max_tokens_in_paged_kv_cache": str(engine.kv_blocks * engine.tokens_per_block),
        "enable_chunked_context": "true",
        "enable_kv_cache_reuse": "false",
        "max_beam_width": "1",
        "exclude_input_in_output": "true",
    }


def _tensors(kind: str, table: str, *, scalar: bool = False) -> Iterator[str]:
    for name, dtype, dims, *flags in (line.split() for line in table.splitlines() if line.strip()):
        line = f'{kind} {{ name: "{name}" data_type: TYPE_{dtype} dims: [ {dims} ]'
        if scalar and dims == "1":
            line += " reshape { shape: [ ] }"
        if "ragged" in flags:
            line += " allow_ragged_batch: true"
        if "optional" in flags:
            line += " optional: true"
        yield line + " }"


def _names(table: str) -> list[str]:
    return [line.split()[0] for line in table.splitlines() if line.strip()]


def _steps() -> Iterator[str]:
    """Connect the ensemble as the real one does: text to tokens, tokens to tokens, tokens to text."""
    engine_inputs = {target: f"_{source}" for source, target in _PREPROCESSING_TO_ENGINE.items()}
    for name in _names(_FRONT_INPUTS):
        target = _TO_ENGINE.get(name, name)
        if target in _names(_ENGINE_INPUTS) and target not in engine_inputs:
            engine_inputs[target] = name
    engine_outputs = {"output_ids": "_TOKENS_BATCH", "sequence_length": "_SEQUENCE_LENGTH"}
    engine_outputs |= {name: name for name in _names(_RESULTS)}
    steps = (
        (
            "preprocessing",
            _TO_PREPROCESSING,
            {source: f"_{source}" for source in _PREPROCESSING_TO_ENGINE},
        ),
        ("tensorrt_llm", engine_inputs, engine_outputs),
        (
            "postprocessing",
            {"TOKENS_BATCH": "_TOKENS_BATCH", "SEQUENCE_LENGTH": "_SEQUENCE_LENGTH"},
            {"OUTPUT": "text_output"},
        ),
    )
    yield "ensemble_scheduling {"
    for model, inputs, outputs in steps:
        yield f'  step {{ model_name: "{model}" model_version: -1'
        for kind, mapping in (("input_map", inputs), ("output_map", outputs)):
            for key, value in mapping.items():
                yield f'    {kind} {{ key: "{key}" value: "{value}" }}'
        yield "  }"
    yield "}"
