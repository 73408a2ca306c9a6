"""The model of the `llmapi` mode with a fake server and a fake engine."""

import sys
import types

import pytest

from support.charts import llmapi_fakes as fakes


@pytest.fixture
def module(monkeypatch):
    """Load the model's module with a fake server and a fake engine; its own modules are loaded anew for each test."""
    pb_utils = fakes.pb_utils()
    engine = types.ModuleType("tensorrt_llm")
    engine.LLM, engine.SamplingParams = fakes.LLM, fakes.SamplingParams
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", pb_utils)
    monkeypatch.setitem(sys.modules, "tensorrt_llm", engine)
    monkeypatch.delenv("LOADGEN_SITE_PACKAGES", raising=False)
    monkeypatch.delenv("LLM_CONFIG_PATH", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield fakes.load("model")
    for path in fakes.LLMAPI.glob("llmapi_*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def served(module, tmp_path):
    """Serve the model with a new engine."""
    served = fakes.Served(module, tmp_path / "tensorrt_llm")
    yield served
    served.model.finalize()
    assert served.llm.is_shut_down


def test_more_than_one_instance_is_refused(module):
    """The model must have exactly one instance, as each instance would load an engine."""
    with pytest.raises(module.pb_utils.TritonModelException, match="instance_group must have one instance"):
        module.TritonPythonModel().initialize({"model_config": '{"instance_group": [{"count": 2}]}'})


def test_the_engine_is_started_with_performance_metrics(served):
    """The engine is started with the two options that the model's metrics need."""
    assert served.llm.args == {"model": "m", "return_perf_metrics": True, "enable_iter_perf_stats": True}


def test_a_stream_has_new_text_only_and_a_final_response(served):
    """The engine's cumulative text is sent in parts; an incomplete character is delayed, a stop word removed."""
    request = fakes.Request("Say it", streaming=True, sampling_param_max_tokens=9)
    served.ask(request)
    generation = served.generation()
    assert (generation.prompt, generation.params) == ("Say it", {"max_tokens": 9})
    for text in ("He", "Hello", "Hello", "Hello END"):
        generation.step(text)
    generation.step("Hello", finish_reason="stop")
    texts = [request.text() for _ in range(5)]
    assert texts == [("He", False), ("llo", False), ("", False), (" END", False), ("", True)]


def test_without_streaming_there_is_one_response(served):
    """The only response is final and has the whole text."""
    request = fakes.Request()
    served.ask(request)
    generation = served.generation()
    generation.step("one")
    generation.step("one two")
    generation.step("one two three", finish_reason="length")
    assert request.text() == ("one two three", True)
    assert request.answers.empty()


def test_requested_outputs_are_returned(served):
    """Each response has the times, and the last one also has the finish and stop reasons."""
    request = fakes.Request(
        streaming=True, sampling_param_return_perf_metrics=True, return_finish_reason=True, return_stop_reason=True
    )
    served.ask(request)
    generation = served.generation()
    generation.step("a", times_us=(1, 2, 3, 0))
    generation.step("ab", finish_reason="length", times_us=(1, 2, 3, 4))
    first, last = request.next()[0], request.next()[0]
    assert first == {
        "text_output": [b"a"],
        "arrival_time_ns": [1000],
        "first_scheduled_time_ns": [2000],
        "first_token_time_ns": [3000],
        "last_token_time_ns": [0],
        "kv_cache_alloc_new_blocks": [3],
    }
    assert last == {
        **first,
        "text_output": [b"b"],
        "last_token_time_ns": [4000],
        "finish_reason": [b"length"],
        "stop_reason": [b""],
    }


@pytest.mark.parametrize("pod", ["triton-0", ""])
def test_the_first_response_names_the_replica(monkeypatch, request, tmp_path, pod):
    """The variable `POD_NAME` of the container, which the chart sets; without it no response names a replica."""
    monkeypatch.setenv("POD_NAME", pod)
    served = fakes.Served(request.getfixturevalue("module"), tmp_path / "tensorrt_llm")
    sent = fakes.Request(streaming=True, outputs=("text_output", "pod_name"))
    served.ask(sent)
    generation = served.generation()
    generation.step("a")
    generation.step("ab", finish_reason="length")
    first, last = sent.next()[0], sent.next()[0]
    assert first == {"text_output": [b"a"]} | ({"pod_name": [b"triton-0"]} if pod else {})
    assert last == {"text_output": [b"b"]}
    served.model.finalize()


def test_all_sampling_parameters_are_passed_to_the_engine(served):
    """The engine gets every sampling parameter with its value."""
    sampling = {"temperature": 0.5, "top_k": 3, "top_p": 0.25, "frequency_penalty": 1.0, "presence_penalty": 2.0}
    inputs = {f"sampling_param_{name}": value for name, value in sampling.items()}
    served.ask(fakes.Request(**inputs, sampling_param_seed=7, sampling_param_stop=["END", "ß"]))
    assert served.generation().params == {**sampling, "seed": 7, "stop": ["END", "ß"]}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"sampling_param_best_of": 2}, "sampling_param_best_of must be 1"),
        ({"sampling_param_exclude_input_from_output": False}, "sampling_param_exclude_input_from_output must be true"),
        ({"text": ["one", "two"]}, "text_input must have one string, not 2"),
        ({"sampling_param_max_tokens": [1, 2]}, "sampling_param_max_tokens must have one value, not 2"),
        ({"stop": True}, "stop ends the requests with the same id: set an id"),
    ],
)
def test_unsupported_inputs_are_refused(served, inputs, message):
    """The error has the name of the input, and the engine does not get the request."""
    request = fakes.Request(**inputs)
    served.ask(request)
    error, final = request.next()
    assert message in error.message
    assert (error.code, final) == ("INVALID_ARG", True)
    served.wait(lambda: served.value("request_failure", reason="REJECTED") == 1)
    assert served.llm.generations == []


def test_log_probabilities_are_requested_from_the_engine(served):
    """The response has the log probability; it is an error if the engine does not return one."""
    present, missing = fakes.Request(return_cumulative_logprob=True), fakes.Request(return_cumulative_logprob=True)
    served.ask(present, missing)
    assert served.generation(1).params == {"logprobs": 1}
    served.generation(0).outputs[0].cumulative_logprob = -0.5
    for index in (0, 1):
        served.generation(index).step("a", finish_reason="length")
    assert present.next()[0]["cumulative_logprob"] == [-0.5]
    assert "return_cumulative_logprob: the engine gave no log probabilities" in missing.next()[0].message


def test_a_failed_request_does_not_affect_others(served):
    """A request that fails in the engine or is rejected by it is counted, and all others succeed."""
    requests = [fakes.Request(streaming=True) for _ in range(3)]
    served.ask(*requests)
    served.generation(2)
    for generation in served.llm.generations:
        generation.step("a")
    served.generation(1).step("", error=RuntimeError("out of memory"))
    served.llm.refuses = ValueError("prompt too long")
    refused = fakes.Request()
    served.ask(refused)
    assert refused.next()[0].message == "prompt too long"
    for index in (0, 2):
        served.generation(index).step("ab", finish_reason="length")
    assert [r.text() for r in requests] == [("a", False)] * 3
    assert [requests[i].text() for i in (0, 2)] == [("b", True)] * 2
    error, final = requests[1].next()
    assert "out of memory" in error.message
    assert final
    served.wait(lambda: served.value("request_success") == 2)
    failures = {reason: served.value("request_failure", reason=reason) for reason in ("BACKEND", "REJECTED")}
    assert failures == {"BACKEND": 1, "REJECTED": 1}


def test_a_request_that_the_engine_ends_early_fails(served):
    """A request that ends with the reason `timeout` is a failure of the backend."""
    request = fakes.Request()
    served.ask(request)
    served.generation().step("half", finish_reason="timeout")
    assert "ended the request early (timeout)" in request.next()[0].message
    served.wait(lambda: served.value("request_failure", reason="BACKEND") == 1)


@pytest.mark.parametrize("tokens", [0, 1])
def test_a_cancelled_request_is_aborted_in_the_engine(served, tokens):
    """The model does not wait for the engine, which does not respond to the abort of a request before scheduling."""
    request, other = fakes.Request(streaming=True), fakes.Request()
    served.ask(request, other)
    generation = served.generation()
    if tokens:
        generation.step("a")
        request.next()
    request.cancelled = True
    assert generation.aborted.wait(5)
    error, final = request.next()
    assert (error.code, final) == ("CANCELLED", True)
    served.wait(lambda: served.value("request_failure", reason="CANCELED") == 1)
    served.generation(1).step("b", finish_reason="length")
    assert other.text() == ("b", True)
    served.wait(lambda: served.requests() == (0, 0))


def test_a_stop_request_ends_the_requests_with_its_id(served):
    """A stopped request returns the text generated so far; requests with other ids continue."""
    request, other = fakes.Request(id="7", return_finish_reason=True), fakes.Request(id="8")
    served.ask(request, other)
    served.generation().step("so far")
    served.generation(1)
    served.wait(lambda: served.llm.generations[0].outputs[0].text)
    stop = fakes.Request(id="7", stop=True)
    served.ask(stop)
    assert stop.text() == ("", True)
    assert request.text() == ("so far", True)
    assert served.generation().aborted.is_set()
    assert not served.generation(1).aborted.is_set()


def test_a_stop_request_in_the_same_batch_ends_its_request(served):
    """A stop request ends a request that arrives together with it."""
    request, stop = fakes.Request(id="7"), fakes.Request(id="7", stop=True)
    served.ask(request, stop)
    assert request.text() == ("", True)
    assert stop.text() == ("", True)


def test_counters_equal_the_engines_times_to_the_microsecond(served):
    """Queue 2.000001 s + 0.5 s; compute 3.25 s + 1 s; time to first token 2500.001 ms and 600 ms."""
    times_us = [
        (1_000_000, 3_000_001, 3_500_001, 6_250_001),
        (9_000_000, 9_500_000, 9_600_000, 10_500_000),
    ]
    requests = [fakes.Request(streaming=True) for _ in times_us]
    served.ask(*requests)
    served.generation(1)
    for generation, times in zip(served.llm.generations, times_us, strict=True):
        generation.step("a", times_us=(*times[:3], 0))
        generation.step("ab", finish_reason="length", times_us=times)
    served.wait(lambda: served.value("request_success") == 2)
    assert served.value("queue_duration_us") == 2_500_001
    assert served.value("compute_duration_us") == 4_250_000
    assert served.observed("time_to_first_token_ms") == [2500.001, 600.0]
    served.ask(fakes.Request(sampling_param_best_of=2))
    served.wait(lambda: served.value("request_failure", reason="REJECTED") == 1)
    assert (served.value("queue_duration_us"), served.value("request_success")) == (2_500_001, 2)
    buckets = served.buckets("time_to_first_token_ms")
    assert (buckets[0], buckets[-1]) == (10.0, 60000.0)


def test_gauges_follow_open_requests(served):
    """Running requests are those with a token, or those of the engine's latest iteration if it reports them."""
    requests = [fakes.Request() for _ in range(5)]
    served.ask(*requests)
    served.generation(4)
    served.wait(lambda: served.requests() == (1, 4))
    for generation in served.llm.generations[:2]:
        generation.step("a", times_us=(1, 2, 3, 0))
    served.wait(lambda: served.requests() == (2, 3))
    assert not served.has("kv_cache_usage_ratio")
    served.llm.stats.append(
        {
            "inflightBatchingStats": {"numScheduledRequests": 3},
            "kvCacheStats": {"usedNumBlocks": 30, "maxNumBlocks": 40},
        }
    )
    served.wait(lambda: served.requests() == (3, 2))
    served.wait(lambda: served.has("kv_cache_usage_ratio"))
    assert served.value("kv_cache_usage_ratio") == 0.75
    assert served.value("request_success") == 0
    for generation in served.llm.generations:
        generation.step("ab", finish_reason="length", times_us=(1, 2, 3, 4))
    served.wait(lambda: served.requests() == (0, 0))
    assert served.value("kv_cache_usage_ratio") == 0
    assert served.value("request_success") == 5


def test_open_requests_are_cancelled_when_the_model_is_unloaded(module, tmp_path):
    """They are aborted in the engine and return the error CANCELLED."""
    served = fakes.Served(module, tmp_path / "tensorrt_llm")
    request = fakes.Request()
    served.ask(request)
    generation = served.generation()
    served.model.finalize()
    assert generation.aborted.is_set()
    assert request.next()[0].code == "CANCELLED"
