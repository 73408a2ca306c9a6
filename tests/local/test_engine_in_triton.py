"""The emulated engine inside a real Triton server: what a client sees, what the server counts, what is left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import http.client
import json
import os
import queue
import random
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from loadgen.local.engine.config import EngineProfile
from loadgen.local.engine.core import Engine, Sequence, play
from loadgen.local.engine.profile import load_profile
from loadgen.local.engine.repository import RepositoryOptions, render_repository
from loadgen.local.engine.tokens import encode
from loadgen.local.leftovers import SHARED_MEMORY, remove_shared_memory
from loadgen.local.loopback import free_ports
from loadgen.local.triton import DRAINED_LOG_LINE, is_ready, tritonserver_command
from loadgen.programs.find import find_tritonserver
from support.runs.stack_runs import FOUR_PLACES

pytestmark = pytest.mark.timeout(600)  # on a fresh machine the first test fetches the server
FRONTS = ("tensorrt_llm_bls", "ensemble")
PROMPT = "The quick brown fox jumps over the lazy dog, and then it does so again."
DTYPES = {bool: ("BOOL", np.bool_), int: ("INT32", np.int32), str: ("BYTES", np.object_)}
PERF = ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")


class Replica:
    """One Triton server in a process group of its own."""

    def __init__(self, folder: Path, profile: EngineProfile, options: RepositoryOptions) -> None:
        render_repository(folder / "models", profile, options=options)
        self.profile = profile
        self.log = folder / "triton.log"
        self.http, self.grpc, self.metrics = free_ports(3)
        self.prefix = f"loadgen-test-{self.grpc}_"
        argv, env = tritonserver_command(
            find_tritonserver(),
            folder / "models",
            http_port=self.http,
            grpc_port=self.grpc,
            metrics_port=self.metrics,
            shm_prefix=self.prefix,
        )
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        deadline = time.monotonic() + 60
        while not asyncio.run(is_ready(f"127.0.0.1:{self.http}")):
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < deadline, "not ready after 60 s"
            time.sleep(0.05)

    def family(self) -> list[psutil.Process]:
        server = psutil.Process(self.process.pid)
        return [server, *server.children(recursive=True)]

    def shared_memory(self) -> list[str]:
        return [path.name for path in SHARED_MEMORY.glob(f"{self.prefix}*")]

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        remove_shared_memory(self.prefix)

    def samples(self) -> dict[str, float]:
        """Return the metrics: each line's name with labels, and its value."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}

    def counter(self, name: str, model: str, *, reason: str | None = None) -> float:
        labels = f'model="{model}",' + (f'reason="{reason}",' if reason else "") + 'version="1"'
        return self.samples()[f"{name}{{{labels}}}"]

    def post(self, path: str, **fields: object) -> tuple[int, str]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}/v2/models/{path}",
            data=json.dumps(fields).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def post_and_hang_up(self, path: str, *, after_s: float, **fields: object) -> None:
        """Close the connection after a while, answered or not, as a client does that has lost interest."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
        connection.request("POST", f"/v2/models/{path}", json.dumps(fields), {"Content-Type": "application/json"})
        time.sleep(after_s)
        connection.close()


class Stream:
    """One gRPC stream with one request."""

    def __init__(
        self,
        replica: Replica,
        model: str,
        inputs: dict[str, object] | None = None,
        *,
        request_id: str = "",
        outputs: list[str] | None = None,
        **fields: object,
    ) -> None:
        self._client = grpcclient.InferenceServerClient(
            f"127.0.0.1:{replica.grpc}", channel_args=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._answers: queue.Queue[tuple[int, object, InferenceServerException | None]] = queue.Queue()
        self._client.start_stream(lambda result, error: self._answers.put((time.monotonic_ns(), result, error)))
        self.sent_ns = time.monotonic_ns()
        self._client.async_stream_infer(
            model,
            [self._tensor(name, value) for name, value in (inputs or fields).items()],
            outputs=None if outputs is None else [grpcclient.InferRequestedOutput(name) for name in outputs],
            request_id=request_id,
            enable_empty_final_response=True,
        )

    @staticmethod
    def _tensor(name: str, value: object) -> object:
        first = value[0] if isinstance(value, list) else value
        datatype, numpy_type = DTYPES[type(first)]
        array = np.array([value] if isinstance(value, list) else [[value]], numpy_type)
        tensor = grpcclient.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array)
        return tensor

    def next(self, timeout_s: float = 30) -> tuple[int, dict[str, object], bool]:
        """Return when the next response came, its outputs and whether it is the last."""
        at_ns, result, error = self._answers.get(timeout=timeout_s)
        if error is not None:
            raise error
        response = result.get_response()
        outputs = {o.name: result.as_numpy(o.name).ravel().tolist() for o in response.outputs}
        return at_ns, outputs, response.parameters["triton_final_response"].bool_param

    def all(self) -> list[tuple[int, dict[str, object], bool]]:
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
    replica = Replica(tmp_path_factory.mktemp("replica"), load_profile(FOUR_PLACES), RepositoryOptions())
    yield replica
    replica.kill()


@pytest.fixture
def small(tmp_path) -> Iterator[Replica]:
    """Return a replica with room for one request and a queue for one more, in the server and in the engine."""
    demo = load_profile(FOUR_PLACES)
    engine = dataclasses.replace(demo.engine, max_batch_size=1, max_queue_size=1)
    options = RepositoryOptions(bls_instance_count=1, bls_max_queue_size=1)
    replica = Replica(tmp_path, dataclasses.replace(demo, engine=engine), options)
    yield replica
    if replica.process.poll() is None:
        replica.kill()


@pytest.mark.parametrize("front", FRONTS)
def test_a_stream_brings_one_word_per_token_and_no_more_than_asked(replica, front):
    responses = Stream(replica, front, text_input=PROMPT, max_tokens=12, stream=True).all()
    words = [outputs["text_output"][0] for _, outputs, _ in responses if outputs]
    assert len(words) == 12
    assert all(re.fullmatch(rb" [a-z]+", word) for word in words)
    whole = Stream(replica, front, text_input=PROMPT, max_tokens=12, stream=False).all()
    assert [o["text_output"] for _, o, _ in whole if o] == [[b"".join(words)]]


def test_the_front_model_ends_with_flags_alone_and_the_ensemble_on_its_last_token(replica):
    of_bls = Stream(replica, "tensorrt_llm_bls", text_input=PROMPT, max_tokens=3, stream=True).all()
    assert [(bool(outputs), final) for _, outputs, final in of_bls] == [(True, False)] * 3 + [(False, True)]
    of_ensemble = Stream(replica, "ensemble", text_input=PROMPT, max_tokens=3, stream=True).all()
    assert [(bool(outputs), final) for _, outputs, final in of_ensemble] == [(True, False)] * 2 + [(True, True)]


@pytest.mark.parametrize("front", FRONTS)
def test_token_counts_come_with_each_response_when_asked(replica, front):
    asked = {"return_num_input_tokens": True, "return_num_output_tokens": True}
    streamed = Stream(replica, front, text_input=PROMPT, max_tokens=5, stream=True, **asked).all()
    counts = [(o["num_input_tokens"], o["num_output_tokens"]) for _, o, _ in streamed if o]
    assert counts == [([len(encode(PROMPT))], [1])] * 5
    whole = Stream(replica, front, text_input=PROMPT, max_tokens=5, stream=False, **asked).all()
    assert [o["num_output_tokens"] for _, o, _ in whole if o] == [[5]]


@pytest.mark.parametrize("front", FRONTS)
def test_token_times_are_those_of_the_model_to_the_nanosecond_and_reach_the_client_soon(replica, front):
    responses = Stream(replica, front, text_input=PROMPT, max_tokens=20, stream=True, return_perf_metrics=True).all()
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
def test_only_the_outputs_that_were_asked_for_are_sent(replica, front):
    fields = {"text_input": PROMPT, "max_tokens": 2, "stream": True, "return_perf_metrics": True}
    for names in (["text_output"], ["first_token_time_ns"]):
        responses = Stream(replica, front, outputs=names, **fields).all()
        assert [sorted(outputs) for _, outputs, _ in responses if outputs] == [names, names]


@pytest.mark.parametrize("front", FRONTS)
def test_generate_over_http(replica, front):
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


def test_a_unary_call_is_refused_as_a_decoupled_model_refuses_it(replica):
    client = grpcclient.InferenceServerClient(f"127.0.0.1:{replica.grpc}")
    inputs = [Stream._tensor("text_input", PROMPT), Stream._tensor("max_tokens", 2)]
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
def test_what_the_engine_cannot_do_comes_back_as_an_error(replica, front, changed, message):
    fields = {"text_input": PROMPT, "max_tokens": 2, "stream": True, **changed}
    with pytest.raises(InferenceServerException, match=message):
        Stream(replica, front, **fields).all()


def test_the_metric_families_and_labels_are_those_of_the_real_backend(replica):
    Stream(replica, "tensorrt_llm_bls", text_input=PROMPT, max_tokens=12, stream=True).all()
    samples = replica.samples()

    def values(family: str, label: str) -> dict[str, float]:
        pattern = re.compile(rf'{family}{{(?=.*\bmodel="tensorrt_llm")(?=.*\bversion="1").*\b{label}="(\w+)"')
        return {found[1]: value for name, value in samples.items() if (found := pattern.match(name))}

    requests = values("nv_trt_llm_request_metrics", "request_type")
    assert set(requests) == {"active", "max", "scheduled", "context", "waiting"}
    blocks = values("nv_trt_llm_kv_cache_block_metrics", "kv_cache_block_type")
    assert set(blocks) == {"max", "free", "used", "tokens_per", "reused", "fraction"}
    batcher = values("nv_trt_llm_inflight_batcher_metrics", "inflight_batcher_specific_metric")
    assert set(batcher) == {"total_context_tokens", "generation_requests", "micro_batch_id", "paused_requests"}
    general = values("nv_trt_llm_general_metrics", "general_type")
    assert set(general) == {"timestamp", "iteration_counter"}
    # An idle engine shows its last iterations, as the real one does: one request of 1 block in 160.
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


def test_queue_and_compute_counters_of_the_front_model_agree_with_the_clients_truth(replica):
    """Twelve requests at once at four instances: eight wait, in Triton's queue and nowhere else."""
    queue_us, compute_us = "nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us"
    models = ("tensorrt_llm_bls", "tensorrt_llm")
    before = {(name, m): replica.counter(name, m) for name in (queue_us, compute_us) for m in models}
    results: queue.Queue[tuple[float, float]] = queue.Queue()

    def one() -> None:
        stream = Stream(
            replica, "tensorrt_llm_bls", text_input=PROMPT, max_tokens=40, stream=True, return_perf_metrics=True
        )
        times = [outputs for _, outputs, _ in stream.all() if outputs][-1]
        arrival_ns, last_ns = times["arrival_time_ns"][0], times["last_token_time_ns"][0]
        results.put(((arrival_ns - stream.sent_ns) / 1e3, (last_ns - arrival_ns) / 1e3))

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 0.9  # the first four end after 1 s
    pending = 0.0
    while pending < 8 and time.monotonic() < deadline:
        pending = replica.counter("nv_inference_pending_request_count", "tensorrt_llm_bls")
    for thread in threads:
        thread.join()
    truth = [results.get() for _ in threads]
    deadline = time.monotonic() + 5
    while replica.counter("nv_inference_pending_request_count", "tensorrt_llm_bls") and time.monotonic() < deadline:
        time.sleep(0.05)
    delta = {key: replica.counter(*key) - value for key, value in before.items()}
    assert pending == 8
    # 40 tokens take about 1 s: four requests wait 0 s, four 1 s, four 2 s. What is around the engine takes 4 ms a
    # request on a quiet machine; 200 ms leave room for a busy one.
    around_us = 12 * 200e3
    assert delta[queue_us, "tensorrt_llm_bls"] == pytest.approx(sum(t[0] for t in truth), abs=around_us)
    assert delta[compute_us, "tensorrt_llm_bls"] == pytest.approx(sum(t[1] for t in truth), abs=around_us)
    assert delta[compute_us, "tensorrt_llm_bls"] >= sum(t[1] for t in truth)
    assert delta[queue_us, "tensorrt_llm_bls"] > 8e6
    # The engine's own counters hold the hand-over only, as the real asynchronous backend's do.
    assert delta[queue_us, "tensorrt_llm"] + delta[compute_us, "tensorrt_llm"] < 1e6


@pytest.mark.parametrize("streaming", [True, False])
def test_a_cancelled_request_frees_its_instance_and_its_place_in_the_engine(replica, streaming):
    holders = [
        Stream(replica, "tensorrt_llm_bls", text_input=PROMPT, max_tokens=1000, stream=streaming) for _ in range(4)
    ]
    time.sleep(0.5)
    waiting = Stream(replica, "tensorrt_llm_bls", text_input=PROMPT, max_tokens=2, stream=True)
    with pytest.raises(queue.Empty):
        waiting.next(timeout_s=0.5)
    holders[0].close(cancel=True)
    assert waiting.next(timeout_s=5)[1]["text_output"]
    for holder in holders[1:]:
        holder.close(cancel=True)
    waiting.all()
    settled = Stream(replica, "ensemble", text_input=PROMPT, max_tokens=12, stream=True)
    settled.all()
    active = replica.samples()['nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active",version="1"}']
    assert active == 1


def test_a_cancelled_request_leaves_the_engine(replica):
    ids = {"input_ids": [1, 2, 3], "input_lengths": 3, "request_output_len": 1000, "streaming": True}
    stream = Stream(replica, "tensorrt_llm", ids)
    stream.next()
    stream.close(cancel=True)
    time.sleep(0.5)
    counter = 'nv_trt_llm_general_metrics{general_type="iteration_counter",model="tensorrt_llm",version="1"}'
    stopped = replica.samples()[counter]
    time.sleep(0.3)
    assert replica.samples()[counter] == stopped


def test_the_stop_input_ends_a_generation_by_its_request_id(replica):
    ids = {"input_ids": [1, 2, 3], "input_lengths": 3, "request_output_len": 1000, "streaming": True}
    running = Stream(replica, "tensorrt_llm", ids, request_id="to-be-stopped")
    running.next()
    zero = {"input_ids": [0], "input_lengths": 0, "request_output_len": 0, "stop": True}
    assert Stream(replica, "tensorrt_llm", zero, request_id="to-be-stopped").all()[-1][2]
    rest = running.all()
    assert len(rest) < 100
    assert rest[-1][1]["sequence_length"] == [0]


def test_a_storm_of_short_and_cancelled_requests_breaks_nothing(replica):
    """The stub frees tensors from threads without the interpreter's lock unless the models prevent it.

    Clients cancel by hanging up over HTTP: cancelled gRPC streams kill this server itself once in thousands, in its
    own gRPC handler, stubs or not (triton-inference-server/server#8034).
    """
    processes = {process.pid for process in replica.family()}
    cancelled = replica.counter("nv_inference_request_failure", "ensemble", reason="OTHER")
    served: queue.Queue[int] = queue.Queue()
    hung_up: queue.Queue[str] = queue.Queue()
    end = time.monotonic() + 4

    def storm(seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < end:
            asked = rng.randint(1, 6)
            front = rng.choice(FRONTS)
            fields = {"text_input": PROMPT, "max_tokens": asked, "stream": True, "return_perf_metrics": True}
            if rng.random() < 0.3:
                replica.post_and_hang_up(f"{front}/generate_stream", after_s=rng.random() * 0.2, **fields)
                hung_up.put(front)
            else:
                stream = Stream(replica, front, outputs=rng.choice([None, ["text_output"]]), **fields)
                served.put(asked - len([1 for _, outputs, _ in stream.all() if outputs]))

    threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    missing = [served.get() for _ in range(served.qsize())]
    assert len(missing) > 20
    assert set(missing) == {0}
    assert hung_up.qsize() > 10
    assert replica.counter("nv_inference_request_failure", "ensemble", reason="OTHER") > cancelled
    assert {process.pid for process in replica.family()} == processes


def test_a_full_queue_is_refused_by_the_engine_and_by_the_server_in_their_own_words(small):
    fields = {"text_input": PROMPT, "max_tokens": 60, "stream": True}
    for model, words in (
        ("ensemble", "Maximum queue size of 1 has been reached, please try again later"),
        ("tensorrt_llm_bls", "Exceeds maximum queue size"),
    ):
        running = Stream(small, model, **fields)
        running.next()
        waiting = Stream(small, model, **fields)
        time.sleep(0.3)
        with pytest.raises(InferenceServerException, match=words):
            Stream(small, model, **fields).all()
        assert len([1 for _, outputs, _ in running.all() if outputs]) == 59
        assert len([1 for _, outputs, _ in waiting.all() if outputs]) == 60


def test_sigterm_drains_what_is_in_flight_and_leaves_nothing_behind(small):
    family = small.family()
    assert len(family) == 5  # the server and one process for each model but the ensemble
    assert len(small.shared_memory()) == 4
    stream = Stream(small, "tensorrt_llm_bls", text_input=PROMPT, max_tokens=40, stream=True)
    stream.next()
    small.process.send_signal(signal.SIGTERM)
    assert len([1 for _, outputs, _ in stream.all() if outputs]) == 39
    assert small.process.wait(timeout=30) == 0
    assert DRAINED_LOG_LINE in small.log.read_text()
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert small.shared_memory() == []


def test_the_process_group_of_a_busy_server_ends_as_one(small):
    family = small.family()
    body = json.dumps({"text_input": PROMPT, "max_tokens": 1000, "stream": True})
    running, waiting = (http.client.HTTPConnection("127.0.0.1", small.http, timeout=10) for _ in FRONTS)
    running.request("POST", "/v2/models/tensorrt_llm_bls/generate_stream", body)
    with running.getresponse() as answer:
        assert answer.readline().startswith(b"data: ")
        waiting.request("POST", "/v2/models/ensemble/generate_stream", body)
        os.killpg(small.process.pid, signal.SIGKILL)
        small.process.wait(10)
        assert psutil.wait_procs(family, timeout=10)[1] == []
    running.close()
    waiting.close()
    remove_shared_memory(small.prefix)
    assert small.shared_memory() == []
