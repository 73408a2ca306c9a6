"""Parses a client's request from its tensors, and creates its responses."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from llmapi_account import Times

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL

# Inputs that are passed to SamplingParams(), without the prefix "sampling_param_".
_SAMPLING = ("max_tokens", "temperature", "top_k", "top_p", "frequency_penalty", "presence_penalty", "seed")
_POD_NAME = os.environ.get("POD_NAME", "")  # empty where nothing names the replica
_RETURNED = ("finish_reason", "stop_reason", "cumulative_logprob")
_PERF_TIMES = ("arrival", "first_scheduled", "first_token", "last_token")
# Output, its type, and its field in the engine's metrics of a request.
_KV_CACHE = (
    ("kv_cache_reused_block", np.int32, "num_reused_blocks"),
    ("kv_cache_missed_block", np.int32, "num_missed_blocks"),
    ("kv_cache_alloc_new_blocks", np.int32, "num_new_allocated_blocks"),
    ("kv_cache_alloc_total_blocks", np.int32, "num_total_allocated_blocks"),
    ("kv_cache_hit_rate", np.float32, "kv_cache_hit_rate"),
)
_SPECULATION = (
    ("acceptance_rate", np.float32, "acceptance_rate"),
    ("total_accepted_draft_tokens", np.int32, "total_accepted_draft_tokens"),
    ("total_draft_tokens", np.int32, "total_draft_tokens"),
)


class RejectedError(Exception):
    """The request is not supported; the message names the tensor."""


class Call:
    """A client's request.

    A response has the new text since the previous one, or the whole text if the client does not stream. Each output of
    the engine has a response, also if its text is empty (an incomplete character is held back). ``finish_reason``,
    ``stop_reason`` and ``cumulative_logprob`` are in the last response; the times and blocks of
    ``sampling_param_return_perf_metrics`` are in each, and are 0 for events that have not happened yet. ``pod_name`` is
    in the first response.

    Attributes:
        request_id: The client's id of the request, used to stop it; may be empty.
        sender: The response sender.
        stop: Whether this is a request to stop the requests with its id.
        prompt: The prompt.
        streaming: Whether the client wants a stream.
        sampling: Arguments of ``SamplingParams()``.
    """

    def __init__(self, request: Any, sender: Any) -> None:
        inputs = _Inputs(request)  # not stored: its tensors are in shared memory of the server
        self.request_id: str = request.request_id()
        self.sender = sender
        self._wanted = set(request.requested_output_names())
        self._sent = 0
        self._pod = {"pod_name": _strings(_POD_NAME)} if _POD_NAME else {}
        self.stop = bool(inputs.scalar("stop", False))
        if self.stop:
            if not self.request_id:
                raise RejectedError("stop ends the requests with the same id: set an id.")
            return
        texts = inputs.texts("text_input")
        if len(texts) != 1:
            raise RejectedError(f"text_input must have one string, not {len(texts)}: send a request for each.")
        self.prompt = texts[0]
        self.streaming = bool(inputs.scalar("streaming", False))
        self._returns = {name for name in _RETURNED if inputs.scalar(f"return_{name}", False)}
        self._returns_perf = bool(inputs.scalar("sampling_param_return_perf_metrics", False))
        self.sampling = inputs.sampling()
        if "cumulative_logprob" in self._returns:
            self.sampling["logprobs"] = 1

    def response(self, result: Any, *, last: bool) -> Any:
        """Return the response for an output of the engine.

        Raises:
            RejectedError: The client requested an output that the engine did not give.
        """
        output = result.outputs[0]
        # The text may get shorter at its end, when a stop word is removed.
        text, self._sent = output.text[self._sent :], max(self._sent, len(output.text))
        arrays = {"text_output": _strings(text), **self._pod}
        self._pod = {}
        if last:
            for name in self._returns:
                value = getattr(output, name)
                if name != "cumulative_logprob":
                    arrays[name] = _strings("" if value is None else str(value))
                elif value is None:
                    raise RejectedError("return_cumulative_logprob: the engine gave no log probabilities.")
                else:
                    arrays[name] = np.array([value], np.float32)
        if self._returns_perf:
            arrays |= _perf_arrays(output)
        return self._tensors(arrays)

    def acknowledgement(self) -> Any:
        """Return the response to a request to stop."""
        return self._tensors({"text_output": _strings("")})

    def _tensors(self, arrays: dict[str, Any]) -> Any:
        # The sender drops unrequested tensors without holding the GIL, and may crash.
        tensors = [pb_utils.Tensor(name, a) for name, a in arrays.items() if name in self._wanted]
        return pb_utils.InferenceResponse(tensors)


class _Inputs:
    """The input tensors of a request, as Python values."""

    def __init__(self, request: Any) -> None:
        self._request = request

    def sampling(self) -> dict[str, Any]:
        if self.scalar("sampling_param_best_of", 1) != 1:
            raise RejectedError("sampling_param_best_of must be 1: a request has one response.")
        if not self.scalar("sampling_param_exclude_input_from_output", True):
            raise RejectedError(
                "sampling_param_exclude_input_from_output must be true: a response never has the prompt."
            )
        values = {name: self.scalar(f"sampling_param_{name}", None) for name in _SAMPLING}
        values["stop"] = self.texts("sampling_param_stop") or None
        return {name: value for name, value in values.items() if value is not None}

    def scalar(self, name: str, default: Any) -> Any:
        tensor = pb_utils.get_input_tensor_by_name(self._request, name)
        if tensor is None:
            return default
        array = tensor.as_numpy()
        if array.size != 1:
            raise RejectedError(f"{name} must have one value, not {array.size}.")
        return array.item()

    def texts(self, name: str) -> list[str]:
        tensor = pb_utils.get_input_tensor_by_name(self._request, name)
        values = [] if tensor is None else tensor.as_numpy().ravel().tolist()
        try:
            return [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values]
        except UnicodeDecodeError as error:
            raise RejectedError(f"{name} must be UTF-8: {error}") from error


def failure(message: str, code: Any) -> Any:
    """Return an error response."""
    return pb_utils.InferenceResponse([], error=pb_utils.TritonError(message, code))


def engine_times(result: Any) -> Times:
    """Return the engine's times of a request, as far as they are known."""
    metrics = getattr(result.outputs[0], "request_perf_metrics", None)
    if metrics is None:
        return Times()
    timing = metrics.timing_metrics
    return Times(*(_ns(getattr(timing, f"{name}_time")) for name in _PERF_TIMES))


def _perf_arrays(output: Any) -> dict[str, Any]:
    metrics = getattr(output, "request_perf_metrics", None)
    if metrics is None:
        return {}
    timing, blocks, speculation = metrics.timing_metrics, metrics.kv_cache_metrics, metrics.speculative_decoding
    arrays = {f"{n}_time_ns": np.array([_ns(getattr(timing, f"{n}_time"))], np.int64) for n in _PERF_TIMES}
    arrays |= {name: np.array([getattr(blocks, field)], dtype) for name, dtype, field in _KV_CACHE}
    if speculation.total_draft_tokens:
        arrays |= {name: np.array([getattr(speculation, field)], dtype) for name, dtype, field in _SPECULATION}
    return arrays


def _ns(stamp: timedelta) -> int:
    """Return a time of the engine in ns; the engine has whole microseconds since the clock's start, or 0."""
    return stamp // timedelta(microseconds=1) * 1000


def _strings(text: str) -> Any:
    return np.array([text.encode("utf-8")], np.object_)
