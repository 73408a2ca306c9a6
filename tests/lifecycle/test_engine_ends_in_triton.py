"""The emulated engine inside a real Triton server: cancellation, full queues and termination."""

import dataclasses
import http.client
import json
import math
import os
import queue
import random
import signal
import threading
import time
from collections.abc import Iterator

import psutil
import pytest
from tritonclient.utils import InferenceServerException

from loadgen.local.engine.profile import load_profile
from loadgen.local.engine.repository import RepositoryOptions
from loadgen.local.leftovers import remove_shared_memory
from loadgen.local.triton import DRAINED_LOG_LINE
from support.runs.stack_runs import FOUR_PLACES
from support.servers.engine_replica import FRONTS, Replica
from support.servers.triton import PROMPT

pytestmark = pytest.mark.timeout(600)  # on a fresh machine the first test downloads the server


@pytest.fixture(scope="module")
def replica(tmp_path_factory) -> Iterator[Replica]:
    replica = Replica(tmp_path_factory.mktemp("replica"), load_profile(FOUR_PLACES), RepositoryOptions())
    yield replica
    replica.kill()


@pytest.fixture
def small(tmp_path) -> Iterator[Replica]:
    """Yield a replica that runs one request and queues one more, in the server and in the engine."""
    demo = load_profile(FOUR_PLACES)
    engine = dataclasses.replace(demo.engine, max_batch_size=1, max_queue_size=1)
    options = RepositoryOptions(bls_instance_count=1, bls_max_queue_size=1)
    replica = Replica(tmp_path, dataclasses.replace(demo, engine=engine), options)
    yield replica
    if replica.process.poll() is None:
        replica.kill()


@pytest.mark.parametrize("streaming", [True, False])
def test_a_cancelled_request_frees_its_instance_and_its_slot(replica, streaming):
    """A waiting request starts once a running one is cancelled, and the engine has no cancelled requests left."""
    running = [
        replica.stream("tensorrt_llm_bls", text_input=PROMPT, max_tokens=1000, stream=streaming) for _ in range(4)
    ]
    time.sleep(0.5)
    waiting = replica.stream("tensorrt_llm_bls", text_input=PROMPT, max_tokens=2, stream=True)
    with pytest.raises(queue.Empty):
        waiting.next(timeout_s=0.5)
    running[0].close(cancel=True)
    assert waiting.next(timeout_s=5)[1]["text_output"]
    for stream in running[1:]:
        stream.close(cancel=True)
    waiting.all()
    deadline = time.monotonic() + 20
    active = math.inf
    while active > 1 and time.monotonic() < deadline:
        # The gauge is that of the last iteration, which had this request alone once the cancelled ones were gone.
        replica.stream("ensemble", text_input=PROMPT, max_tokens=12, stream=True).all()
        active = replica.samples()['nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active",version="1"}']
    assert active == 1


def test_a_cancelled_request_leaves_the_engine(replica):
    """The engine runs no more iterations after its only request was cancelled."""
    ids = {"input_ids": [1, 2, 3], "input_lengths": 3, "request_output_len": 1000, "streaming": True}
    stream = replica.stream("tensorrt_llm", ids)
    stream.next()
    stream.close(cancel=True)
    time.sleep(0.5)
    counter = 'nv_trt_llm_general_metrics{general_type="iteration_counter",model="tensorrt_llm",version="1"}'
    stopped = replica.samples()[counter]
    time.sleep(0.3)
    assert replica.samples()[counter] == stopped


def test_the_stop_input_ends_a_request_by_its_id(replica):
    """A request with the input `stop` ends the running request with the same id."""
    ids = {"input_ids": [1, 2, 3], "input_lengths": 3, "request_output_len": 1000, "streaming": True}
    running = replica.stream("tensorrt_llm", ids, request_id="to-be-stopped")
    running.next()
    zero = {"input_ids": [0], "input_lengths": 0, "request_output_len": 0, "stop": True}
    assert replica.stream("tensorrt_llm", zero, request_id="to-be-stopped").all()[-1][2]
    rest = running.all()
    assert len(rest) < 100
    assert rest[-1][1]["sequence_length"] == [0]


def test_many_short_and_cancelled_requests_crash_no_process(replica):
    """Every request gets all its tokens while others are cancelled, and all processes of the server survive.

    Without the models' protection, the stub frees tensors from threads that do not hold the interpreter's lock.
    Clients cancel by closing HTTP connections: cancelled gRPC streams crash the gRPC handler of this server once in
    thousands of times, independent of the stub (triton-inference-server/server#8034).
    """
    pids = {process.pid for process in replica.processes()}
    cancelled = replica.counter("nv_inference_request_failure", "ensemble", reason="OTHER")
    served: queue.Queue[int] = queue.Queue()
    disconnected: queue.Queue[str] = queue.Queue()
    end = time.monotonic() + 4

    def send_requests(seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < end:
            max_tokens = rng.randint(1, 6)
            front = rng.choice(FRONTS)
            fields = {"text_input": PROMPT, "max_tokens": max_tokens, "stream": True, "return_perf_metrics": True}
            if rng.random() < 0.3:
                replica.post_and_hang_up(f"{front}/generate_stream", after_s=rng.random() * 0.2, **fields)
                disconnected.put(front)
            else:
                stream = replica.stream(front, outputs=rng.choice([None, ["text_output"]]), **fields)
                served.put(max_tokens - len([1 for _, outputs, _ in stream.all() if outputs]))

    threads = [threading.Thread(target=send_requests, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    missing = [served.get() for _ in range(served.qsize())]
    assert len(missing) > 20
    assert set(missing) == {0}
    assert disconnected.qsize() > 10
    assert replica.counter("nv_inference_request_failure", "ensemble", reason="OTHER") > cancelled
    assert {process.pid for process in replica.processes()} == pids


def test_requests_beyond_the_queue_are_rejected(small):
    """The engine and the server each reject a request when their queue is full, with their own message."""
    fields = {"text_input": PROMPT, "max_tokens": 60, "stream": True}
    for model, message in (
        ("ensemble", "Maximum queue size of 1 has been reached, please try again later"),
        ("tensorrt_llm_bls", "Exceeds maximum queue size"),
    ):
        running = small.stream(model, **fields)
        running.next()
        waiting = small.stream(model, **fields)
        time.sleep(0.3)
        with pytest.raises(InferenceServerException, match=message):
            small.stream(model, **fields).all()
        assert len([1 for _, outputs, _ in running.all() if outputs]) == 59
        assert len([1 for _, outputs, _ in waiting.all() if outputs]) == 60


def test_sigterm_finishes_requests_in_flight_and_leaves_nothing_behind(small):
    """After SIGTERM a stream gets all its tokens, then the server exits without processes or shared memory."""
    processes = small.processes()
    assert len(processes) == 5  # the server and one process for each model but the ensemble
    assert len(small.shared_memory()) == 4
    stream = small.stream("tensorrt_llm_bls", text_input=PROMPT, max_tokens=40, stream=True)
    stream.next()
    small.process.send_signal(signal.SIGTERM)
    assert len([1 for _, outputs, _ in stream.all() if outputs]) == 39
    assert small.process.wait(timeout=30) == 0
    assert DRAINED_LOG_LINE in small.log.read_text()
    assert psutil.wait_procs(processes, timeout=5)[1] == []
    assert small.shared_memory() == []


def test_killing_the_process_group_of_a_busy_server_ends_all_processes(small):
    """SIGKILL to the process group ends the server and its stubs while requests run and wait."""
    processes = small.processes()
    body = json.dumps({"text_input": PROMPT, "max_tokens": 1000, "stream": True})
    running, waiting = (http.client.HTTPConnection("127.0.0.1", small.http, timeout=10) for _ in FRONTS)
    running.request("POST", "/v2/models/tensorrt_llm_bls/generate_stream", body)
    with running.getresponse() as answer:
        assert answer.readline().startswith(b"data: ")
        waiting.request("POST", "/v2/models/ensemble/generate_stream", body)
        os.killpg(small.process.pid, signal.SIGKILL)
        small.process.wait(10)
        assert psutil.wait_procs(processes, timeout=10)[1] == []
    running.close()
    waiting.close()
    remove_shared_memory(small.prefix)
    assert small.shared_memory() == []
