"""The model of the `llmapi` mode in a real Triton server, with an emulated LLM API: responses and metrics."""

import dataclasses
import http.client
import json
import queue
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tritonclient.utils import InferenceServerException

from loadgen.local.engine.core import Engine, Sequence, play
from loadgen.local.engine.llmapi_repository import render_llmapi_repository
from loadgen.local.engine.profile import load_profile
from loadgen.local.engine.tokens import encode
from loadgen.local.environments import remove_environment_folders
from loadgen.local.triton import TritonServer
from loadgen.programs.find import find_tritonserver
from loadgen.protocols.endpoint import Endpoint
from support.runs.stack_runs import FOUR_PLACES
from support.servers.triton import PERF, PROMPT, Stream, post, wait_until_ready

pytestmark = pytest.mark.timeout(600)  # on a fresh machine the first test downloads the server
FILES = Path(__file__).parents[2] / "charts/triton-trtllm/files"
SLOTS = 4


class Replica:
    """A server whose engine runs this many requests at once."""

    def __init__(self, folder: Path, slots: int) -> None:
        profile = load_profile(FOUR_PLACES)
        self.engine = dataclasses.replace(profile.engine, max_batch_size=slots)
        profile = dataclasses.replace(profile, engine=self.engine)
        render_llmapi_repository(folder / "models", profile, llmapi=FILES / "llmapi", emulated=FILES / "emulated")
        self.log = folder / "triton.log"
        self.server = TritonServer(
            find_tritonserver(),
            "llmapi",
            repository=folder / "models",
            shm_prefix=f"loadgen-test-{time.monotonic_ns()}-",
            log=self.log,
            grace_s=30,
        )
        wait_until_ready(self.server.http, self.server.metrics, self.server.poll, self.log)

    def kill(self) -> None:
        self.server.kill()
        while self.server.poll() is None:
            time.sleep(0.01)
        remove_environment_folders(self.log.parent)

    def value(self, name: str, **labels: str) -> float:
        """Return the value of a series of the model; NaN if the page does not have it."""
        with urllib.request.urlopen(f"http://{self.server.metrics}/metrics", timeout=5) as answer:
            page = answer.read().decode()
        for line in page.splitlines():
            if line.startswith(name + "{"):
                line_labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
                if line_labels == {"model": "tensorrt_llm", "version": "1", **labels}:
                    return float(line.rpartition(" ")[2])
        return float("nan")

    def requests(self) -> tuple[float, float]:
        """Return the number of running and of waiting requests."""
        return self.value("llmapi_requests", state="running"), self.value("llmapi_requests", state="waiting")

    def wait_for(self, expected: object, measure: object, timeout_s: float = 10) -> None:
        """Wait until `measure` returns the expected value."""
        deadline = time.monotonic() + timeout_s
        while (last := measure()) != expected:
            assert time.monotonic() < deadline, f"{last} instead of {expected} after {timeout_s} s"
            time.sleep(0.05)

    def stream(self, *, request_id: str = "", **inputs: object) -> Stream:
        """Send one request over gRPC."""
        return Stream(self.server.grpc, "tensorrt_llm", inputs, request_id=request_id, batched=False)

    def post(self, path: str, **fields: object) -> tuple[int, str]:
        return post(self.server.http, f"tensorrt_llm/{path}", **fields)

    def open_request(self, **fields: object) -> http.client.HTTPConnection:
        """Send a request over HTTP and return the connection without reading the response."""
        connection = http.client.HTTPConnection(self.server.http, timeout=30)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v2/models/tensorrt_llm/generate_stream", json.dumps(fields), headers)
        return connection


@pytest.fixture(scope="module")
def replica(tmp_path_factory) -> Iterator[Replica]:
    replica = Replica(tmp_path_factory.mktemp("replica"), SLOTS)
    yield replica
    replica.kill()


@pytest.fixture
def small(tmp_path) -> Iterator[Replica]:
    replica = Replica(tmp_path, 1)
    yield replica
    replica.kill()


def test_a_stream_has_one_word_per_token(replica):
    """The last of one word per token is the final response, and the text equals that of a request without streaming."""
    fields = {"text_input": PROMPT, "sampling_param_max_tokens": 12, "return_finish_reason": True}
    responses = replica.stream(streaming=True, **fields).all()
    words = [outputs["text_output"][0] for _, outputs, _ in responses]
    assert all(re.fullmatch(rb" [a-z]+", word) for word in words)
    assert [final for _, _, final in responses] == [False] * 11 + [True]
    assert responses[-1][1]["finish_reason"] == [b"length"]
    whole = replica.stream(streaming=False, **fields).all()
    assert [outputs["text_output"] for _, outputs, _ in whole] == [[b"".join(words)]]


def test_token_times_are_those_of_the_engine(replica):
    """Times are on the monotonic clock and exact to the microsecond, as in the LLM API."""
    options = {"sampling_param_max_tokens": 20, "sampling_param_return_perf_metrics": True}
    responses = replica.stream(text_input=PROMPT, streaming=True, **options).all()
    arrival_ns, scheduled_ns, first_ns, last_ns = (responses[-1][1][name][0] for name in PERF)
    twin = Sequence(key=None, prompt_tokens=len(encode(PROMPT)), output_tokens=20, arrival_ns=arrival_ns)
    due_ns = [token.at_ns for token in play(Engine(replica.engine), [twin])]
    assert scheduled_ns == arrival_ns
    assert abs(first_ns - due_ns[0]) <= 1000
    assert abs(last_ns - due_ns[-1]) <= 1000
    assert [outputs["last_token_time_ns"] for _, outputs, _ in responses[:-1]] == [[0]] * 19
    lags_ms = sorted((at_ns - due) / 1e6 for (at_ns, _, _), due in zip(responses, due_ns, strict=True))
    assert lags_ms[0] > 0
    assert lags_ms[10] < 100  # typically 2 ms; the machine may be busy with other tests


def test_generate_over_http(replica):
    """`generate` returns the whole text, and `generate_stream` one event per token."""
    status, body = replica.post("generate", text_input=PROMPT, sampling_param_max_tokens=4)
    assert status == 200
    assert len(json.loads(body)["text_output"].split()) == 4
    status, body = replica.post("generate_stream", text_input=PROMPT, sampling_param_max_tokens=4, streaming=True)
    events = [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line]
    assert status == 200
    assert [len(event["text_output"].split()) for event in events] == [1] * 4


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_client_records_the_times_of_the_engine(replica, protocol):
    """Prefill and decode are those of a simulated engine to the microsecond, and the replica is named."""
    twin = Sequence(key=None, prompt_tokens=len(encode(PROMPT)), output_tokens=5, arrival_ns=1)
    due_ns = [token.at_ns for token in play(Engine(replica.engine), [twin])]
    prefill_s, decode_s = (due_ns[0] - twin.first_scheduled_ns) / 1e9, (due_ns[-1] - due_ns[0]) / 1e9
    endpoint = Endpoint.parse(f"{protocol}://{getattr(replica.server, protocol)}", protocol)
    for stream in (True, False):
        model, _ = endpoint.find_model(requested=None, stream=stream)
        with closing(endpoint.connect(model, stream=stream)) as client:
            answer = client.infer(PROMPT, 5, 20.0)
        assert (answer.outcome, answer.pod) == ("ok", "llmapi"), answer.cause
        assert answer.engine == pytest.approx((0.0, prefill_s, decode_s), abs=2e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lora_name": "mine"}, "unexpected inference input 'lora_name'"),
        ({"sampling_param_best_of": 2}, "sampling_param_best_of must be 1"),
        ({"sampling_param_stop": "END"}, "does not support stop words"),
        ({"text_input": "word " * 5000}, r"Prompt length \(5000\) exceeds maximum input length \(4095\)"),
    ],
)
def test_unsupported_requests_return_errors(replica, fields, message):
    """LoRA, several sequences, stop words and a prompt that is too long are errors with a message."""
    with pytest.raises(InferenceServerException, match=message):
        replica.stream(**{"text_input": PROMPT, **fields}).all()


def test_counters_and_gauges_are_correct_during_an_overload(replica):
    """Counters grow while no request has ended, and finally equal the sums of the engine and of the client.

    Twelve simultaneous requests of 150 tokens at four slots: for more than 3 s none ends, and eight wait. The counters
    lag by 1 s, so after 2.8 s four requests have computed for over a second and eight have waited as long: the ratio
    is about 2. At the end both sums equal those of the engine to the microsecond, and are together what the clients
    waited.
    """
    counters = ("llmapi_queue_duration_us", "llmapi_compute_duration_us", "llmapi_request_success")
    of_triton = ("nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us")
    time.sleep(0.5)  # the model updates its metrics every 0.2 s, so those of earlier tests are complete
    before = {name: replica.value(name) for name in (*counters, *of_triton)}
    first_tokens = replica.value("llmapi_time_to_first_token_ms_count")
    answers: queue.Queue[tuple[float, float, float]] = queue.Queue()

    def send() -> None:
        stream = replica.stream(
            text_input=PROMPT,
            streaming=True,
            sampling_param_max_tokens=150,
            sampling_param_return_perf_metrics=True,
        )
        responses = stream.all()
        arrival_ns, scheduled_ns, _, last_ns = (responses[-1][1][name][0] for name in PERF)
        answers.put((scheduled_ns - arrival_ns, last_ns - scheduled_ns, responses[-1][0] - stream.sent_ns))

    threads = [threading.Thread(target=send) for _ in range(12)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    replica.wait_for((4, 8), replica.requests, timeout_s=2)
    assert 0 < replica.value("llmapi_kv_cache_usage_ratio") < 1
    time.sleep(max(0.0, started + 2.8 - time.monotonic()))
    early = {name: replica.value(name) - before[name] for name in counters}
    assert early["llmapi_request_success"] == 0
    assert early["llmapi_queue_duration_us"] > 8e6
    assert 1.5 < early["llmapi_queue_duration_us"] / early["llmapi_compute_duration_us"] < 2.5
    for thread in threads:
        thread.join()
    replica.wait_for((0, 0), replica.requests)
    assert replica.value("llmapi_kv_cache_usage_ratio") == 0
    after = {name: replica.value(name) - before[name] for name in before}
    queue_ns, compute_ns, total_ns = (sum(x) for x in zip(*answers.queue, strict=True))
    assert after["llmapi_request_success"] == 12
    assert abs(after["llmapi_queue_duration_us"] - queue_ns / 1000) <= 1
    assert abs(after["llmapi_compute_duration_us"] - compute_ns / 1000) <= 1
    # over 99 % on an idle machine; a client that waits for a processor receives its responses late
    counted_us = after["llmapi_queue_duration_us"] + after["llmapi_compute_duration_us"]
    assert 0.75 * total_ns <= counted_us * 1000 <= total_ns
    assert replica.value("llmapi_time_to_first_token_ms_count") - first_tokens == 12
    # Triton's own counters only cover the hand-over of such a model.
    assert sum(after[name] for name in of_triton) < 0.1 * after["llmapi_compute_duration_us"]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_client_that_disconnects_frees_its_slot(small, protocol):
    """A request that would occupy the only slot for 80 s is cancelled, and the waiting request is served."""
    fields = {"text_input": PROMPT, "streaming": True, "sampling_param_max_tokens": 3500}
    if protocol == "http":
        connection = small.open_request(**fields)
    else:
        stream = small.stream(**fields)
        stream.next()
    small.wait_for((1, 0), small.requests)
    waiting = small.stream(text_input=PROMPT, streaming=True, sampling_param_max_tokens=5)
    small.wait_for((1, 1), small.requests)
    if protocol == "http":
        connection.close()
    else:
        stream.close(cancel=True)
    assert len(waiting.all()) == 5
    small.wait_for((0, 0), small.requests)
    assert small.value("llmapi_request_failure", reason="CANCELED") == 1
    assert small.value("llmapi_request_success") == 1


def test_a_request_cancelled_while_waiting_never_runs(small):
    """It is counted as cancelled with its queue time, and the running request gets all its tokens."""
    running = small.stream(text_input=PROMPT, streaming=True, sampling_param_max_tokens=100)
    running.next()
    # Over HTTP this server only notices a closed connection when it sends a response.
    waiting = small.stream(text_input=PROMPT, streaming=True, sampling_param_max_tokens=3500)
    time.sleep(0.5)
    waiting.close(cancel=True)
    small.wait_for((1, 0), small.requests, timeout_s=1)
    assert small.value("llmapi_request_failure", reason="CANCELED") == 1
    assert small.value("llmapi_queue_duration_us") == pytest.approx(5e5, abs=3e5)
    assert len(running.all()) == 99
    small.wait_for((0, 0), small.requests)


def test_a_stop_request_ends_the_request_with_its_id(small):
    """The stopped request ends with a final response and keeps the tokens generated so far."""
    stream = small.stream(
        request_id="7",
        text_input=PROMPT,
        streaming=True,
        sampling_param_max_tokens=3500,
        return_finish_reason=True,
    )
    stream.next()
    assert len(small.stream(request_id="7", text_input="", stop=True).all()) == 1
    assert stream.all()[-1][2]
    small.wait_for((0, 0), small.requests)


def test_sigterm_finishes_requests_in_flight(small):
    """After SIGTERM a stream gets all its tokens, then the server exits with code 0."""
    stream = small.stream(text_input=PROMPT, streaming=True, sampling_param_max_tokens=40)
    stream.next()
    small.server.terminate()
    assert len(stream.all()) == 39
    small.wait_for(0, small.server.poll, timeout_s=30)
