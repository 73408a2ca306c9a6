"""The emulated engine as a Triton model, which runs the core's iterations in real time.

It has two threads besides the server's own; both wait while the engine is idle. The player sleeps until the end of each
iteration, sends its tokens and checks for cancelled requests. The other thread writes the gauges. As in the real
backend, gauges are written only during iterations, so an idle engine shows the values of its last iterations. Metrics
that are not emulated are not exported: ``nv_trt_llm_runtime_memory_metrics`` (no runtime), ``nv_trt_llm_v1_metrics``
(no static batching) and ``nv_trt_llm_disaggregated_serving_metrics``.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

# The stub's interpreter is isolated and ignores PYTHONPATH. So the paths of a numpy that it can load, and of the
# emulator's modules in this folder, are set here, before any import of them.
sys.path.insert(0, os.environ.get("LOADGEN_SITE_PACKAGES", str(Path(__file__).parent)))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import triton_python_backend_utils as pb_utils

from loadgen.local.engine.config import EngineConfig, StepModel
from loadgen.local.engine.core import Engine, InvalidSequenceError, Iteration, QueueFullError, Sequence, Token
from loadgen.local.engine.tokens import answer_seed, answer_token

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
POD_NAME = os.environ.get("POD_NAME", "")  # empty where nothing names the replica
TOKEN_LEN_BUCKETS = [10.0, 50.0, 100.0, 500.0, 1000.0]
# Family, label and its values in the order in which they are written, and help text.
GAUGES = {
    "request": (
        "request_type",
        ("active", "max", "scheduled", "context", "waiting"),
        "TRT LLM request metrics",
    ),
    "kv_cache_block": (
        "kv_cache_block_type",
        ("max", "free", "used", "tokens_per", "reused", "fraction"),
        "TRT LLM KV cache block metrics",
    ),
    "inflight_batcher": (
        "inflight_batcher_specific_metric",
        ("total_context_tokens", "generation_requests", "micro_batch_id", "paused_requests"),
        "TRT LLM inflight_batcher-specific metrics",
    ),
    "general": ("general_type", ("timestamp", "iteration_counter"), "General TRT LLM metrics"),
}


class Generation:
    """One request in the engine: its sequence, its response sender and the outputs that its client requested."""

    __slots__ = ("answer_seed", "pod", "request_id", "requested_outputs", "returns", "sender", "sequence", "streaming")

    def __init__(self, request: Any, arrival_ns: int) -> None:
        ids = _array(request, "input_ids").ravel().tolist()[: _number(request, "input_lengths", 0)]
        for name in ("beam_width", "num_return_sequences"):
            if _number(request, name, 1) != 1:
                raise InvalidSequenceError(f"the emulated engine generates one sequence: {name} must be 1")
        self.request_id = request.request_id()
        self.requested_outputs = set(request.requested_output_names())
        self.sender = request.get_response_sender()
        self.streaming = bool(_number(request, "streaming", 0))
        returns = ("return_perf_metrics", "return_num_input_tokens", "return_num_output_tokens")
        self.returns = {name for name in returns if _number(request, name, 0)}
        self.pod = POD_NAME
        self.answer_seed = answer_seed(ids, _number(request, "seed", 0))
        self.sequence = Sequence(
            key=self,
            prompt_tokens=len(ids),
            output_tokens=_number(request, "request_output_len", 0),
            arrival_ns=arrival_ns,
        )

    def response(self, ids: list[int]) -> Any:
        """Return the response that carries these output tokens; the first one names the replica."""
        arrays = {
            "output_ids": np.array(ids, np.int32).reshape(1, 1, -1),
            "sequence_length": np.array([[len(ids)]], np.int32),
        }
        if "return_num_input_tokens" in self.returns:
            arrays["num_input_tokens"] = np.array([[self.sequence.prompt_tokens]], np.int32)
        if "return_num_output_tokens" in self.returns:
            arrays["num_output_tokens"] = np.array([[len(ids)]], np.int32)
        if "return_perf_metrics" in self.returns:
            arrays |= self._perf_metrics()
        if self.pod:
            arrays["pod_name"] = np.array([[self.pod.encode()]], np.object_)
            self.pod = ""
        # The sender would free unrequested outputs without holding the interpreter's lock, and may crash.
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(n, a) for n, a in arrays.items() if n in self.requested_outputs]
        )

    def _perf_metrics(self) -> dict[str, Any]:
        """Return times on the monotonic clock; as upstream, a time that has not been reached is 0.

        Numbers of blocks are in the last response only: in each one they would take much CPU time for no information.
        """
        s = self.sequence
        times = {
            "arrival_time_ns": s.arrival_ns,
            "first_scheduled_time_ns": s.first_scheduled_ns or 0,
            "first_token_time_ns": s.first_token_ns or 0,
            "last_token_time_ns": s.last_token_ns or 0,
        }
        arrays = {name: np.array([[value]], np.int64) for name, value in times.items()}
        if s.last_token_ns is not None:
            blocks = ("kv_cache_alloc_new_blocks", s.blocks), ("kv_cache_alloc_total_blocks", s.blocks)
            reused = ("kv_cache_reused_blocks", 0)
            arrays |= {name: np.array([[value]], np.int32) for name, value in (*blocks, reused)}
        return arrays


class TritonPythonModel:
    """In-flight batching of all requests of this server; as upstream, ``execute`` only queues requests."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the engine's parameters from the model's and start the threads."""
        parameters = json.loads(args["model_config"])["parameters"]

        def value(name: str) -> str:
            return str(parameters[name]["string_value"])

        engine = json.loads(value("emulated_engine"))
        self._engine = Engine(EngineConfig(**{**engine, "step": StepModel(**engine["step"])}))
        self._gauges = Gauges(args["model_name"], args["model_version"], self._engine.config)
        self._stats_every_s = int(value("stats_check_period_ms")) / 1000
        self._cancel_every_s = int(value("cancellation_check_period_ms")) / 1000
        self._wakeup = threading.Condition()
        self._generations: set[Generation] = set()
        self._ended: list[tuple[Generation, Any]] = []
        self._finished: list[Sequence] = []
        self._iteration: Iteration | None = None
        self._stopping = False
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._play, self._write_gauges)]
        for thread in self._threads:
            thread.start()

    def execute(self, requests: list[Any]) -> None:
        """Queue the requests; their responses come from the player's thread."""
        now_ns = time.monotonic_ns()
        for request in requests:
            try:
                if _number(request, "stop", 0):
                    self._stop(request)
                    continue
                generation = Generation(request, now_ns)
                with self._wakeup:
                    self._engine.submit(generation.sequence)
                    self._generations.add(generation)
                    self._wakeup.notify_all()
            except (InvalidSequenceError, QueueFullError) as error:
                request.get_response_sender().send(_failure(str(error)), flags=FINAL)

    def finalize(self) -> None:
        """Stop both threads; the server calls this after the last request."""
        with self._wakeup:
            self._stopping = True
            self._wakeup.notify_all()
        for thread in self._threads:
            thread.join(timeout=5)

    def _stop(self, request: Any) -> None:
        """End the generation with the request's id, with a last response without tokens."""
        sender, stopped = request.get_response_sender(), request.request_id()
        if not stopped:
            sender.send(_failure("Trying to stop a request but request ID is not provided"), flags=FINAL)
            return
        with self._wakeup:
            for generation in [g for g in self._generations if g.request_id == stopped]:
                self._end(generation, generation.response([]))
        sender.send(flags=FINAL)

    def _end(self, generation: Generation, response: Any) -> None:
        """Cancel a generation; the player sends its last response, so that no token can follow it."""
        if self._engine.cancel(generation.sequence):
            self._generations.discard(generation)
            self._ended.append((generation, response))
            self._wakeup.notify_all()

    def _play(self) -> None:
        """Sleep until the end of each iteration and send its tokens; only this thread uses the senders."""
        check_at = time.monotonic()
        while True:
            with self._wakeup:
                if self._stopping:
                    return
                self._iteration = iteration = self._engine.start()
                ended, self._ended = self._ended, []
                if iteration is None and not ended:
                    self._wakeup.wait()
                    continue
                self._wakeup.notify_all()
            for generation, response in ended:
                self._send(generation, response, final=True)
            if iteration is None:
                continue
            # time.sleep ends at an absolute time of the monotonic clock; a late wake-up does not delay the next one.
            time.sleep(max(0.0, (iteration.end_ns - time.monotonic_ns()) / 1e9))
            with self._wakeup:
                tokens = self._engine.finish(iteration)
                self._finished += [token.sequence for token in tokens if token.final]
                self._generations.difference_update(sequence.key for sequence in self._finished)
                generations = list(self._generations)
            for token in tokens:
                self._send_token(token)
            if time.monotonic() >= check_at:
                check_at = time.monotonic() + self._cancel_every_s
                self._end_cancelled(generations)

    def _end_cancelled(self, generations: list[Generation]) -> None:
        for generation in generations:
            if generation.sender.is_cancelled():
                with self._wakeup:
                    self._end(generation, _failure("request was cancelled", pb_utils.TritonError.CANCELLED))

    def _send_token(self, token: Token) -> None:
        generation: Generation = token.sequence.key
        if not generation.streaming and not token.final:
            return
        indices = [token.index] if generation.streaming else range(token.index + 1)
        response = generation.response([answer_token(generation.answer_seed, i) for i in indices])
        self._send(generation, response, final=token.final)

    def _send(self, generation: Generation, response: Any, *, final: bool) -> None:
        try:
            generation.sender.send(response, flags=FINAL if final else 0)
        except pb_utils.TritonModelException as error:
            # One request that the server has given up must not stop the engine for all others.
            pb_utils.Logger.log_error(f"a response could not be sent: {error}")

    def _write_gauges(self) -> None:
        while True:
            with self._wakeup:
                while self._iteration is None and not self._finished and not self._stopping:
                    self._wakeup.wait()
                if self._stopping:
                    return
                iteration, used = self._iteration, self._engine.config.kv_blocks - self._engine.free_blocks
                finished, self._finished = self._finished, []
            if iteration is not None:
                self._gauges.write(iteration, used)
            for sequence in finished:
                self._gauges.observe(sequence)
            time.sleep(self._stats_every_s)


class Gauges:
    """The metric families of TensorRT-LLM's Triton backend that this engine emulates."""

    def __init__(self, model: str, version: str, config: EngineConfig) -> None:
        self._config = config
        self._families = []
        self._metrics: dict[str, list[Any]] = {}
        labels = {"model": model, "version": version}
        for name, (label, values, about) in GAUGES.items():
            family = pb_utils.MetricFamily(f"nv_trt_llm_{name}_metrics", about, pb_utils.MetricFamily.GAUGE)
            self._families.append(family)
            self._metrics[name] = [family.Metric(labels={**labels, label: value}) for value in values]
        self._lengths = []
        for side in ("input", "output"):
            family = pb_utils.MetricFamily(
                f"nv_llm_{side}_token_len", "TRT LLM response metrics", pb_utils.MetricFamily.HISTOGRAM
            )
            self._families.append(family)
            kind = {"response_metric_type": f"total_{side}_tokens"}
            self._lengths.append(family.Metric(labels={**labels, **kind}, buckets=TOKEN_LEN_BUCKETS))

    def write(self, iteration: Iteration, used_blocks: int) -> None:
        """Write the state of one iteration."""
        config = self._config
        scheduled = len(iteration.generating) + len(iteration.prefill)
        active = min(scheduled + iteration.waiting, config.max_active_requests)
        fraction = used_blocks / config.kv_blocks
        free = config.kv_blocks - used_blocks
        self._set("request", active, config.max_active_requests, scheduled, len(iteration.prefill), active - scheduled)
        self._set("kv_cache_block", config.kv_blocks, free, used_blocks, config.tokens_per_block, 0, fraction)
        self._set("inflight_batcher", iteration.prefill_tokens, len(iteration.generating), 0, 0)
        self._set("general", time.time_ns() // 1000, iteration.number)

    def observe(self, sequence: Sequence) -> None:
        """Count the lengths of a finished request."""
        for metric, length in zip(self._lengths, (sequence.prompt_tokens, sequence.generated), strict=True):
            metric.observe(float(length))

    def _set(self, family: str, *values: float) -> None:
        for metric, value in zip(self._metrics[family], values, strict=True):
            metric.set(value)


def _array(request: Any, name: str) -> Any:
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()


def _number(request: Any, name: str, default: int) -> int:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return default if tensor is None else int(tensor.as_numpy().flat[0])


def _failure(message: str, code: Any = None) -> Any:
    error = pb_utils.TritonError(message) if code is None else pb_utils.TritonError(message, code)
    return pb_utils.InferenceResponse([], error=error)
