"""Emulates TensorRT-LLM's LLM API without a GPU, with the iterations of the emulated engine in real time.

It has the part of the LLM API of TensorRT-LLM 1.2 that the model of mode ``llmapi`` uses, so the same ``model.py``
serves it. Build arguments of the real engine are accepted without effect: ``emulated_engine`` configures this one.
Sampling parameters that would change the length of a response, or that cannot be emulated, are rejected; the others
have no effect, since a response's text is a function of its prompt.

As in the real one, a request that is aborted before it was scheduled gets no response, and a running one gets a last
response with the ``finish_reason`` ``cancelled``.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from loadgen.local.engine.config import EngineConfig, StepModel
from loadgen.local.engine.core import Engine, InvalidSequenceError, Iteration, Sequence
from loadgen.local.engine.tokens import answer_seed, answer_token, decode, encode
from tensorrt_llm.results import CompletionOutput, perf_metrics

__all__ = ["LLM", "RequestOutput", "SamplingParams"]
__version__ = "1.2.1+emulated"
STATS_KEPT = 1000
STATS_CHECK_S = 0.05


@dataclass(kw_only=True)
class SamplingParams:
    """Sampling parameters, of which only ``max_tokens`` and ``seed`` have an effect."""

    max_tokens: int = 32
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: list[str] | None = None
    logprobs: int | None = None

    def __post_init__(self) -> None:
        if self.stop:
            raise ValueError("the emulated engine does not support stop words: responses have max_tokens tokens")
        if self.logprobs is not None:
            raise ValueError("the emulated engine has no log probabilities")


class RequestOutput:
    """A request; iterating over it yields the request itself for each token."""

    def __init__(self, llm: LLM, prompt: str, params: SamplingParams, arrival_ns: int) -> None:
        self._llm = llm
        self._loop = asyncio.get_running_loop()
        self._steps: asyncio.Queue[tuple[int | None, Any, str | None]] = asyncio.Queue()
        self.prompt = prompt
        self.prompt_token_ids = encode(prompt)
        self.outputs = [CompletionOutput()]
        self.finished = False
        self._chosen_by = answer_seed(self.prompt_token_ids, params.seed or 0)
        self.sequence = Sequence(
            key=self,
            prompt_tokens=len(self.prompt_token_ids),
            output_tokens=params.max_tokens,
            arrival_ns=arrival_ns,
        )

    def abort(self) -> None:
        """Abort the request."""
        self._llm.abort(self)

    def put(self, index: int | None, finish_reason: str | None) -> None:
        """Deliver a token by its index, or an end without a token; called by the engine's thread."""
        step = (index, perf_metrics(self.sequence), finish_reason)
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._steps.put_nowait, step)

    def __aiter__(self) -> RequestOutput:
        return self

    async def __anext__(self) -> RequestOutput:
        if self.finished:
            raise StopAsyncIteration
        index, metrics, finish_reason = await self._steps.get()
        output = self.outputs[0]
        output.request_perf_metrics = metrics
        output.finish_reason = finish_reason
        self.finished = finish_reason is not None
        if index is not None:
            token = answer_token(self._chosen_by, index)
            output.token_ids.append(token)
            output.text += decode([token])
        return self


class LLM:
    """An engine for any number of requests.

    Args:
        model: The model of the real engine; not used.
        emulated_engine: The fields of ``EngineConfig``, with those of ``StepModel`` under ``step``.
        building: Other arguments of the real engine; not used.
    """

    def __init__(self, model: str, *, emulated_engine: dict[str, Any], **building: Any) -> None:
        self.model = model
        self.building = building
        step = StepModel(**emulated_engine["step"])
        self._engine = Engine(EngineConfig(**{**emulated_engine, "step": step}))
        if self._engine.config.max_queue_size:
            raise ValueError("emulated_engine.max_queue_size must be 0: the LLM API has no queue limit")
        self._stats: deque[dict[str, Any]] = deque(maxlen=STATS_KEPT)
        self._wakeup = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def generate_async(self, inputs: str, sampling_params: SamplingParams, *, streaming: bool = False) -> RequestOutput:
        """Submit a request, from the event loop that awaits the tokens.

        Raises:
            ValueError: The request does not fit this engine.
        """
        if not streaming:
            raise ValueError("the emulated engine supports only streaming")
        with self._wakeup:
            request = RequestOutput(self, inputs, sampling_params, time.monotonic_ns())
            try:
                self._engine.submit(request.sequence)
            except InvalidSequenceError as error:
                raise ValueError(str(error)) from error
            self._wakeup.notify_all()
        return request

    def abort(self, request: RequestOutput) -> None:
        """Abort a request."""
        with self._wakeup:
            was_scheduled = request.sequence.first_scheduled_ns is not None
            if self._engine.cancel(request.sequence) and was_scheduled:
                request.put(None, "cancelled")

    async def get_stats_async(self, timeout: float = 2) -> AsyncIterator[dict[str, Any]]:
        """Yield statistics of each iteration, until there are none for this many seconds."""
        waited_s = 0.0
        while waited_s < timeout:
            if self._stats:
                waited_s = 0.0
                yield self._stats.popleft()
            else:
                await asyncio.sleep(STATS_CHECK_S)
                waited_s += STATS_CHECK_S

    def shutdown(self) -> None:
        """Stop the engine."""
        with self._wakeup:
            self._stopping = True
            self._wakeup.notify_all()
        self._thread.join(timeout=5)

    def _play(self) -> None:
        """Sleep until the end of each iteration and deliver its tokens."""
        while True:
            with self._wakeup:
                while not self._stopping and (iteration := self._engine.start()) is None:
                    self._wakeup.wait()
                if self._stopping:
                    return
                self._stats.append(self._stats_of(iteration))
            # time.sleep ends at an absolute time of the monotonic clock; a late wake-up does not move the next one.
            time.sleep(max(0.0, (iteration.end_ns - time.monotonic_ns()) / 1e9))
            with self._wakeup:
                for token in self._engine.finish(iteration):
                    token.sequence.key.put(token.index, "length" if token.final else None)

    def _stats_of(self, iteration: Iteration) -> dict[str, Any]:
        config = self._engine.config
        used = config.kv_blocks - self._engine.free_blocks
        context, generating = len(iteration.prefill), len(iteration.generating)
        return {
            "iter": iteration.number,
            "iterLatencyMS": (iteration.end_ns - iteration.start_ns) / 1e6,
            "numActiveRequests": context + generating,
            "numQueuedRequests": iteration.waiting,
            "kvCacheStats": {
                "maxNumBlocks": config.kv_blocks,
                "usedNumBlocks": used,
                "freeNumBlocks": config.kv_blocks - used,
                "tokensPerBlock": config.tokens_per_block,
            },
            "inflightBatchingStats": {
                "numScheduledRequests": context + generating,
                "numContextRequests": context,
                "numGenRequests": generating,
            },
        }
