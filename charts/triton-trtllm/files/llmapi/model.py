"""Serves a model with TensorRT-LLM's LLM API, and exports queue and compute times for the autoscaler.

``execute`` passes requests to the engine and returns at once, so Triton's own queue and compute counters do not include
the generation. This model therefore exports the engine's own times of each request as counters (for the rule see
``llmapi_account.py``), the numbers of running and waiting requests as gauges, and times to first token as a histogram.

It relies on this behavior of TensorRT-LLM 1.2:

* ``LLM(return_perf_metrics=True)``, not only the request's own flag: only then the arrival time of a request is when
  it is passed to the engine. Otherwise it is when the executor takes it from its queue, and the wait there is lost.
* With it every response, not only the last one, has ``outputs[0].request_perf_metrics``, whose times are
  ``timedelta`` since the start of ``steady_clock``: on Linux the monotonic clock, in whole microseconds.
* ``generate_async`` is called inside the event loop that awaits its result, whose object is the same at each step.
* The engine does not respond to ``abort()`` of a request that was never scheduled, so its result is not awaited.
* ``LLM(enable_iter_perf_stats=True)`` and ``get_stats_async`` give statistics of each iteration. They are optional:
  without them requests count as running from their first token on, and the usage of the KV cache is not exported.

The engine streams to this model even if the client does not stream, since the times require it.

Threads: the event loop serves all requests, and only the outbox uses response senders.
"""

import asyncio
import dataclasses
import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

# Folder of numpy if the isolated interpreter does not have it, and, before it, the folder of this file.
sys.path.insert(0, os.environ.get("LOADGEN_SITE_PACKAGES", str(Path(__file__).parent)))
sys.path.insert(0, str(Path(__file__).parent))

import triton_python_backend_utils as pb_utils
from llmapi_account import Account, OpenRequest
from llmapi_call import Call, RejectedError, engine_times, failure
from llmapi_metrics import BACKEND, CANCELED, REJECTED, Metrics, State
from llmapi_outbox import Outbox
from llmapi_settings import SettingsError, read_settings

METRICS_PERIOD_S = 0.2
STATS_TIMEOUT_S = 0.2  # some versions block the event loop for this long without an iteration
UNFINISHED = ("cancelled", "timeout")


class TritonPythonModel:
    """One engine that serves any number of concurrent requests."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read ``model.yaml``, build the engine, and start serving."""
        if int((json.loads(args["model_config"]).get("instance_group") or [{}])[0].get("count", 1)) != 1:
            raise pb_utils.TritonModelException(
                "instance_group must have one instance: one engine serves all requests."
            )
        try:
            settings = read_settings(Path(args["model_repository"]) / args["model_version"], os.environ)
        except SettingsError as error:
            raise pb_utils.TritonModelException(str(error)) from error
        llm_args = self._import(settings.llm)
        self._metrics = Metrics(args["model_name"], args["model_version"])
        self._account = Account()
        self._state = State()
        self._first_tokens_ms: list[float] = []
        self._serving: dict[asyncio.Task[None], Call] = {}
        self._stopped: set[Call] = set()
        self._loop = asyncio.new_event_loop()
        self._work = asyncio.Event()
        self._outbox = Outbox(settings.cancellation_check_period_s, on_cancelled=self._post_cancelled)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self._in_loop(self._build(llm_args)).result()
        except Exception:
            self._stop_threads()
            raise

    def _import(self, llm_args: dict[str, Any]) -> dict[str, Any]:
        """Import the LLM API, and return its arguments in the form that it expects."""
        # Not earlier: the import takes seconds and needs the GPU, and reading the configuration does not.
        from tensorrt_llm import LLM, SamplingParams

        self._llm_class, self._sampling_params = LLM, SamplingParams
        with suppress(ImportError):
            from tensorrt_llm.llmapi.llm_utils import update_llm_args_with_extra_dict

            return dict(update_llm_args_with_extra_dict({}, llm_args))
        return llm_args

    def execute(self, requests: list[Any]) -> None:
        """Pass the requests to the engine; responses are sent later."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                call = Call(request, sender)
            except Exception as error:
                errors = pb_utils.TritonError
                code = errors.INVALID_ARG if isinstance(error, RejectedError) else errors.INTERNAL
                self._outbox.send(sender, failure(str(error), code))
                self._loop.call_soon_threadsafe(self._failed, REJECTED)
            else:
                self._loop.call_soon_threadsafe(self._stop_by_id if call.stop else self._start, call)

    def finalize(self) -> None:
        """Shut the engine down; the server calls this when no request is left."""
        self._in_loop(self._finish()).result()
        self._stop_threads()

    async def _finish(self) -> None:
        tasks = [*self._background, *self._serving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._llm.shutdown)

    async def _build(self, llm_args: dict[str, Any]) -> None:
        """Build the engine, and start the background tasks."""
        self._llm = await asyncio.to_thread(lambda: self._llm_class(**llm_args))
        self._background = [self._loop.create_task(run()) for run in (self._write_metrics, self._read_stats)]

    def _start(self, call: Call) -> None:
        task = self._loop.create_task(self._serve(call))
        self._serving[task] = call
        task.add_done_callback(self._serving.pop)

    async def _serve(self, call: Call) -> None:
        """Generate and send the response to a request; errors affect only this request."""
        since_ns = time.monotonic_ns()
        try:
            result = self._llm.generate_async(
                call.prompt, sampling_params=self._sampling_params(**call.sampling), streaming=True
            )
        except (ValueError, TypeError) as error:
            self._end(call, REJECTED, failure(str(error), pb_utils.TritonError.INVALID_ARG))
            return
        except Exception as error:
            self._end(
                call, BACKEND, failure(f"The engine did not accept the request: {error}", pb_utils.TritonError.INTERNAL)
            )
            return
        opened = self._account.open(since_ns)
        self._work.set()
        self._outbox.watch(call)
        try:
            response = await self._generate(call, result, opened)
        except asyncio.CancelledError:
            self._abort(result)
            response = failure("The client cancelled the request.", pb_utils.TritonError.CANCELLED)
            if call in self._stopped:
                with suppress(RejectedError):
                    response = call.response(result, last=True)
            self._end(call, CANCELED, response)
        except Exception as error:
            self._abort(result)
            self._end(call, BACKEND, failure(f"The engine failed: {error}", pb_utils.TritonError.INTERNAL))
        else:
            self._end(call, None, response)
        finally:
            self._account.close(opened, time.monotonic_ns())
            self._stopped.discard(call)

    async def _generate(self, call: Call, result: Any, opened: OpenRequest) -> Any:
        """Follow the engine to the end of the generation, and return the last response."""
        async for _ in result:
            first_token_ms = self._account.token(opened, time.monotonic_ns(), engine_times(result))
            if first_token_ms is not None:
                self._first_tokens_ms.append(first_token_ms)
            if call.streaming and not result.finished:
                self._outbox.send(call.sender, call.response(result, last=False), final=False)
        reason = result.outputs[0].finish_reason
        if reason in UNFINISHED:
            raise RuntimeError(f"it ended the request early ({reason}).")
        return call.response(result, last=True)

    def _abort(self, result: Any) -> None:
        try:
            result.abort()
        except Exception as error:
            pb_utils.Logger.log_error(f"a request could not be aborted: {error}")

    def _end(self, call: Call, reason: str | None, response: Any) -> None:
        """Send the last response of a request and count its result; without a reason it succeeded."""
        self._outbox.send(call.sender, response, call=call)
        if reason is None:
            self._state.success += 1
            self._work.set()
        else:
            self._failed(reason)

    def _failed(self, reason: str) -> None:
        self._state.failure[reason] = self._state.failure.get(reason, 0) + 1
        self._work.set()

    def _stop_by_id(self, stop: Call) -> None:
        """Stop the requests with this id; each gets a last response with the text so far."""
        for task, call in self._serving.items():
            if call.request_id == stop.request_id:
                self._stopped.add(call)
                self._loop.call_soon(task.cancel)  # after its first step: a task that never ran would send no response
        self._outbox.send(stop.sender, stop.acknowledgement())

    def _post_cancelled(self, call: Call) -> None:
        self._loop.call_soon_threadsafe(self._cancel, call)

    def _cancel(self, cancelled: Call) -> None:
        for task, call in self._serving.items():
            if call is cancelled:
                task.cancel()

    async def _write_metrics(self) -> None:
        """Write the metrics periodically while there are requests, and once after the last one."""
        while True:
            await self._work.wait()
            if not self._account:
                self._work.clear()
            state = self._take_state(time.monotonic_ns())
            try:
                await asyncio.to_thread(self._metrics.write, state)
            except Exception as error:
                pb_utils.Logger.log_error(f"the metrics could not be written: {error}")
            await asyncio.sleep(METRICS_PERIOD_S)

    def _take_state(self, now_ns: int) -> State:
        """Return the state to export, as a copy for another thread."""
        self._account.book(now_ns)
        if self._state.kv_cache_usage_ratio is not None and not self._account:
            self._state.kv_cache_usage_ratio = 0.0  # an idle engine reports no statistics
        first_tokens_ms, self._first_tokens_ms = tuple(self._first_tokens_ms), []
        return dataclasses.replace(
            self._state,
            queue_us=self._account.queue_us,
            compute_us=self._account.compute_us,
            failure=dict(self._state.failure),
            running=self._account.running(now_ns),
            waiting=self._account.waiting(now_ns),
            times_to_first_token_ms=first_tokens_ms,
        )

    async def _read_stats(self) -> None:
        """Read the engine's iteration statistics; if that fails, the gauges work without them."""
        try:
            while True:
                while not self._account:
                    await asyncio.sleep(METRICS_PERIOD_S)
                iterations = self._llm.get_stats_async(timeout=STATS_TIMEOUT_S)
                if hasattr(iterations, "mark_undone"):  # otherwise a pause between iterations ends the stream
                    iterations.mark_undone()
                async for stats in iterations:
                    scheduled = (stats.get("inflightBatchingStats") or {}).get("numScheduledRequests")
                    if scheduled is not None:
                        self._account.engine_scheduled(int(scheduled), time.monotonic_ns())
                    blocks = stats.get("kvCacheStats") or {}
                    if self._account and blocks.get("maxNumBlocks"):
                        self._state.kv_cache_usage_ratio = blocks["usedNumBlocks"] / blocks["maxNumBlocks"]
                await asyncio.sleep(METRICS_PERIOD_S)
        except Exception as error:
            pb_utils.Logger.log_error(f"the engine's iteration statistics are no longer read: {error}")

    def _in_loop(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _stop_threads(self) -> None:
        self._outbox.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()
