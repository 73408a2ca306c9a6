"""The emulated detokenizer as a Triton model: token ids in, text out."""

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

from loadgen.local.engine.tokens import decode


class TritonPythonModel:
    """TOKENS_BATCH of shape [batch, beams, tokens] becomes OUTPUT of shape [batch, beams]."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Detokenize the tokens of each request."""
        return [_response(request) for request in requests]


def _response(request: Any) -> Any:
    batch = pb_utils.get_input_tensor_by_name(request, "TOKENS_BATCH").as_numpy()
    texts = [[decode(beam.tolist()).encode() for beam in beams] for beams in batch]
    return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", np.array(texts, np.object_))])
