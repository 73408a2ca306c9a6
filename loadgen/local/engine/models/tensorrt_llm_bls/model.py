"""The front model in Business Logic Scripting: one instance is busy for the whole generation of one request.

Blocking is intended: a request without a free instance waits in Triton's own queue, so the server's queue and compute
counters of this model are accurate. Unlike the real model, it detokenizes in its own process, because a call to
``postprocessing`` for each token costs 40 % more CPU time and adds 1 ms to every token. It detects the cancellation of
a request at the next token, and therefore not while the request waits in the engine.
"""

import itertools
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The stub's interpreter is isolated and ignores PYTHONPATH. So the paths of a numpy that it can load, and of the
# emulator's modules in this folder, are set here, before any import of them.
sys.path.insert(0, os.environ.get("LOADGEN_SITE_PACKAGES", str(Path(__file__).parent)))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import triton_python_backend_utils as pb_utils

from loadgen.local.engine.tokens import decode

TO_PREPROCESSING = {"text_input": "QUERY", "max_tokens": "REQUEST_OUTPUT_LEN", "end_id": "END_ID", "pad_id": "PAD_ID"}
FROM_PREPROCESSING = {
    "INPUT_ID": "input_ids",
    "REQUEST_INPUT_LEN": "input_lengths",
    "REQUEST_OUTPUT_LEN": "request_output_len",
    "OUT_END_ID": "end_id",
    "OUT_PAD_ID": "pad_id",
}
TO_ENGINE = (
    "beam_width",
    "num_return_sequences",
    "seed",
    "return_perf_metrics",
    "return_num_input_tokens",
    "return_num_output_tokens",
)
FROM_ENGINE = (
    "num_input_tokens",
    "num_output_tokens",
    "kv_cache_alloc_new_blocks",
    "kv_cache_reused_blocks",
    "kv_cache_alloc_total_blocks",
    "arrival_time_ns",
    "first_scheduled_time_ns",
    "first_token_time_ns",
    "last_token_time_ns",
)
POD_NAME = os.environ.get("POD_NAME", "")  # empty where nothing names the replica
KEEP_ALIVE_S = 0.5
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """Runs preprocessing, tensorrt_llm and detokenizing in one blocking call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters of the model."""
        parameters = json.loads(args["model_config"])["parameters"]
        self._check_every_s = int(parameters["cancellation_check_period_ms"]["string_value"]) / 1000
        self._ids = (f"{args['model_instance_name']}-{number}" for number in itertools.count())
        self._kept_alive: deque[tuple[float, Any]] = deque()

    def execute(self, requests: list[Any]) -> None:
        """Serve each request to its end; as upstream, this blocks the instance."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self._serve(request, sender)
            except pb_utils.TritonModelException as error:
                sender.send(_failure(str(error)))
            sender.send(flags=FINAL)

    def _serve(self, request: Any, sender: Any) -> None:
        if sender.is_cancelled():
            sender.send(_failure("request was cancelled while it waited", pb_utils.TritonError.CANCELLED))
            return
        stream = pb_utils.get_input_tensor_by_name(request, "stream")
        streaming = stream is not None and bool(stream.as_numpy().flat[0])
        # The sender would free unrequested outputs without holding the interpreter's lock, and may crash.
        requested = {"text_output", "pod_name", *FROM_ENGINE}.intersection(request.requested_output_names())
        pod = {"pod_name": _text("pod_name", POD_NAME)} if POD_NAME else {}  # in the first response
        request_id = next(self._ids)
        check_at = time.monotonic() + self._check_every_s
        cancelled = False
        ids: list[int] = []
        outputs: dict[str, Any] = {}
        for response in self._generation(request, request_id, requested):
            if time.monotonic() >= check_at and not cancelled:
                check_at += self._check_every_s
                cancelled = sender.is_cancelled()
                if cancelled:
                    self._stop(request_id)
            if cancelled:
                continue
            outputs = {tensor.name(): tensor for tensor in response.output_tensors()}
            new = outputs["output_ids"].as_numpy().ravel().tolist()
            if streaming:
                sender.send(_answer(new, outputs | pod, requested))
                pod = {}
            else:
                ids += new
        if cancelled:
            sender.send(_failure("request was cancelled", pb_utils.TritonError.CANCELLED))
        elif not streaming:
            if "num_output_tokens" in outputs:
                outputs["num_output_tokens"] = pb_utils.Tensor("num_output_tokens", np.array([[len(ids)]], np.int32))
            sender.send(_answer(ids, outputs | pod, requested))

    def _generation(self, request: Any, request_id: str, requested: set[str]) -> Iterator[Any]:
        """Yield the engine's responses, one per token, even if the client does not stream.

        A generation without streaming would block until its end and could not be cancelled before.
        """
        call = pb_utils.InferenceRequest(
            model_name="preprocessing",
            inputs=_renamed(request, TO_PREPROCESSING),
            requested_output_names=list(FROM_PREPROCESSING),
        )
        prepared = _checked(call.exec())
        inputs = [pb_utils.Tensor(FROM_PREPROCESSING[t.name()], t.as_numpy()) for t in prepared.output_tensors()]
        inputs += _renamed(request, {name: name for name in TO_ENGINE})
        inputs.append(pb_utils.Tensor("streaming", np.array([[True]])))
        call = pb_utils.InferenceRequest(
            model_name="tensorrt_llm",
            request_id=request_id,
            inputs=inputs,
            requested_output_names=["output_ids", *(requested & set(FROM_ENGINE))],
        )
        for response in self._responses(call):
            if _checked(response).output_tensors():
                yield response

    def _stop(self, request_id: str) -> None:
        """End a generation by the engine's stop input, because this version cannot cancel a call in flight."""
        zero = np.zeros([1, 1], np.int32)
        inputs = [pb_utils.Tensor(name, zero) for name in ("input_ids", "input_lengths", "request_output_len")]
        inputs.append(pb_utils.Tensor("stop", np.array([[True]])))
        call = pb_utils.InferenceRequest(
            model_name="tensorrt_llm", request_id=request_id, inputs=inputs, requested_output_names=[]
        )
        for response in self._responses(call):
            _checked(response)

    def _responses(self, call: Any) -> Iterator[Any]:
        """Return the responses of a call, and keep them alive until the server has released them.

        The stub drops its reference in a thread that does not hold the interpreter's lock. If it were the last one, the
        tensors would be freed there, which crashes Python 3.12 and races with this thread in 3.11.
        """
        now = time.monotonic()
        while self._kept_alive and self._kept_alive[0][0] < now - KEEP_ALIVE_S:
            self._kept_alive.popleft()
        responses = call.exec(decoupled=True)
        try:
            yield from responses
        finally:
            self._kept_alive.append((time.monotonic(), responses))


def _checked(response: Any) -> Any:
    if response.has_error():
        raise pb_utils.TritonModelException(response.error().message())
    return response


def _renamed(request: Any, names: dict[str, str]) -> list[Any]:
    found = ((new, pb_utils.get_input_tensor_by_name(request, old)) for old, new in names.items())
    return [pb_utils.Tensor(name, t.as_numpy().reshape(1, -1)) for name, t in found if t is not None]


def _answer(ids: list[int], outputs: dict[str, Any], requested: set[str]) -> Any:
    outputs = {**outputs, "text_output": _text("text_output", decode(ids))}
    return pb_utils.InferenceResponse([tensor for name, tensor in outputs.items() if name in requested])


def _text(name: str, text: str) -> Any:
    return pb_utils.Tensor(name, np.array([[text.encode()]], np.object_))


def _failure(message: str, code: Any = None) -> Any:
    error = pb_utils.TritonError(message) if code is None else pb_utils.TritonError(message, code)
    return pb_utils.InferenceResponse([], error=error)
