"""The text of every query that Prometheus is asked."""

from loadgen.collect.signals import QUERIED

GOLDEN = [
    ("ratio", "triton:queue_compute:ratio[8s]"),
    ("up", "up[8s]"),
    ("engine_active", 'nv_trt_llm_request_metrics{request_type="active"}[8s]'),
    ("engine_waiting", 'nv_trt_llm_request_metrics{request_type="waiting"}[8s]'),
    ("kv_used_ratio", 'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"}[8s]'),
    ("engine_active", 'llmapi_requests{state="running"}[8s]'),
    ("engine_waiting", 'llmapi_requests{state="waiting"}[8s]'),
    ("kv_used_ratio", "llmapi_kv_cache_usage_ratio[8s]"),
]


def test_queries_are_these_texts() -> None:
    """Every signal asks Prometheus for its own samples of the window, and nothing else is asked."""
    asked = [(signal.field, signal.kind.promql(signal.metric, signal.labels, 7.2)) for signal in QUERIED]
    assert asked == GOLDEN
