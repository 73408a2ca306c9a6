"""The emulated tokenizer as a Triton model: text in, token ids out."""

import os
import sys
from pathlib import Path
from typing import Any

# The stub's interpreter is isolated and ignores PYTHONPATH. So the paths of a numpy that it can load, and of the
# emulator's modules in this folder, are set here, before any import of them.
sys.path.insert(0, os.environ.get("LOADGEN_SITE_PACKAGES", str(Path(__file__).parent)))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import triton_python_backend_utils as pb_utils

from loadgen.local.engine.tokens import encode


class TritonPythonModel:
    """QUERY becomes INPUT_ID; the lengths and ids that the engine needs are passed on."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Tokenize the text of each request."""
        return [_response(request) for request in requests]


def _response(request: Any) -> Any:
    text = pb_utils.get_input_tensor_by_name(request, "QUERY").as_numpy().flat[0].decode(errors="replace")
    ids = np.array([encode(text)], np.int32)
    return pb_utils.InferenceResponse(
        [
            pb_utils.Tensor("INPUT_ID", ids),
            pb_utils.Tensor("REQUEST_INPUT_LEN", np.array([[ids.shape[1]]], np.int32)),
            pb_utils.Tensor("REQUEST_OUTPUT_LEN", _number(request, "REQUEST_OUTPUT_LEN")),
            pb_utils.Tensor("OUT_END_ID", _number(request, "END_ID")),
            pb_utils.Tensor("OUT_PAD_ID", _number(request, "PAD_ID")),
        ]
    )


def _number(request: Any, name: str) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return np.array([[-1]], np.int32) if tensor is None else tensor.as_numpy()
