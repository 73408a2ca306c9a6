"""Values of the `${name}` placeholders in TensorRT-LLM's model templates.

The names are those of `all_models/inflight_batcher_llm` of TensorRT-LLM 1.x. For the C++ backend and the Python models
an empty value in quotes means "not set", and they use their default. A placeholder outside quotes always needs a value.
"""

from pathlib import Path

from settings import Serving

# defaults of a model without encoder, images, LoRA or draft model
NEUTRAL = {
    "encoder_engine_dir": "",
    "encoder_input_features_data_type": "TYPE_FP16",
    "prompt_embedding_table_data_type": "TYPE_FP16",
    "cross_kv_cache_fraction": "",
    "multimodal_model_path": "",
    "multimodal_encoders_name": "",
    "hf_model_path": "",
    "max_num_images": "",
    "lora_cache_optimal_adapter_size": "",
    "lora_cache_max_adapter_size": "",
    "lora_cache_gpu_memory_fraction": "",
    "lora_cache_host_memory_bytes": "",
    "lora_prefetch_dir": "",
    "tensorrt_llm_draft_model_name": "",
    "speculative_decoding_fast_logits": "",
    "medusa_choices": "",
    "eagle_choices": "",
    "lookahead_window_size": "",
    "lookahead_ngram_size": "",
    "lookahead_verification_set_size": "",
    "decoding_mode": "",
    "guided_decoding_backend": "",
    "xgrammar_tokenizer_info_path": "",
    "max_tokens_in_paged_kv_cache": "",
    "max_attention_window_size": "",
    "sink_token_length": "",
    "kv_cache_host_memory_bytes": "",
    "kv_cache_onboard_blocks": "",
    "enable_trt_overlap": "",
    "normalize_log_probs": "",
    "iter_stats_max_iterations": "",
    "request_stats_max_iterations": "",
    "recv_poll_period_ms": "",
    "gpu_device_ids": "",
    "participant_ids": "",
    "num_nodes": "",
    "gpu_weights_percent": "",
    "enable_context_fmha_fp32_acc": "",
    "multi_block_mode": "",
    "cuda_graph_mode": "",
    "cuda_graph_cache_size": "",
    "max_beam_width": "1",
    "add_special_tokens": "true",
    "skip_special_tokens": "true",
}


def required(serving: Serving, max_batch_size: int, engine: Path, tokenizer: Path) -> dict[str, str]:
    """Returns the values that the templates must use; a template without one of them has another version.

    Args:
        serving: The settings.
        max_batch_size: Maximum number of requests in the engine; `bls_instance_count` defaults to it.
        engine: The folder with `rank0.engine`.
        tokenizer: The folder with the tokenizer's files.
    """
    return {
        "triton_backend": "tensorrtllm",
        "engine_dir": str(engine),
        "tokenizer_dir": str(tokenizer),
        "decoupled_mode": "true",
        "triton_max_batch_size": str(serving.triton_max_batch_size or max_batch_size),
        "bls_instance_count": str(serving.bls_instance_count or max_batch_size),
        "preprocessing_instance_count": str(serving.preprocessing_instance_count),
        "postprocessing_instance_count": str(serving.postprocessing_instance_count),
        "batching_strategy": "inflight_fused_batching",
        "batch_scheduler_policy": serving.batch_scheduler_policy,
        "kv_cache_free_gpu_mem_fraction": str(serving.kv_cache_free_gpu_mem_fraction),
        "enable_kv_cache_reuse": str(serving.enable_kv_cache_reuse).lower(),
        "enable_chunked_context": str(serving.enable_chunked_context).lower(),
        "exclude_input_in_output": "true",
        "max_queue_size": str(serving.max_queue_size),
        "max_queue_delay_microseconds": str(serving.max_queue_delay_microseconds),
        "stats_check_period_ms": str(serving.stats_check_period_ms),
        "cancellation_check_period_ms": str(serving.cancellation_check_period_ms),
        "accumulate_tokens": str(serving.accumulate_tokens).lower(),
        "tensorrt_llm_model_name": "tensorrt_llm",
        "logits_datatype": "TYPE_FP32",
    }
