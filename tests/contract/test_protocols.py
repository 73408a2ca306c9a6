"""One suite against every protocol, on a server whose token times are exactly known."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise

import pytest

from loadgen.errors import TargetError
from loadgen.protocols.answer import Answer, Client
from loadgen.protocols.detect import Model, find_model
from loadgen.protocols.reference import MODEL, Fault, Script
from loadgen.protocols.triton_grpc import GrpcClient, GrpcControlPlane
from loadgen.protocols.triton_http import HttpClient, HttpControlPlane
from reference_server import reference_server


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with reference_server() as ports:
        yield ports


@pytest.fixture(scope="module")
def plain_ports() -> Iterator[dict[str, int]]:
    with reference_server("--not-decoupled") as ports:
        yield ports


def control_plane(wire: str, ports: dict[str, int]) -> GrpcControlPlane | HttpControlPlane:
    address = f"127.0.0.1:{ports[wire]}"
    return GrpcControlPlane(address) if wire == "grpc" else HttpControlPlane(address)


def client_of(wire: str, port: int, model: Model, *, stream: bool) -> GrpcClient | HttpClient:
    address = f"127.0.0.1:{port}"
    return GrpcClient(address, model, stream=stream) if wire == "grpc" else HttpClient(address, model, stream=stream)


BLS = Model(name=MODEL, family="trtllm", batched=True, decoupled=True, streams=True, counts_tokens=False)


@pytest.fixture(params=["grpc", "http"])
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ask(wire: str, ports: dict[str, int]) -> Iterator[Callable[..., Answer]]:
    clients: list[Client] = []

    def _ask(script: Script, *, stream: bool = True, timeout_s: float = 20.0) -> Answer:
        client = client_of(wire, ports[wire], BLS, stream=stream)
        clients.append(client)
        return client.infer(script.prompt(), 8, timeout_s)

    yield _ask
    for client in clients:
        client.close()


def test_every_token_has_its_own_time(ask: Callable[..., Answer]) -> None:
    """A stream of eight tokens 50 ms apart gives eight arrival times, none before its token was sent."""
    answer = ask(Script(tokens=8, gap_s=0.05))
    assert (answer.outcome, answer.output_tokens, len(answer.token_times)) == ("ok", 8, 8)
    gaps = [b - a for a, b in pairwise(answer.token_times)]
    # held-back tokens (a fixed-size read, a buffering client) would arrive together
    assert sum(gap > 0.025 for gap in gaps) >= 6
    assert answer.last == answer.token_times[-1]
    assert answer.ended >= answer.token_times[-1]


def test_one_answer_without_streaming(ask: Callable[..., Answer]) -> None:
    """Without streaming there is one answer, no token times, and no invented token count."""
    answer = ask(Script(tokens=5), stream=False)
    assert (answer.outcome, answer.token_times, answer.output_tokens) == ("ok", [], None)
    assert answer.last is not None
    assert answer.received_bytes > 0


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
def test_bad_ends(ask: Callable[..., Answer], wire: str, fault: Fault, stream: bool, outcome: str, cause: str) -> None:
    """A refusal, an error inside a good answer, a cut stream and an empty answer are failures with their cause."""
    answer = ask(Script(tokens=2, gap_s=0.01, fault=fault), stream=stream)
    if wire == "grpc" and fault == "error" and not stream:
        # a decoupled model answers over ModelStreamInfer: the one answer came, then the error
        outcome = "cut_off"
    assert answer.outcome == outcome
    assert answer.cause is not None
    assert cause in answer.cause


def test_error_before_any_output(ask: Callable[..., Answer]) -> None:
    """An error message as the first thing of a stream is an error, not a cut stream."""
    answer = ask(Script(tokens=0, fault="error"))
    assert (answer.outcome, answer.cause) == ("error", "the engine failed")


@pytest.mark.parametrize("stream", [True, False])
def test_timeout(ask: Callable[..., Answer], stream: bool) -> None:
    """A request without its last token within the time-out is a time-out, also when output had begun."""
    answer = ask(Script(tokens=2, gap_s=30), timeout_s=0.5, stream=stream)
    assert answer.outcome == "timeout"
    assert len(answer.token_times) == (1 if stream else 0)


def test_a_client_goes_on_after_trouble(wire: str, ports: dict[str, int]) -> None:
    """After a cut stream, a time-out and a refusal the same client carries the next request."""
    client = client_of(wire, ports[wire], BLS, stream=True)
    outcomes = [
        client.infer(script.prompt(), 8, 0.5).outcome
        for script in (
            Script(fault="cut"),
            Script(),
            Script(first_s=30),
            Script(),
            Script(fault="reject"),
            Script(),
        )
    ]
    client.close()
    assert outcomes == ["cut_off", "ok", "timeout", "ok", "rejected", "ok"]


def test_nobody_there(wire: str) -> None:
    """A connection that cannot be made is a failure with a groupable cause, not an exception."""
    client = client_of(wire, 1, BLS, stream=True)
    answer = client.infer("x", 8, 5.0)
    client.close()
    assert answer.outcome in ("error", "rejected")
    assert answer.cause is not None
    assert ":1" not in answer.cause


def test_garbage_in_a_stream(ports: dict[str, int]) -> None:
    """Server-sent events that are not JSON are an error, not a short answer."""
    with closing(client_of("http", ports["http"], BLS, stream=True)) as client:
        answer = client.infer(Script(fault="not_json").prompt(), 8, 5.0)
    assert (answer.outcome, answer.cause) == ("error", "an answer that is not JSON")


def test_a_stream_without_final_answer(ports: dict[str, int]) -> None:
    """A gRPC stream that ends well but without Triton's final flag was cut off."""
    with closing(client_of("grpc", ports["grpc"], BLS, stream=True)) as client:
        answer = client.infer(Script(fault="unfinished").prompt(), 8, 5.0)
    assert (answer.outcome, answer.cause) == ("cut_off", "the stream ended without a final answer")


def test_detection(wire: str, ports: dict[str, int]) -> None:
    """The model and its tensors are read from the server, the same over both protocols."""
    server = control_plane(wire, ports)
    assert find_model(server, wanted=None, stream=True) == BLS
    server.close()


def test_wanted_model_is_not_there(wire: str, ports: dict[str, int]) -> None:
    """A model that is not served is refused with the list of those that are."""
    server = control_plane(wire, ports)
    with pytest.raises(TargetError, match=f"no ready model 'llama'; it serves: {MODEL}; set --model"):
        find_model(server, wanted="llama", stream=True)
    server.close()


def test_streaming_needs_a_decoupled_model(wire: str, plain_ports: dict[str, int]) -> None:
    """Streaming from a model that is not decoupled is refused with the setting to change; one answer is fine."""
    server = control_plane(wire, plain_ports)
    with pytest.raises(TargetError, match="decoupled: true"):
        find_model(server, wanted=None, stream=True)
    model = find_model(server, wanted=None, stream=False)
    server.close()
    client = client_of(wire, plain_ports[wire], model, stream=False)
    assert client.infer(Script().prompt(), 8, 5.0).outcome == "ok"
    assert client.infer(Script(fault="error").prompt(), 8, 5.0).outcome == "error"
    client.close()


def test_unreachable(wire: str) -> None:
    """An address where nobody listens is refused with the port to check."""
    with pytest.raises(TargetError, match=r"cannot reach .* 127\.0\.0\.1:1 .*usually 800[01]"):
        control_plane(wire, {wire: 1})


def test_not_triton(wire: str, ports: dict[str, int]) -> None:
    """gRPC asked of an HTTP port, or HTTP of a gRPC port, is refused with a sentence."""
    other = {"grpc": ports["http"], "http": ports["grpc"]}
    with pytest.raises(TargetError, match=r"usually 800[01]"):
        control_plane(wire, other)
