"""gRPC clients against servers that answer with anything. Needs only loopback."""

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import closing, contextmanager
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from loadgen.base.errors import TargetError
from loadgen.protocols.endpoint import ClientName, Endpoint
from support.servers.reference import BLS

PREFIX = "/inference.GRPCInferenceService/"
INPUTS = [
    {"name": "text_input", "datatype": "BYTES", "shape": [-1, 1]},
    {"name": "max_tokens", "datatype": "INT32", "shape": [-1, 1]},
    {"name": "stream", "datatype": "BOOL", "shape": [-1, 1]},
]
GOOD: dict[str, Any] = {
    "ServerMetadata": pb.ServerMetadataResponse(name="fake", version="1"),
    "RepositoryIndex": pb.RepositoryIndexResponse(models=[{"name": "llm", "state": "READY"}]),
    "ModelMetadata": pb.ModelMetadataResponse(name="llm", inputs=INPUTS, outputs=[{"name": "text_output"}]),
    "ModelConfig": pb.ModelConfigResponse(config={"model_transaction_policy": {"decoupled": True}}),
}


class _Raw(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is untyped
    """Answers each call with given bytes, a message, or a function of the context."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers

    def service(self, details: Any) -> Any:
        answer = self._answers[details.method.removeprefix(PREFIX)]

        def unary(_: bytes, context: Any) -> bytes:
            return _content(answer(context) if callable(answer) else answer)

        def stream(_: Iterator[bytes], context: Any) -> Iterator[bytes]:
            yield from (_content(each) for each in answer)

        if details.method.endswith("ModelStreamInfer"):
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


def _content(message: Any) -> bytes:
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())


@contextmanager
def serving(**answers: Any) -> Iterator[str]:
    """Serve the good answers except for these; yields the address."""
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[_Raw(GOOD | answers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait(10)


def fails(code: grpc.StatusCode, details: str) -> Callable[[Any], bytes]:
    def answer(context: Any) -> bytes:
        context.abort(code, details)
        return b""

    return answer


def steps(count: int) -> Any:
    return pb.ModelConfigResponse(
        config={"ensemble_scheduling": {"step": [{"model_name": f"m{number}"} for number in range(count)]}}
    )


@pytest.mark.parametrize(
    ("call", "answer", "message"),
    [
        ("ServerMetadata", b"\xff\xff", "does not answer ServerMetadata"),
        ("ServerMetadata", fails(grpc.StatusCode.UNAUTHENTICATED, "who\n\x1b[31m"), r"requires credentials \(who"),
        ("ServerMetadata", fails(grpc.StatusCode.UNKNOWN, "x" * 5000), "does not answer ServerMetadata"),
        ("RepositoryIndex", b"", "it serves: none|the server serves: none"),
        ("RepositoryIndex", pb.RepositoryIndexResponse(models=[{"version": "1"}]), "the server serves: none"),
        ("RepositoryIndex", b"\x0a\x03\x0a\x01\xff", "does not answer RepositoryIndex"),
        ("ModelMetadata", b"", "no model has the inputs of TensorRT-LLM"),
        ("ModelMetadata", pb.ModelMetadataResponse(inputs=[{"datatype": "BYTES"}]), "has no name"),
        (
            "ModelMetadata",
            pb.ModelMetadataResponse(
                inputs=[*INPUTS[:1], {**INPUTS[1], "shape": [-1, 2**62]}, INPUTS[2]], outputs=[{"name": "text_output"}]
            ),
            "with the shape",
        ),
        ("ModelConfig", b"", "cannot stream"),
        ("ModelConfig", pb.ModelConfigResponse(config={"ensemble_scheduling": {"step": [{}]}}), "model_name of a step"),
        ("ModelConfig", steps(100_000), "an ensemble of 100000 models"),
        ("ModelConfig", fails(grpc.StatusCode.NOT_FOUND, "gone"), "rejects ModelConfig: gone"),
    ],
)
def test_a_control_plane_that_answers_anything(call: str, answer: Any, message: str) -> None:
    """The result is one printable sentence of bounded length, whatever the server answers."""
    with serving(**{call: answer}) as address, pytest.raises(TargetError, match=message) as caught:
        Endpoint(address=address, protocol="grpc").find_model(requested=None, stream=True)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_good_control_plane() -> None:
    """The answers from which the others deviate describe a model that can be tested."""
    with serving() as address:
        model, server = Endpoint(address=address, protocol="grpc").find_model(requested=None, stream=True)
    assert (model.name, server) == ("llm", "fake 1")


def response(raw: bytes, *, final: bool = False) -> Any:
    inner = pb.ModelInferResponse(raw_output_contents=[raw])
    inner.outputs.add(name="text_output", datatype="BYTES", shape=[2**40])
    inner.parameters["triton_final_response"].bool_param = final
    return pb.ModelStreamInferResponse(infer_response=inner)


@pytest.mark.parametrize(
    ("answers", "outcome", "cause"),
    [
        (
            [pb.ModelStreamInferResponse(error_message="half \N{RIGHT-TO-LEFT OVERRIDE}" + "1a2b3c4d " * 10**6)],
            "error",
            "half ID ID",
        ),
        ([response(b"\xff\xff\xff\xffhi", final=True)], "ok", None),
        ([response(b"\x00" * 2**20, final=True)], "error", "empty answer"),
        ([response(b"\x01", final=True)], "error", "empty answer"),
        ([b"\xff\xff"], "error", "INTERNAL: "),
    ],
    ids=["20-MB", "length", "strings", "short", "garbage"],
)
def test_answers_that_are_anything(client: ClientName, answers: list[Any], outcome: str, cause: str | None) -> None:
    """Every answer is an outcome with a short, printable cause."""
    with serving(ModelStreamInfer=answers) as address:
        endpoint = Endpoint(address=address, protocol="grpc", client=client)
        with closing(endpoint.connect(BLS, stream=True)) as opened:
            answer = opened.infer("half \ud83d", 8, 20.0)
    assert answer.outcome == outcome
    assert (answer.cause or "").startswith(cause or "")
    assert len(answer.cause or "") <= 160
    assert (answer.cause or "").isprintable()
