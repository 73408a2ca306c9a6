"""The model of the ``llmapi`` mode in a real Triton server, over an emulated LLM API: what clients and scrapers see."""

import asyncio
import dataclasses
import http.client
import json
import queue
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from loadgen.local.engine.core import Engine, Sequence, play
from loadgen.local.engine.llmapi_repository import render_llmapi_repository
from loadgen.local.engine.profile import load_profile
from loadgen.local.engine.tokens import encode
from loadgen.local.triton import TritonServer, is_ready
from loadgen.programs.find import find_tritonserver
from support.runs.stack_runs import FOUR_PLACES

pytestmark = pytest.mark.timeout(600)  # on a fresh machine the first test fetches the server
FILES = Path(__file__).parents[2] / "charts/triton-trtllm/files"
MODEL = "/v2/models/tensorrt_llm"
PROMPT = "The quick brown fox jumps over the lazy dog, and then it does so again."
DTYPES = {bool: ("BOOL", np.bool_), int: ("INT32", np.int32), str: ("BYTES", np.object_)}
PERF = ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")
PLACES = 4


class Replica:
    """A server whose engine has this many places."""

    def __init__(self, folder: Path, places: int) -> None:
        profile = load_profile(FOUR_PLACES)
        self.engine = dataclasses.replace(profile.engine, max_batch_size=places)
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
        deadline = time.monotonic() + 60
        while not asyncio.run(is_ready(self.server.http)):
            assert self.server.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < deadline, "not ready after 60 s"
            time.sleep(0.05)

    def kill(self) -> None:
        self.server.kill()
        while self.server.poll() is None:
            time.sleep(0.01)

    def value(self, name: str, **labels: str) -> float:
        """One series of the model; NaN while there is none."""
        with urllib.request.urlopen(f"http://{self.server.metrics}/metrics", timeout=5) as answer:
            page = answer.read().decode()
        for line in page.splitlines():
            if line.startswith(name + "{"):
                found = dict(re.findall(r'(\w+)="([^"]*)"', line))
                if found == {"model": "tensorrt_llm", "version": "1", **labels}:
                    return float(line.rpartition(" ")[2])
        return float("nan")

    def requests(self) -> tuple[float, float]:
        """How many run and how many wait."""
        return self.value("llmapi_requests", state="running"), self.value("llmapi_requests", state="waiting")

    def comes_to(self, expected: object, measure: object, timeout_s: float = 10) -> None:
        deadline = time.monotonic() + timeout_s
        while (last := measure()) != expected:
            assert time.monotonic() < deadline, f"{last} and not {expected} after {timeout_s} s"
            time.sleep(0.05)

    def post(self, path: str, **fields: object) -> tuple[int, str]:
        request = urllib.request.Request(
            f"http://{self.server.http}{MODEL}/{path}",
            data=json.dumps(fields).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def posted(self, **fields: object) -> http.client.HTTPConnection:
        """A connection on which was asked and nothing is read: closed, it is a client that has lost interest."""
        connection = http.client.HTTPConnection(self.server.http, timeout=30)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"{MODEL}/generate_stream", json.dumps(fields), headers)
        return connection


class Stream:
    """One gRPC stream with one request."""

    def __init__(self, replica: Replica, *, request_id: str = "", **fields: object) -> None:
        self._client = grpcclient.InferenceServerClient(
            replica.server.grpc, channel_args=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._answers: queue.Queue[tuple[int, object, InferenceServerException | None]] = queue.Queue()
        self._client.start_stream(lambda result, error: self._answers.put((time.monotonic_ns(), result, error)))
        self.sent_ns = time.monotonic_ns()
        self._client.async_stream_infer(
            "tensorrt_llm",
            [self._tensor(name, value) for name, value in fields.items()],
            request_id=request_id,
            enable_empty_final_response=True,
        )

    @staticmethod
    def _tensor(name: str, value: object) -> object:
        datatype, numpy_type = DTYPES[type(value)]
        tensor = grpcclient.InferInput(name, [1], datatype)
        tensor.set_data_from_numpy(np.array([value], numpy_type))
        return tensor

    def next(self, timeout_s: float = 30) -> tuple[int, dict[str, list[object]], bool]:
        """When the next response came, its outputs and whether it is the last."""
        at_ns, result, error = self._answers.get(timeout=timeout_s)
        if error is not None:
            raise error
        response = result.get_response()
        outputs = {o.name: result.as_numpy(o.name).tolist() for o in response.outputs}
        return at_ns, outputs, response.parameters["triton_final_response"].bool_param

    def all(self) -> list[tuple[int, dict[str, list[object]], bool]]:
        responses = [self.next()]
        while not responses[-1][2]:
            responses.append(self.next())
        self.close()
        return responses

    def close(self, *, cancel: bool = False) -> None:
        self._client.stop_stream(cancel_requests=cancel)
        self._client.close()


@pytest.fixture(scope="module")
def replica(tmp_path_factory) -> Iterator[Replica]:
    replica = Replica(tmp_path_factory.mktemp("replica"), PLACES)
    yield replica
    replica.kill()


@pytest.fixture
def small(tmp_path) -> Iterator[Replica]:
    replica = Replica(tmp_path, 1)
    yield replica
    replica.kill()


def test_a_stream_brings_one_word_per_token_and_ends_on_its_last_one(replica):
    fields = {"text_input": PROMPT, "sampling_param_max_tokens": 12, "return_finish_reason": True}
    responses = Stream(replica, streaming=True, **fields).all()
    words = [outputs["text_output"][0] for _, outputs, _ in responses]
    assert all(re.fullmatch(rb" [a-z]+", word) for word in words)
    assert [final for _, _, final in responses] == [False] * 11 + [True]
    assert responses[-1][1]["finish_reason"] == [b"length"]
    whole = Stream(replica, streaming=False, **fields).all()
    assert [outputs["text_output"] for _, outputs, _ in whole] == [[b"".join(words)]]


def test_times_are_those_of_the_engine_on_the_machines_monotonic_clock(replica):
    """The stand-in tells them in whole microseconds, as the LLM API does."""
    asked = {"sampling_param_max_tokens": 20, "sampling_param_return_perf_metrics": True}
    responses = Stream(replica, text_input=PROMPT, streaming=True, **asked).all()
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
    status, body = replica.post("generate", text_input=PROMPT, sampling_param_max_tokens=4)
    assert status == 200
    assert len(json.loads(body)["text_output"].split()) == 4
    status, body = replica.post("generate_stream", text_input=PROMPT, sampling_param_max_tokens=4, streaming=True)
    events = [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line]
    assert status == 200
    assert [len(event["text_output"].split()) for event in events] == [1] * 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lora_name": "mine"}, "unexpected inference input 'lora_name'"),
        ({"sampling_param_best_of": 2}, "sampling_param_best_of must be 1"),
        ({"sampling_param_stop": "END"}, "knows no stop words"),
        ({"text_input": "word " * 5000}, r"Prompt length \(5000\) exceeds maximum input length \(4095\)"),
    ],
)
def test_what_cannot_be_done_comes_back_as_an_error(replica, fields, message):
    with pytest.raises(InferenceServerException, match=message):
        Stream(replica, **{"text_input": PROMPT, **fields}).all()


def test_counters_and_gauges_are_the_clients_truth_in_an_overload_also_before_anything_has_ended(replica):
    """Twelve requests at once at four places, 150 tokens each: nothing ends for more than 3 s, and eight wait.

    Then, with 1 s held back, four have computed for a second or more and eight have waited as long: the ratio is
    about 2 while no request has ended. In the end both sums are the engine's own of all requests to the microsecond,
    and the client's by its own clock within 3 %.
    """
    counters = ("llmapi_queue_duration_us", "llmapi_compute_duration_us", "llmapi_request_success")
    own = ("nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us")
    time.sleep(0.5)  # the model writes every 0.2 s: what other tests did must be written by now
    before = {name: replica.value(name) for name in (*counters, *own)}
    observed = replica.value("llmapi_time_to_first_token_ms_count")
    answers: queue.Queue[tuple[float, float, float, float]] = queue.Queue()

    def one() -> None:
        stream = Stream(
            replica,
            text_input=PROMPT,
            streaming=True,
            sampling_param_max_tokens=150,
            sampling_param_return_perf_metrics=True,
        )
        responses = stream.all()
        arrival_ns, scheduled_ns, first_ns, last_ns = (responses[-1][1][name][0] for name in PERF)
        waited_ns = responses[0][0] - stream.sent_ns - (first_ns - scheduled_ns)
        computed_ns = responses[-1][0] - responses[0][0] + (first_ns - scheduled_ns)
        answers.put((scheduled_ns - arrival_ns, last_ns - scheduled_ns, waited_ns, computed_ns))

    threads = [threading.Thread(target=one) for _ in range(12)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    replica.comes_to((4, 8), replica.requests, timeout_s=2)
    assert 0 < replica.value("llmapi_kv_cache_usage_ratio") < 1
    time.sleep(max(0.0, started + 2.8 - time.monotonic()))
    early = {name: replica.value(name) - before[name] for name in counters}
    assert early["llmapi_request_success"] == 0
    assert early["llmapi_queue_duration_us"] > 8e6
    assert 1.5 < early["llmapi_queue_duration_us"] / early["llmapi_compute_duration_us"] < 2.5
    for thread in threads:
        thread.join()
    replica.comes_to((0, 0), replica.requests)
    assert replica.value("llmapi_kv_cache_usage_ratio") == 0
    after = {name: replica.value(name) - before[name] for name in before}
    queue_ns, compute_ns, waited_ns, computed_ns = (sum(x) for x in zip(*answers.queue, strict=True))
    assert after["llmapi_request_success"] == 12
    assert abs(after["llmapi_queue_duration_us"] - queue_ns / 1000) <= 1
    assert abs(after["llmapi_compute_duration_us"] - compute_ns / 1000) <= 1
    assert after["llmapi_queue_duration_us"] == pytest.approx(waited_ns / 1000, rel=0.03)
    assert after["llmapi_compute_duration_us"] == pytest.approx(computed_ns / 1000, rel=0.03)
    assert replica.value("llmapi_time_to_first_token_ms_count") - observed == 12
    # What the server counts of such a model by itself is the handing over.
    assert sum(after[name] for name in own) < 0.1 * after["llmapi_compute_duration_us"]


@pytest.mark.parametrize("wire", ["http", "grpc"])
def test_a_client_that_hangs_up_gives_its_place_to_the_next(small, wire):
    """The only place is taken for 80 s; the request that waits for it has its first token soon after the hang-up."""
    fields = {"text_input": PROMPT, "streaming": True, "sampling_param_max_tokens": 3500}
    if wire == "http":
        connection = small.posted(**fields)
    else:
        stream = Stream(small, **fields)
        stream.next()
    small.comes_to((1, 0), small.requests)
    waiting = Stream(small, text_input=PROMPT, streaming=True, sampling_param_max_tokens=5)
    small.comes_to((1, 1), small.requests)
    if wire == "http":
        connection.close()
    else:
        stream.close(cancel=True)
    assert len(waiting.all()) == 5
    small.comes_to((0, 0), small.requests)
    assert small.value("llmapi_request_failure", reason="CANCELED") == 1
    assert small.value("llmapi_request_success") == 1


def test_a_request_that_is_cancelled_while_it_waits_never_gets_a_place(small):
    running = Stream(small, text_input=PROMPT, streaming=True, sampling_param_max_tokens=100)
    running.next()
    # Over HTTP this server notices a client that has gone only when it has something to send to it.
    waiting = Stream(small, text_input=PROMPT, streaming=True, sampling_param_max_tokens=3500)
    time.sleep(0.5)
    waiting.close(cancel=True)
    small.comes_to((1, 0), small.requests, timeout_s=1)
    assert small.value("llmapi_request_failure", reason="CANCELED") == 1
    assert small.value("llmapi_queue_duration_us") == pytest.approx(5e5, abs=3e5)
    assert len(running.all()) == 99
    small.comes_to((0, 0), small.requests)


def test_a_stop_with_a_requests_id_ends_it_with_what_there_is(small):
    stream = Stream(
        small,
        request_id="7",
        text_input=PROMPT,
        streaming=True,
        sampling_param_max_tokens=3500,
        return_finish_reason=True,
    )
    stream.next()
    assert len(Stream(small, request_id="7", text_input="", stop=True).all()) == 1
    assert stream.all()[-1][2]
    small.comes_to((0, 0), small.requests)


def test_sigterm_lets_what_is_in_flight_finish_and_the_engine_end(small):
    stream = Stream(small, text_input=PROMPT, streaming=True, sampling_param_max_tokens=40)
    stream.next()
    small.server.terminate()
    assert len(stream.all()) == 39
    small.comes_to(0, small.server.poll, timeout_s=30)
