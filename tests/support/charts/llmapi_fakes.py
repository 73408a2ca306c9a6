"""A server and an engine for the model of the ``llmapi`` mode, both under the test's control."""

import asyncio
import importlib.util
import json
import queue
import sys
import threading
import time
import types
from datetime import timedelta
from pathlib import Path

import numpy as np

LLMAPI = Path(__file__).parents[3] / "charts/triton-trtllm/files/llmapi"
FINAL = 1


def load(name):
    """One of the model's modules, loaded anew."""
    spec = importlib.util.spec_from_file_location(name, LLMAPI / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # a dataclass looks its module up there
    spec.loader.exec_module(module)
    return module


class Metric:
    def __init__(self, labels, buckets=None):
        self.labels = labels
        self.buckets = buckets
        self.value = 0
        self.observed = []

    def increment(self, by):
        assert by > 0, "a counter only grows"
        self.value += by

    def set(self, value):
        self.value = value

    def observe(self, value):
        self.observed.append(value)


class MetricFamily:
    COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
    every: dict[str, "MetricFamily"]

    def __init__(self, name, description, kind):
        self.kind = kind
        self.metrics = []
        type(self).every[name] = self

    def Metric(self, labels, buckets=None):
        self.metrics.append(Metric(labels, buckets))
        return self.metrics[-1]


class Tensor:
    def __init__(self, name, array):
        self._name, self._array = name, array

    def name(self):
        return self._name

    def as_numpy(self):
        return self._array


class TritonError:
    INTERNAL, INVALID_ARG, CANCELLED = "INTERNAL", "INVALID_ARG", "CANCELLED"

    def __init__(self, message, code="INTERNAL"):
        self.message, self.code = message, code


class InferenceResponse:
    def __init__(self, output_tensors, error=None):
        self.outputs = {t.name(): t.as_numpy().tolist() for t in output_tensors}
        self.error = error


class Request:
    """What a client sends, and what it gets."""

    OUTPUTS = ("text_output", "finish_reason", "stop_reason", "cumulative_logprob", "arrival_time_ns")
    OUTPUTS += ("first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns", "kv_cache_alloc_new_blocks")

    def __init__(self, text="a prompt", *, id="", outputs=OUTPUTS, **inputs):
        self.inputs = {"text_input": text, **inputs}
        self._id, self._outputs = id, outputs
        self.answers = queue.SimpleQueue()
        self.cancelled = False

    def request_id(self):
        return self._id

    def requested_output_names(self):
        return list(self._outputs)

    def get_response_sender(self):
        return self

    def is_cancelled(self):
        return self.cancelled

    def send(self, response=None, flags=0):
        self.answers.put((response, flags))

    def next(self):
        """The next response: its outputs or its error, and whether it is the last."""
        response, flags = self.answers.get(timeout=5)
        return (response.error or response.outputs), flags == FINAL

    def text(self):
        outputs, final = self.next()
        return outputs["text_output"][0].decode(), final


def input_tensor(request, name):
    if name not in request.inputs:
        return None
    value = request.inputs[name]
    values = value if isinstance(value, list) else [value]
    array = np.array([v.encode() if isinstance(v, str) else v for v in values], object)
    return Tensor(name, array if isinstance(values[0], str) else np.array(values))


def pb_utils():
    """The module ``triton_python_backend_utils`` with metric families of its own."""
    module = types.ModuleType("triton_python_backend_utils")
    module.TRITONSERVER_RESPONSE_COMPLETE_FINAL = FINAL
    module.Tensor, module.InferenceResponse, module.TritonError = Tensor, InferenceResponse, TritonError
    module.TritonModelException = type("TritonModelException", (Exception,), {})
    module.MetricFamily = type("MetricFamily", (MetricFamily,), {"every": {}})
    module.get_input_tensor_by_name = input_tensor
    module.Logger = types.SimpleNamespace(log_error=lambda message: None)
    return module


class Generation:
    """A request in the engine; the test says what the engine does with it."""

    def __init__(self, prompt, params):
        self.prompt, self.params = prompt, params
        self.aborted = threading.Event()
        self.finished = False
        self.outputs = [
            types.SimpleNamespace(
                text="", finish_reason=None, stop_reason=None, cumulative_logprob=None, request_perf_metrics=None
            )
        ]
        self._loop = asyncio.get_running_loop()
        self._steps = asyncio.Queue()

    def step(self, text, *, finish_reason=None, times_us=None, error=None):
        """Deliver the whole text so far, with times of arrival, scheduling, first and last token."""
        self._loop.call_soon_threadsafe(self._steps.put_nowait, (text, finish_reason, times_us, error))

    def abort(self):
        self.aborted.set()

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.finished:
            raise StopAsyncIteration
        text, finish_reason, times_us, error = await self._steps.get()
        if error:
            raise error
        output = self.outputs[0]
        output.text, output.finish_reason = text, finish_reason
        self.finished = finish_reason is not None
        if times_us:
            names = ("arrival_time", "first_scheduled_time", "first_token_time", "last_token_time")
            output.request_perf_metrics = types.SimpleNamespace(
                timing_metrics=types.SimpleNamespace(
                    **{n: timedelta(microseconds=t) for n, t in zip(names, times_us, strict=True)}
                ),
                kv_cache_metrics=types.SimpleNamespace(
                    num_reused_blocks=1,
                    num_missed_blocks=2,
                    num_new_allocated_blocks=3,
                    num_total_allocated_blocks=4,
                    kv_cache_hit_rate=0.25,
                ),
                speculative_decoding=types.SimpleNamespace(total_draft_tokens=0),
            )
        return self


class SamplingParams:
    def __init__(self, **params):
        self.params = params


class LLM:
    """The newest one is ``LLM.newest``."""

    newest = None

    def __init__(self, **args):
        self.args = args
        self.generations = []
        self.stats = []
        self.refuses = None
        self.is_shut_down = False
        type(self).newest = self

    def generate_async(self, prompt, *, sampling_params, streaming):
        assert streaming
        if self.refuses:
            raise self.refuses
        self.generations.append(Generation(prompt, sampling_params.params))
        return self.generations[-1]

    async def get_stats_async(self, timeout):
        while self.stats:
            yield self.stats.pop(0)

    def shutdown(self):
        self.is_shut_down = True


class Served:
    """The model, loaded by a server, with a fresh engine."""

    def __init__(self, module, folder):
        self._families = module.pb_utils.MetricFamily.every
        self.model = module.TritonPythonModel()
        (folder / "1").mkdir(parents=True)
        (folder / "1/model.yaml").write_text(json.dumps({"model": "m", "triton_config": {"decoupled": True}}))
        self.model.initialize(
            {
                "model_config": json.dumps({"instance_group": [{"count": 1}]}),
                "model_repository": str(folder),
                "model_version": "1",
                "model_name": "tensorrt_llm",
            }
        )
        self.llm = LLM.newest

    def ask(self, *requests):
        self.model.execute(list(requests))

    def generation(self, index=0):
        self.wait(lambda: len(self.llm.generations) > index)
        return self.llm.generations[index]

    def value(self, name, **labels):
        return self._metric(name, labels).value

    def observed(self, name):
        return self._metric(name, {}).observed

    def buckets(self, name):
        return self._metric(name, {}).buckets

    def has(self, name):
        return bool(self._families[f"llmapi_{name}"].metrics)

    def requests(self):
        """How many run and how many wait."""
        return self.value("requests", state="running"), self.value("requests", state="waiting")

    def _metric(self, name, labels):
        labels = {"model": "tensorrt_llm", "version": "1", **labels}
        return next(m for m in self._families[f"llmapi_{name}"].metrics if m.labels == labels)

    @staticmethod
    def wait(condition):
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline, "waited 5 s"
            time.sleep(0.01)
