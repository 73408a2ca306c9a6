"""The null server is the truth of other tests: these show that it is, with clients that are not ours."""

import http.client
import json
import os
import signal
import socket
import threading
from contextlib import closing
from itertools import pairwise

import pytest
import tritonclient.http as triton_http

from loadgen.protocols.detect import find_model
from loadgen.protocols.triton_grpc import GrpcClient, GrpcControlPlane
from loadgen.protocols.triton_http import HttpClient, HttpControlPlane
from support.servers.null_requests import GrpcPeer, events, infer_request, post_events, post_json, posted, text_of
from support.servers.null_server import MODEL, PLAIN_MODEL, TOKEN_BYTES, NoCompilerError, compile_server, times_ns

MS = 1_000_000
FIRST_NS, ITL_NS = 20 * MS, 2 * MS
pytestmark = pytest.mark.timeout(300)  # the first test compiles the server

PROMPT = {"text_input": "hello", "max_tokens": 6}


@pytest.fixture(scope="module", params=["plain", "gateway"])
def server(request, start_null_server):
    gateway = {"gateway": True, "pod": "pod-7"} if request.param == "gateway" else {}
    return start_null_server(first_ms=20, itl_ms=2, **gateway)


@pytest.fixture
def peer(server):
    peer = GrpcPeer(server.grpc)
    yield peer
    peer.close()


def test_it_compiles_without_warnings():
    """With every warning an error."""
    try:
        assert os.access(compile_server(), os.X_OK)
    except NoCompilerError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_clients_of_the_product_find_its_model_and_read_its_answers(server, protocol):
    """Streamed and as one answer; a gateway names the replica."""
    control, client = (GrpcControlPlane, GrpcClient) if protocol == "grpc" else (HttpControlPlane, HttpClient)
    address = f"127.0.0.1:{getattr(server, protocol)}"
    plane = control(address)
    for requested, stream in ((None, True), (None, False), (PLAIN_MODEL, False)):
        model = find_model(plane, requested=requested, stream=stream)
        assert (model.name, model.decoupled) == (requested or MODEL, requested is None)
        connection = client(address, model, stream=stream)
        answer = connection.infer("hello", 6, 30.0)
        assert (answer.outcome, answer.received_bytes, len(answer.token_times)) == ("ok", 6 * TOKEN_BYTES, 6 * stream)
        assert answer.pod in (None, "pod-7")
        connection.close()
    plane.close()


def test_grpcio_reads_streams_and_single_answers(server, peer):
    """One response a token, then an empty final one; ids are returned; two requests share a stream."""
    responses = peer.stream(infer_request(5, name="a"))
    assert [len(text_of(response)) for response in responses] == [TOKEN_BYTES] * 5 + [0]
    assert [response.parameters["triton_final_response"].bool_param for response in responses] == [False] * 5 + [True]
    assert {(response.id, response.model_name) for response in responses} == {("a", MODEL)}
    both = peer.stream(infer_request(5, name="a"), infer_request(3, name="b"))
    assert [sum(response.id == name for response in both) for name in "ab"] == [6, 4]
    whole = peer.stub.ModelInfer(infer_request(4, stream=False, name="c"), timeout=30)
    assert (len(times_ns(text_of(whole))), whole.id, whole.outputs[0].name) == (4, "c", "text_output")
    without_output = infer_request(2)
    del without_output.parameters["triton_enable_empty_final_response"]
    finals = [response.parameters["triton_final_response"].bool_param for response in peer.stream(without_output)]
    assert finals == [False, True]


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_reads_json_and_binary_tensors(server, binary):
    """`infer` with inputs and outputs in either form, as tritonclient and geventhttpclient send it."""
    numpy = pytest.importorskip("numpy")
    inputs = [
        triton_http.InferInput("text_input", [1, 1], "BYTES"),
        triton_http.InferInput("max_tokens", [1, 1], "INT32"),
    ]
    inputs[0].set_data_from_numpy(numpy.array([["hello"]], dtype=object), binary_data=binary)
    inputs[1].set_data_from_numpy(numpy.array([[3]], dtype=numpy.int32), binary_data=binary)
    client = triton_http.InferenceServerClient(f"127.0.0.1:{server.http}")
    outputs = [triton_http.InferRequestedOutput("text_output", binary_data=binary)]
    result = client.infer(PLAIN_MODEL, inputs, outputs=outputs, request_id="mine")
    text = result.as_numpy("text_output").item()
    assert len(times_ns(text.decode() if isinstance(text, bytes) else text)) == 3
    assert result.get_response()["id"] == "mine"
    client.close()


def test_generate_streams_events(server):
    """Chunked server-sent events, one a token; without streaming one JSON object."""
    streamed = [
        event["text_output"] for event in post_events(server.http, f"/v2/models/{MODEL}/generate_stream", PROMPT)
    ]
    assert [len(text) for text in streamed] == [TOKEN_BYTES] * 6
    whole = post_json(server.http, f"/v2/models/{MODEL}/generate", PROMPT)
    assert len(times_ns(whole["text_output"])) == 6


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_openai_streams_and_answers(server, path):
    """Chunks, usage on request, `[DONE]`; without streaming one object with usage."""
    body = {"model": MODEL, "max_tokens": 4, "prompt": "hello", "messages": [{"role": "user", "content": "hello"}]}
    usage = {"prompt_tokens": 0, "completion_tokens": 4, "total_tokens": 4}
    *chunks, counted, done = post_events(
        server.http, path, {**body, "stream": True, "stream_options": {"include_usage": True}}
    )
    texts = [choice.get("text") or choice["delta"]["content"] for chunk in chunks for choice in chunk["choices"]]
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert [len(text) for text in texts] == [TOKEN_BYTES] * 4
    assert reasons == [None, None, None, "length"]
    assert (counted["usage"], counted["choices"], done) == (usage, [], "[DONE]")
    assert post_json(server.http, path, body)["usage"] == usage
    with posted(server.http, path, {**body, "model": "other"}) as response:
        assert response.status == 404


def test_a_gateway_changes_the_headers_of_every_answer(start_null_server):
    """date, server, x-request-id and x-pod-name over HTTP; without a gateway none of them."""
    answers = []
    for server in (start_null_server(gateway=True, pod="pod-7"), start_null_server()):
        for _ in range(2):
            with posted(server.http, f"/v2/models/{MODEL}/generate", PROMPT) as response:
                answers.append({name.lower(): value for name, value in response.getheaders()})
    first, second, *plain = answers
    assert (first["x-pod-name"], second["x-pod-name"], "date" in first, first["server"]) == (
        "pod-7",
        "pod-7",
        True,
        "envoy",
    )
    assert first["x-request-id"] != second["x-request-id"]
    assert [set(headers) for headers in plain] == [{"content-type", "content-length"}] * 2


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tokens_keep_to_absolute_times(start_null_server, protocol):
    """No token is early, a stall does not move the later ones, and the recorded lateness is the true one.

    A token is due at the arrival of the whole request + first + number × gap, by arithmetic from the recorded arrival.
    """
    server = start_null_server(first_ms=20, itl_ms=2)
    peer = GrpcPeer(server.grpc)
    body = {"text_input": "hello", "max_tokens": 100, "id": "paced"}
    stamps: list[int] = []
    with closing(peer), posted(server.http, f"/v2/models/{MODEL}/generate_stream", body) as response:
        if protocol == "grpc":
            list(events(response))
            server.reset()
            answers = peer.stub.ModelStreamInfer(iter([infer_request(100, name="paced")]), timeout=30)
            texts = (text_of(answer.infer_response) for answer in answers)
        else:
            texts = (event["text_output"] for event in events(response))
        for text in texts:
            stamps.extend(times_ns(text))
            if len(stamps) == 3:
                os.kill(server.pid, signal.SIGSTOP)
                threading.Event().wait(0.1)  # the stall itself
                os.kill(server.pid, signal.SIGCONT)
    (arrival,) = server.arrivals()
    late = [stamp - arrival.whole_ns - FIRST_NS - number * ITL_NS for number, stamp in enumerate(stamps)]
    assert (arrival.request_id, arrival.first_byte_ns <= arrival.whole_ns) == ("paced", True)
    assert len(stamps) == 100
    assert stamps == sorted(stamps)
    assert min(late) >= 0
    counters = server.counters()
    assert (counters["tokens"], counters["tokens_blocked"], counters["answers"]) == (100, 0, 1)
    assert counters["late_max_ns"] == max(late)
    median = sorted(late)[49]
    assert median <= counters["late_p50_ns"] <= median * (1 + 1 / 16) + 1  # a bucket of the histogram
    assert any(after < before for before, after in pairwise(late))  # lateness does not accumulate


def test_counts_are_conserved(server):
    """Every request is answered or cancelled, and every token that the server counts is received or was on its way."""
    server.reset()
    received = []
    lock = threading.Lock()

    def grpc_requests():
        peer = GrpcPeer(server.grpc)
        for tokens in range(1, 8):
            count = sum(len(times_ns(text_of(response))) for response in peer.stream(infer_request(tokens)))
            with lock:
                received.append((tokens, count))
        peer.close()

    def http_requests():
        for tokens in range(1, 8):
            body = {"text_input": "hello", "max_tokens": tokens}
            count = len(post_events(server.http, f"/v2/models/{MODEL}/generate_stream", body))
            with lock:
                received.append((tokens, count))

    threads = [threading.Thread(target=run) for run in (grpc_requests, http_requests) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counters = server.counters()
    assert [requested for requested, _ in received] == [count for _, count in received]
    assert (counters["requests"], counters["answers"], counters["cancelled"]) == (56, 56, 0)
    assert counters["tokens"] == sum(count for _, count in received) == 8 * 28


def test_peers_that_leave_are_forgotten(start_null_server):
    """Forty peers of each protocol leave in the middle of an answer, and nothing leaks."""
    server = start_null_server(first_ms=1, itl_ms=1, sanitize=True)
    calls, peers, sockets = [], [], []
    for _ in range(40):
        peers.append(GrpcPeer(server.grpc))
        calls.append(peers[-1].stub.ModelStreamInfer(iter([infer_request(100_000)]), timeout=60))
        next(calls[-1])
        body = json.dumps({"text_input": "hello", "max_tokens": 100_000}).encode()
        sockets.append(socket.create_connection(("127.0.0.1", server.http)))
        head = f"POST /v2/models/{MODEL}/generate_stream HTTP/1.1\r\nHost: null\r\nContent-Length: {len(body)}\r\n\r\n"
        sockets[-1].sendall(head.encode() + body)
        assert sockets[-1].recv(1)
    for number in range(40):
        calls[number].cancel() if number % 2 else peers[number].close()
        sockets[number].close()
    counters = server.wait_for("cancelled", 80)
    assert (counters["requests"], counters["answers"], counters["streams_open"]) == (80, 0, 0)
    for peer in peers:
        peer.close()
    server.wait_for("connections_open", 1)  # the one that asks


def test_http_connections_close_after_their_requests(start_null_server):
    """The last answer of a connection says so."""
    server = start_null_server(close_every=2)
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=30)
    closes = []
    for _ in range(2):
        connection.request("GET", "/v2/health/ready")
        answer = connection.getresponse()
        answer.read()
        closes.append(answer.getheader("connection"))
    connection.close()
    assert closes == [None, "close"]


def test_http_requests_in_pieces_and_several_at_once(start_null_server):
    """Each byte in a write of its own; three requests in one write are answered in turn."""
    server = start_null_server(first_ms=1, itl_ms=1)
    body = b'{"text_input": "hello", "max_tokens": 2}'
    request = b"POST /v2/models/tensorrt_llm_bls/generate_stream HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    for writes in ([request[at : at + 1] for at in range(len(request))] * 3, [request * 3]):
        with socket.create_connection(("127.0.0.1", server.http), timeout=30) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for write in writes:
                sock.sendall(write)
            received = b""
            while received.count(b"0\r\n\r\n") < 3:
                received += sock.recv(65536)
        assert received.count(b"HTTP/1.1 200 OK") == 3
        assert received.count(b"data: ") == 6
