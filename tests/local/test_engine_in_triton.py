"""The emulated engine inside a real Triton server: responses, errors and metrics."""

import json
import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from loadgen.local.engine.core import Engine, Sequence, play
from loadgen.local.engine.profile import load_profile
from loadgen.local.engine.repository import RepositoryOptions
from loadgen.local.engine.tokens import encode
from loadgen.protocols.endpoint import Endpoint
from support.runs.stack_runs import FOUR_PLACES
from support.servers.engine_replica import FRONTS, POD, Replica
from support.servers.triton import PERF, PROMPT, tensor

pytestmark = pytest.mark.timeout(600)  # on a fresh machine the first test downloads the server


@pytest.fixture(scope="module")
def replica(tmp_path_factory) -> Iterator[Replica]:
    replica = Replica(tmp_path_factory.mktemp("replica"), load_profile(FOUR_PLACES), RepositoryOptions())
    yield replica
    replica.kill()


@pytest.mark.parametrize("front", FRONTS)
def test_a_stream_has_one_word_per_token(replica, front):
    """A stream has as many words as requested tokens, and the same text as a request without streaming."""
    responses = replica.stream(front, text_input=PROMPT, max_tokens=12, stream=True).all()
    words = [outputs["text_output"][0] for _, outputs, _ in responses if outputs]
    assert len(words) == 12
    assert all(re.fullmatch(rb" [a-z]+", word) for word in words)
    whole = replica.stream(front, text_input=PROMPT, max_tokens=12, stream=False).all()
    assert [o["text_output"] for _, o, _ in whole if o] == [[b"".join(words)]]


def test_the_final_response_of_each_model(replica):
    """The final response of `tensorrt_llm_bls` has no outputs; that of the ensemble has the last token."""
    of_bls = replica.stream("tensorrt_llm_bls", text_input=PROMPT, max_tokens=3, stream=True).all()
    assert [(bool(outputs), final) for _, outputs, final in of_bls] == [(True, False)] * 3 + [(False, True)]
    of_ensemble = replica.stream("ensemble", text_input=PROMPT, max_tokens=3, stream=True).all()
    assert [(bool(outputs), final) for _, outputs, final in of_ensemble] == [(True, False)] * 2 + [(True, True)]


@pytest.mark.parametrize("front", FRONTS)
def test_token_counts_are_returned_on_request(replica, front):
    """Each response has the number of input tokens and of its output tokens."""
    options = {"return_num_input_tokens": True, "return_num_output_tokens": True}
    streamed = replica.stream(front, text_input=PROMPT, max_tokens=5, stream=True, **options).all()
    counts = [(o["num_input_tokens"], o["num_output_tokens"]) for _, o, _ in streamed if o]
    assert counts == [([len(encode(PROMPT))], [1])] * 5
    whole = replica.stream(front, text_input=PROMPT, max_tokens=5, stream=False, **options).all()
    assert [o["num_output_tokens"] for _, o, _ in whole if o] == [[5]]


@pytest.mark.parametrize("front", FRONTS)
def test_token_times_are_exactly_those_of_the_engine_model(replica, front):
    """Reported times equal those of a simulated engine to the nanosecond, and tokens reach the client soon after."""
    responses = replica.stream(front, text_input=PROMPT, max_tokens=20, stream=True, return_perf_metrics=True).all()
    data = [(at_ns, outputs) for at_ns, outputs, _ in responses if outputs]
    arrival_ns, scheduled_ns, first_ns, last_ns = (data[-1][1][name][0] for name in PERF)
    twin = Sequence(key=None, prompt_tokens=len(encode(PROMPT)), output_tokens=20, arrival_ns=arrival_ns)
    due_ns = [token.at_ns for token in play(Engine(replica.profile.engine), [twin])]
    assert (scheduled_ns, first_ns, last_ns) == (arrival_ns, due_ns[0], due_ns[-1])
    assert [outputs["last_token_time_ns"] for _, outputs in data[:-1]] == [[0]] * 19
    lags_ms = sorted((at_ns - due) / 1e6 for (at_ns, _), due in zip(data, due_ns, strict=True))
    assert lags_ms[0] > 0
    assert lags_ms[10] < 100  # typically 2 ms; the machine may be busy with other tests


@pytest.mark.parametrize("front", FRONTS)
def test_only_requested_outputs_are_sent(replica, front):
    """A request that names its outputs gets these outputs in every response, and no others."""
    fields = {"text_input": PROMPT, "max_tokens": 2, "stream": True, "return_perf_metrics": True}
    for names in (["text_output"], ["first_token_time_ns"]):
        responses = replica.stream(front, outputs=names, **fields).all()
        assert [sorted(outputs) for _, outputs, _ in responses if outputs] == [names, names]


@pytest.mark.parametrize("front", FRONTS)
def test_generate_over_http(replica, front):
    """`generate` returns the whole text, `generate_stream` one event per token; `generate` refuses `stream`."""
    status, body = replica.post(f"{front}/generate", text_input=PROMPT, max_tokens=4)
    assert status == 200
    assert len(json.loads(body)["text_output"].split()) == 4
    status, body = replica.post(f"{front}/generate_stream", text_input=PROMPT, max_tokens=4, stream=True)
    events = [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line]
    assert status == 200
    assert [len(event["text_output"].split()) for event in events] == [1] * 4
    assert "[DONE]" not in body
    status, body = replica.post(f"{front}/generate", text_input=PROMPT, max_tokens=4, stream=True)
    assert status == 200
    assert "generate expects model to produce exactly 1 response" in body


def test_a_unary_call_is_refused(replica):
    """`ModelInfer` fails with Triton's error for decoupled models."""
    client = grpcclient.InferenceServerClient(f"127.0.0.1:{replica.grpc}")
    inputs = [tensor("text_input", PROMPT), tensor("max_tokens", 2)]
    with pytest.raises(InferenceServerException, match="doesn't support models with decoupled transaction policy"):
        client.infer("tensorrt_llm_bls", inputs)
    client.close()


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"text_input": "word " * 5000}, r"Prompt length \(5000\) exceeds maximum input length \(4095\)"),
        ({"max_tokens": 0}, "mMaxNewTokens > 0"),
        ({"beam_width": 2}, "beam_width must be 1"),
        ({"lora_task_id": 7}, "lora_task_id"),
    ],
)
def test_unsupported_requests_return_errors(replica, front, changed, message):
    """A prompt that is too long, zero tokens, beam search and LoRA are errors with the message of TensorRT-LLM."""
    fields = {"text_input": PROMPT, "max_tokens": 2, "stream": True, **changed}
    with pytest.raises(InferenceServerException, match=message):
        replica.stream(front, **fields).all()


def test_metric_families_and_labels_equal_those_of_the_real_backend(replica):
    """The metrics page has the families and label values of the TensorRT-LLM backend, with plausible values."""
    replica.stream("tensorrt_llm_bls", text_input=PROMPT, max_tokens=12, stream=True).all()
    samples = replica.samples()

    def values(family: str, label: str) -> dict[str, float]:
        pattern = re.compile(rf'{family}{{(?=.*\bmodel="tensorrt_llm")(?=.*\bversion="1").*\b{label}="(\w+)"')
        return {match[1]: value for name, value in samples.items() if (match := pattern.match(name))}

    requests = values("nv_trt_llm_request_metrics", "request_type")
    assert set(requests) == {"active", "max", "scheduled", "context", "waiting"}
    blocks = values("nv_trt_llm_kv_cache_block_metrics", "kv_cache_block_type")
    assert set(blocks) == {"max", "free", "used", "tokens_per", "reused", "fraction"}
    batcher = values("nv_trt_llm_inflight_batcher_metrics", "inflight_batcher_specific_metric")
    assert set(batcher) == {"total_context_tokens", "generation_requests", "micro_batch_id", "paused_requests"}
    general = values("nv_trt_llm_general_metrics", "general_type")
    assert set(general) == {"timestamp", "iteration_counter"}
    # An idle engine reports its last iteration, as the real one does: one request with 1 of 160 blocks.
    assert (requests["active"], requests["scheduled"], requests["waiting"]) == (1, 1, 0)
    assert (blocks["max"], blocks["used"], blocks["free"], blocks["fraction"]) == (160, 1, 159, 1 / 160)
    assert abs(general["timestamp"] / 1e6 - time.time()) < 60
    for side in ("input", "output"):
        lengths = values(f"nv_llm_{side}_token_len_count", "response_metric_type")
        assert lengths[f"total_{side}_tokens"] >= 1
    pattern = r'nv_llm_output_token_len_bucket{.*le="([\d.]+|\+Inf)"'
    assert {m[1] for m in (re.match(pattern, name) for name in samples) if m} == {
        *("10", "50", "100", "500", "1000", "+Inf")
    }


def test_queue_and_compute_counters_of_the_front_model_agree_with_the_clients(replica):
    """Of twelve simultaneous requests at four instances eight wait, and the counters equal the client's times."""
    queue_us, compute_us = "nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us"
    success, models = "nv_inference_request_success", ("tensorrt_llm_bls", "tensorrt_llm")
    before = {(name, m): replica.counter(name, m) for name in (queue_us, compute_us, success) for m in models}
    results: queue.Queue[tuple[float, float]] = queue.Queue()

    def send() -> None:
        stream = replica.stream(
            "tensorrt_llm_bls", text_input=PROMPT, max_tokens=40, stream=True, return_perf_metrics=True
        )
        times = [outputs for _, outputs, _ in stream.all() if outputs][-1]
        arrival_ns, last_ns = times["arrival_time_ns"][0], times["last_token_time_ns"][0]
        results.put(((arrival_ns - stream.sent_ns) / 1e3, (last_ns - arrival_ns) / 1e3))

    threads = [threading.Thread(target=send) for _ in range(12)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 0.9  # the first four end after 1 s
    pending = 0.0
    while pending < 8 and time.monotonic() < deadline:
        pending = replica.counter("nv_inference_pending_request_count", "tensorrt_llm_bls")
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    truth = [results.get() for _ in threads]
    # the server counts a request after its last response has been sent
    finished, deadline = before[success, models[0]] + len(threads), time.monotonic() + 20
    while replica.counter(success, models[0]) < finished and time.monotonic() < deadline:
        time.sleep(0.05)
    delta = {key: replica.counter(*key) - value for key, value in before.items()}
    assert pending == 8
    busy_us = 4 * (time.monotonic() - start) * 1e6
    # 40 tokens take about 1 s: four requests wait 0 s, four 1 s, four 2 s. The front model adds its own overhead to the
    # engine's times (4 ms per request on an idle machine), but its four instances are busy no longer than the test.
    wait_us, engine_us = (sum(column) for column in zip(*truth, strict=True))
    queued_us, computed_us = (delta[name, "tensorrt_llm_bls"] for name in (queue_us, compute_us))
    assert queued_us <= wait_us
    assert engine_us <= computed_us <= busy_us
    assert queued_us > 8e6
    # The counters of the engine's model only cover the hand-over, as those of the real asynchronous backend.
    assert delta[queue_us, "tensorrt_llm"] + delta[compute_us, "tensorrt_llm"] < 1e6


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("front", FRONTS)
def test_a_scenario_gives_further_inputs(replica, front, protocol):
    """Values get the types and shapes that Triton declares, over both protocols; the server counts the tokens."""
    inputs = {"min_tokens": 2, "temperature": 0.5, "seed": 2**63, "bad_words": ["no", "nor"], "stop_words": ["END"]}
    endpoint = Endpoint.parse(f"{protocol}://127.0.0.1:{getattr(replica, protocol)}", protocol)
    for stream in (True, False):
        model, _ = endpoint.find_model(requested=front, stream=stream, inputs=inputs)
        with closing(endpoint.connect(model, stream=stream)) as client:
            answer = client.infer(PROMPT, 5, 20.0)
        assert (answer.outcome, answer.output_tokens, answer.token_source) == ("ok", 5, "server"), answer.cause
        assert len(answer.token_times) == (5 if stream else 0)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("front", FRONTS)
def test_the_client_records_the_times_of_the_engine(replica, front, protocol):
    """Queue, prefill and decode of each request are exactly those of a simulated engine, and the replica is named."""
    twin = Sequence(key=None, prompt_tokens=len(encode(PROMPT)), output_tokens=5, arrival_ns=1)
    due_ns = [token.at_ns for token in play(Engine(replica.profile.engine), [twin])]
    prefill_s, decode_s = (due_ns[0] - twin.first_scheduled_ns) / 1e9, (due_ns[-1] - due_ns[0]) / 1e9
    endpoint = Endpoint.parse(f"{protocol}://127.0.0.1:{getattr(replica, protocol)}", protocol)
    for stream in (True, False):
        model, _ = endpoint.find_model(requested=front, stream=stream)
        with closing(endpoint.connect(model, stream=stream)) as client:
            answer = client.infer(PROMPT, 5, 20.0)
        assert (answer.outcome, answer.pod, answer.engine) == ("ok", POD, (0.0, prefill_s, decode_s)), answer.cause
