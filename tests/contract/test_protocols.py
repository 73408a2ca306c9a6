"""One suite for every protocol, against a server whose token times are exactly known. Needs only loopback."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import pytest
from tritonclient.grpc import service_pb2 as pb

from loadgen.base.errors import ExitCode, TargetError
from loadgen.protocols.answer import Answer, Client, classify_failure, valid_token_count
from loadgen.protocols.detect import find_model
from loadgen.protocols.endpoint import ClientName, Endpoint
from loadgen.protocols.grpc_messages import output_token_count
from loadgen.protocols.reference import MODEL, Count, Fault, Script
from loadgen.protocols.triton_grpc import GrpcControlPlane
from loadgen.protocols.triton_http import HttpControlPlane
from support.servers.raw import relay
from support.servers.reference import BLS, client_of, reference_server


@pytest.fixture(scope="module")
def plain_ports() -> Iterator[dict[str, int]]:
    with reference_server("--not-decoupled") as ports:
        yield ports


def control_plane(protocol: str, ports: dict[str, int]) -> GrpcControlPlane | HttpControlPlane:
    address = f"127.0.0.1:{ports[protocol]}"
    return GrpcControlPlane(address) if protocol == "grpc" else HttpControlPlane(address)


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def infer(client: ClientName, protocol: str, ports: dict[str, int]) -> Iterator[Callable[..., Answer]]:
    clients: list[Client] = []

    def _infer(script: Script, *, stream: bool = True, timeout_s: float = 20.0) -> Answer:
        opened = client_of(protocol, ports[protocol], BLS, stream=stream, client=client)
        clients.append(opened)
        return opened.infer(script.prompt(), 8, timeout_s)

    yield _infer
    for each in clients:
        each.close()


def test_every_token_has_its_own_arrival_time(infer: Callable[..., Answer]) -> None:
    """A stream of eight tokens at intervals of 50 ms has eight arrival times, which are not bunched."""
    answer = infer(Script(tokens=8, gap_s=0.05))
    assert (answer.outcome, answer.output_tokens, len(answer.token_times)) == ("ok", 8, 8)
    gaps = [b - a for a, b in pairwise(answer.token_times)]
    # tokens delayed by a fixed-size read or by buffering would arrive together
    assert sum(gap > 0.025 for gap in gaps) >= 6
    assert answer.last == answer.token_times[-1]
    assert answer.ended >= answer.token_times[-1]


def test_a_single_response_without_streaming(infer: Callable[..., Answer]) -> None:
    """Without streaming there are no token times, and no token count unless the server sends one."""
    answer = infer(Script(tokens=5), stream=False)
    assert (answer.outcome, answer.token_times, answer.output_tokens) == ("ok", [], None)
    assert answer.last is not None
    assert answer.received_bytes > 0


@pytest.mark.parametrize("count", ["response", "total"])
def test_the_servers_count_of_tokens_wins(infer: Callable[..., Answer], count: Count) -> None:
    """Five responses of four tokens are 20 tokens, whether the server counts each response or the answer so far."""
    answer = infer(Script(tokens=20, per_response=4, count=count))
    assert (answer.outcome, answer.output_tokens, answer.token_source) == ("ok", 20, "server")
    assert len(answer.token_times) == 5


def test_chunks_are_counted_without_a_count_of_the_server(infer: Callable[..., Answer]) -> None:
    """Five responses of four tokens are five chunks if the server gives no count."""
    answer = infer(Script(tokens=20, per_response=4))
    assert (answer.output_tokens, answer.token_source, len(answer.token_times)) == (5, "chunks", 5)


@pytest.mark.parametrize("count", ["response", "total"])
def test_a_token_whose_text_comes_later_is_a_token(infer: Callable[..., Answer], count: Count) -> None:
    """Responses with tokens and still without text have arrival times, and the first of them is the first token."""
    answer = infer(Script(tokens=6, count=count, without_text=2, gap_s=0.01))
    assert (answer.output_tokens, len(answer.token_times)) == (6, 6)


def test_the_servers_count_without_streaming(infer: Callable[..., Answer]) -> None:
    """The count of a single response is that of the server."""
    answer = infer(Script(tokens=20, count="total"), stream=False)
    assert (answer.output_tokens, answer.token_source, answer.token_times) == (20, "server", [])


@pytest.mark.parametrize(
    ("fault", "stream", "outcome", "cause"),
    [
        ("reject", True, "rejected", "Exceeds maximum queue size"),
        ("reject", False, "rejected", "Exceeds maximum queue size"),
        ("error", True, "cut_off", "the engine failed"),
        ("error", False, "error", "the engine failed"),
        ("cut", True, "cut_off", ""),
        ("empty", True, "error", "empty answer"),
        ("empty", False, "error", "empty answer"),
    ],
)
def test_failed_requests(
    infer: Callable[..., Answer], protocol: str, fault: Fault, stream: bool, outcome: str, cause: str
) -> None:
    """A rejection, an error inside a response, a broken stream and an empty response are failures with a cause."""
    answer = infer(Script(tokens=2, gap_s=0.01, fault=fault), stream=stream)
    if protocol == "grpc" and fault == "error" and not stream:
        # a decoupled model responds over ModelStreamInfer: first the only response, then the error
        outcome = "cut_off"
    assert answer.outcome == outcome
    assert answer.cause is not None
    assert cause in answer.cause


def test_error_before_any_output(infer: Callable[..., Answer]) -> None:
    """An error message before any output is an error, not a broken stream."""
    answer = infer(Script(tokens=0, fault="error"))
    assert (answer.outcome, answer.cause) == ("error", "the engine failed")


@pytest.mark.parametrize("stream", [True, False])
def test_timeout(infer: Callable[..., Answer], stream: bool) -> None:
    """A request without its last token within the timeout is a timeout, even if output has begun."""
    answer = infer(Script(tokens=2, gap_s=30), timeout_s=0.5, stream=stream)
    assert answer.outcome == "timeout"
    assert len(answer.token_times) == (1 if stream else 0)


KILLED = """
import sys
from gevent.monkey import patch_all
patch_all()
import gevent
from loadgen.protocols.reference import Script
from loadgen.protocols.triton_grpc import prepare
from support.servers.reference import BLS, client_of
prepare(8)
opened = client_of(sys.argv[1], int(sys.argv[2]), BLS, stream=True, client=sys.argv[3])
request = gevent.spawn(opened.infer, Script(tokens=2, gap_s=30).prompt(), 8, 20.0)
gevent.sleep(0.5)
request.kill()
answer = request.value.answer
print(len(answer.token_times), answer.last == answer.token_times[-1] < answer.ended)
"""


def test_a_killed_request_keeps_its_tokens(client: ClientName, protocol: str, ports: dict[str, int]) -> None:
    """A stream that is killed while it waits for its second token, as by a stop of Locust, keeps the first.

    It needs a process that gevent has patched, as it has Locust's.
    """
    command = [sys.executable, "-c", KILLED, protocol, str(ports[protocol]), client]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["1", "True"], done.stderr


def test_a_client_recovers_from_failures(client: ClientName, protocol: str, ports: dict[str, int]) -> None:
    """After a broken stream, a timeout and a rejection, the same client sends the next request successfully."""
    opened = client_of(protocol, ports[protocol], BLS, stream=True, client=client)
    outcomes = [
        opened.infer(script.prompt(), 8, 0.5).outcome
        for script in (
            Script(fault="cut"),
            Script(),
            Script(first_s=30),
            Script(),
            Script(fault="reject"),
            Script(),
        )
    ]
    opened.close()
    assert outcomes == ["cut_off", "ok", "timeout", "ok", "rejected", "ok"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "nowhere.invalid"])
def test_a_connection_that_cannot_be_made(client: ClientName, protocol: Literal["grpc", "http"], host: str) -> None:
    """The outcome is an error, not a rejection, with a cause that does not contain the address."""
    endpoint = Endpoint(address=f"{host}:1", protocol=protocol, client=client)
    with closing(endpoint.connect(BLS, stream=True)) as opened:
        answer = opened.infer("x", 8, 5.0)
    assert answer.outcome == "error"
    assert answer.cause is not None
    assert "::1" not in answer.cause
    assert "127.0.0.1" not in answer.cause


def test_a_server_that_dies_before_the_first_token(client: ClientName, protocol: str) -> None:
    """If the server exits after it accepted a request, the outcome is an error, not a rejection."""
    with ExitStack() as server:
        ports = server.enter_context(reference_server())
        with closing(client_of(protocol, ports[protocol], BLS, stream=True, client=client)) as opened:
            assert opened.infer(Script().prompt(), 8, 5.0).outcome == "ok"
            threading.Timer(0.3, server.close).start()
            answer = opened.infer(Script(first_s=30).prompt(), 8, 20.0)
    assert answer.outcome == "error"


def test_a_server_that_comes_back(client: ClientName, protocol: str, ports: dict[str, int]) -> None:
    """After twenty failed requests, the first one after the outage is answered: the client does not back off."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with closing(client_of(protocol, port, BLS, stream=True, client=client)) as opened:
        assert {opened.infer(Script().prompt(), 8, 5.0).outcome for _ in range(20)} == {"error"}
        with relay(port, ports[protocol]):
            assert opened.infer(Script().prompt(), 8, 5.0).outcome == "ok"
            opened.close()


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_ipv6(client: ClientName, protocol: Literal["grpc", "http"], ports: dict[str, int]) -> None:
    """A target such as http://[::1]:8000 works over both protocols."""
    with relay(0, ports[protocol], "::1") as port:
        endpoint = replace(Endpoint.parse(f"{protocol}://[::1]:{port}", protocol), client=client)
        model, _ = endpoint.find_model(requested=None, stream=True)
        with closing(endpoint.connect(model, stream=True)) as opened:
            assert opened.infer(Script().prompt(), 8, 5.0).outcome == "ok"


@pytest.mark.parametrize(
    ("datatype", "raw", "tokens"),
    [
        ("INT32", (7).to_bytes(4, "little"), 7),
        ("INT64", (7).to_bytes(8, "little"), 7),
        ("INT64", (2**32 + 7).to_bytes(8, "little"), None),
        ("UINT32", (2**32 - 1).to_bytes(4, "little"), None),
        ("INT32", b"\xff\xff\xff\xff", None),  # -1
        ("INT32", b"", None),
    ],
)
def test_grpc_count_of_tokens(datatype: str, raw: bytes, tokens: int | None) -> None:
    """The server's count is decoded by its data type, and ignored beyond the range of the requests table."""
    response = pb.ModelInferResponse(raw_output_contents=[raw])
    response.outputs.add(name="num_output_tokens", datatype=datatype, shape=[1])
    assert output_token_count(response) == tokens


@pytest.mark.parametrize(
    ("code", "message", "outcome"),
    [
        # Triton's messages when it does not accept a request, with and without a code
        ("UNAVAILABLE", "[request id: 1] Exceeds maximum queue size", "rejected"),
        ("", "[request id: 1] Exceeds maximum queue size", "rejected"),
        ("UNAVAILABLE", "Request for unknown model: 'm' has no available versions", "rejected"),
        ("UNAVAILABLE", "'m' version 1 is not at ready state", "rejected"),
        ("UNAVAILABLE", "Server is stopping", "rejected"),
        ("503", "Server exiting", "rejected"),
        ("503", "", "rejected"),
        # messages of gRPC and proxies about connections
        ("UNAVAILABLE", "Stream removed (Socket closed)", "error"),
        ("UNAVAILABLE", "Stream removed (GOAWAY received; Error code: 0; Debug Text: )", "error"),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: UNAVAILABLE: Socket closed", "error"),
        ("UNAVAILABLE", "recvmsg:Connection reset by peer", "error"),
        ("UNAVAILABLE", "some day gRPC says it otherwise", "error"),
        ("503", "upstream connect error or disconnect/reset before headers", "error"),
        ("INTERNAL", "Stream removed (RST_STREAM (Received RST_STREAM with error code 2))", "error"),
        # the same responses of a proxy over both protocols
        ("UNAVAILABLE", "Received http2 header with status: 502", "error"),
        ("502", "Bad Gateway", "error"),
        ("UNAVAILABLE", "Received http2 header with status: 503", "rejected"),
        ("503", "no available server", "rejected"),
    ],
)
def test_rejected_or_error(code: str, message: str, outcome: str) -> None:
    """Only a message of the server is a rejection; a broken connection is an error, and `cut_off` after output."""
    assert classify_failure(code, message, began=False)[0] == outcome
    assert classify_failure(code, message, began=True)[0] == "cut_off"


@pytest.mark.parametrize(
    ("value", "tokens"), [(0, 0), (2**31 - 1, 2**31 - 1), (2**31, None), (-1, None), (1.5, None), ("7", None)]
)
def test_valid_token_count(value: object, tokens: int | None) -> None:
    """An impossible count of output tokens is ignored."""
    assert valid_token_count(value) == tokens


def test_a_stream_without_final_answer(client: ClientName, ports: dict[str, int]) -> None:
    """A gRPC stream that ends without Triton's final flag was cut off."""
    with closing(client_of("grpc", ports["grpc"], BLS, stream=True, client=client)) as opened:
        answer = opened.infer(Script(fault="unfinished").prompt(), 8, 5.0)
    assert (answer.outcome, answer.cause) == ("cut_off", "the stream ended without a final answer")


def test_detection(protocol: str, ports: dict[str, int]) -> None:
    """The model and its tensors are discovered from the server, identically over both protocols."""
    server = control_plane(protocol, ports)
    assert find_model(server, requested=None, stream=True) == BLS
    server.close()


def test_a_model_that_is_not_served_is_refused(protocol: str, ports: dict[str, int]) -> None:
    """A requested model that the server does not have is refused, with the list of available models."""
    server = control_plane(protocol, ports)
    with pytest.raises(TargetError, match=f"no ready model 'llama'; it serves: {MODEL}; set --model") as caught:
        find_model(server, requested="llama", stream=True)
    assert caught.value.exit_code == ExitCode.USAGE
    server.close()


def test_streaming_needs_a_decoupled_model(client: ClientName, protocol: str, plain_ports: dict[str, int]) -> None:
    """Streaming from a model that is not decoupled is refused, with the setting to change; otherwise it works."""
    server = control_plane(protocol, plain_ports)
    with pytest.raises(TargetError, match="decoupled: true"):
        find_model(server, requested=None, stream=True)
    model = find_model(server, requested=None, stream=False)
    server.close()
    opened = client_of(protocol, plain_ports[protocol], model, stream=False, client=client)
    assert opened.infer(Script().prompt(), 8, 5.0).outcome == "ok"
    assert opened.infer(Script(fault="error").prompt(), 8, 5.0).outcome == "error"
    opened.close()


def test_unreachable(protocol: str) -> None:
    """An address without a server is refused, with the port to check."""
    server = "a gRPC server" if protocol == "grpc" else "an HTTP server"
    with pytest.raises(TargetError, match=rf"cannot reach {server} at 127\.0\.0\.1:1 .*usually 800[01]") as caught:
        control_plane(protocol, {protocol: 1})
    assert caught.value.exit_code == ExitCode.USAGE


def test_not_triton(protocol: str, ports: dict[str, int]) -> None:
    """gRPC to an HTTP port, or HTTP to a gRPC port, is refused with the port to check."""
    other = {"grpc": ports["http"], "http": ports["grpc"]}
    with pytest.raises(TargetError, match=r"usually 800[01]"):
        control_plane(protocol, other)
