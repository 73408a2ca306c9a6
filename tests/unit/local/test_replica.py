"""What a replica's metrics page says about its queue."""

import pytest

from loadgen.local.replica import waiting

PAGE = """\
# HELP nv_inference_pending_request_count Instantaneous number of pending requests awaiting execution per-model.
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="tensorrt_llm",version="1"} 7
nv_inference_pending_request_count{model="tensorrt_llm_bls",version="1"} 3
nv_inference_pending_request_count{model="idle",version="1"} 0
"""


@pytest.mark.parametrize(
    ("model", "count"), [("tensorrt_llm_bls", 3), ("idle", 0), ("absent", None), ("tensorrt_llm", 7)]
)
def test_requests_in_the_queue_of_a_model(model: str, count: int | None) -> None:
    """The gauge of that model alone; a model without one is unknown, not 0."""
    assert waiting(PAGE, model) == count
