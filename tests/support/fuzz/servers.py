"""Targets: answers of inference servers over HTTP and gRPC, and of proxies in front of them."""

import json
import math
from typing import Any

from geventhttpclient.response import HTTPSocketResponse
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from loadgen.dataset.names import Outcome
from loadgen.protocols import http_body
from loadgen.protocols.answer import answer_of, classify_failure
from loadgen.protocols.describe import model_names
from loadgen.protocols.detect import Model, find_model
from loadgen.protocols.generate import Generate, error_text
from loadgen.protocols.grpc_messages import complete, output_text, output_token_count
from loadgen.protocols.http_body import TooLargeError
from support.fuzz.damage import damaged_bytes, damaged_text, json_bytes
from support.fuzz.target import Target

MODEL = Model(
    name="m", family="trtllm", batched=True, decoupled=True, streams=True, counts_tokens=True, engine_times=True
)
_EVENTS = (
    {"model_name": "m", "text_output": "Hello", "num_output_tokens": 3},
    {"text_output": ["a", "b"], "num_output_tokens": [1, 2]},
    {
        "text_output": "x",
        "num_output_tokens": "7",
        "pod_name": "triton-0",
        "arrival_time_ns": 5,
        "first_token_time_ns": "9",
    },
    {"error": "in ensemble 'm', maximum queue size exceeded"},
)
_METADATA: dict[str, Any] = {
    "name": "m",
    "versions": ["1"],
    "platform": "ensemble",
    "inputs": [
        {"name": "text_input", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "max_tokens", "datatype": "INT32", "shape": [-1, 1]},
        {"name": "stream", "datatype": "BOOL", "shape": ["-1", "1"]},
        {"name": "seed", "datatype": "UINT64", "shape": [-1, 8, 8]},
    ],
    "outputs": [{"name": "text_output", "datatype": "BYTES", "shape": [-1, 1]}],
}
_CONFIG: dict[str, Any] = {
    "name": "m",
    "max_batch_size": 64,
    "input": [{"name": "seed", "data_type": "TYPE_UINT64", "dims": [1], "optional": True}],
    "model_transaction_policy": {"decoupled": True},
    "ensemble_scheduling": {"step": [{"model_name": "tensorrt_llm", "model_version": -1}]},
    "parameters": {"emulated_profile": {"string_value": "llama"}},
}
_INDEX = [{"name": "m", "version": "1", "state": "READY"}, {"name": "n", "state": "UNAVAILABLE", "reason": "x"}]


class _Plane:
    """A control plane with the given documents, as both protocols have it after decoding."""

    def __init__(self, index: Any, metadata: Any, config: Any) -> None:
        self._index, self._metadata, self._config = index, metadata, config

    def models(self) -> list[str]:
        return model_names(self._index)

    def metadata(self, model: str) -> Any:
        return self._metadata

    def config(self, model: str) -> Any:
        return self._config


def _http_events(events: list[bytes]) -> None:
    bodies = Generate(MODEL, stream=True, redacted=str)
    answer = bodies.answer(events, [float(number) for number in range(len(events))], "", "", 10.0, {})
    assert answer.outcome in (Outcome.OK, Outcome.ERROR, Outcome.CUT_OFF, Outcome.REJECTED)
    assert len((answer.cause or "").encode()) <= 4 * 160
    assert answer.output_tokens is None or 0 <= answer.output_tokens < 2**31
    assert all(each is None or each >= 0 for each in answer.engine)
    assert answer.pod is None or answer.pod.isprintable()


def _control_plane(documents: tuple[bytes, bytes, bytes]) -> None:
    decoded = []
    for document in documents:
        try:
            decoded.append(json.loads(document))
        except (ValueError, RecursionError):
            return  # HttpControlPlane says that it is not JSON
    find_model(_Plane(*decoded), requested=None, stream=True)
    find_model(_Plane(*decoded), requested=None, stream=True, inputs={"seed": [[1] * 8] * 8})


def _grpc_control_plane(messages: tuple[bytes, bytes, bytes]) -> None:
    try:
        index, metadata, config = (
            MessageToDict(kind.FromString(message), preserving_proto_field_name=True)
            for kind, message in zip(
                (pb.RepositoryIndexResponse, pb.ModelMetadataResponse, pb.ModelConfigResponse), messages, strict=True
            )
        )
    except (DecodeError, UnicodeDecodeError):
        return  # gRPC fails the call before it reaches us
    find_model(_Plane(index.get("models"), metadata, config.get("config", {})), requested=None, stream=True)


def _grpc_answer(message: bytes) -> None:
    try:
        response = pb.ModelInferResponse.FromString(message)
    except DecodeError:
        return
    answer = answer_of([output_text(response)], [output_token_count(response)], [1.0], 2.0, stream=True)
    assert answer.outcome in (Outcome.OK, Outcome.ERROR)
    assert len(output_text(response)) <= len(message)
    complete(answer, MODEL, response, response)
    assert all(each is None or each >= 0 for each in answer.engine)
    assert answer.pod is None or answer.pod.isprintable()


def _tensor(name: str, **fields: Any) -> Any:
    return pb.ModelInferResponse.InferOutputTensor(name=name, shape=[1], **fields)


_RESPONSES = (
    pb.ModelInferResponse(
        model_name="m",
        outputs=[
            _tensor("text_output", datatype="BYTES"),
            _tensor("num_output_tokens", datatype="INT32"),
            _tensor("first_token_time_ns", datatype="INT64"),
            _tensor("arrival_time_ns", datatype="BYTES"),
        ],
        raw_output_contents=[
            b"\x05\x00\x00\x00Hello",
            b"\x03\x00\x00\x00",
            (10**18).to_bytes(8, "little"),
            b"\x02\x00\x00\x0017",
        ],
        parameters={"pod_name": pb.InferParameter(string_param="triton-0")},
    ),
    pb.ModelInferResponse(
        outputs=[
            _tensor("text_output", contents=pb.InferTensorContents(bytes_contents=[b"Hello"])),
            _tensor("num_output_tokens", contents=pb.InferTensorContents(int64_contents=[3])),
        ]
    ),
)
_GRPC_INDEX = pb.RepositoryIndexResponse(models=[{"name": "m", "state": "READY"}]).SerializeToString()
_GRPC_METADATA = pb.ModelMetadataResponse(
    name="m",
    inputs=[
        {"name": "text_input", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "max_tokens", "datatype": "INT32", "shape": [-1, 1]},
        {"name": "stream", "datatype": "BOOL", "shape": [-1, 1]},
    ],
    outputs=[{"name": "text_output", "datatype": "BYTES", "shape": [-1]}],
).SerializeToString()
_GRPC_CONFIG = pb.ModelConfigResponse(
    config={"name": "m", "max_batch_size": 4, "model_transaction_policy": {"decoupled": True}}
).SerializeToString()


class _Socket:
    """A socket that has received everything."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv(self, size: int) -> bytes:
        start, self._data = self._data[:size], self._data[size:]
        return start


class _Response(HTTPSocketResponse):
    """A response whose bytes are known, read by the library's parser."""

    def __init__(self, data: bytes) -> None:
        super().__init__(_Socket(data))


def _http_body(body: bytes) -> None:
    """Read one body as lines and as a whole: both have the same bytes, and never more than the limit."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    joined = b"".join(http_body.lines(_Response(head + body)))
    assert joined == body
    assert http_body.whole(_Response(head + body)) == body


def _error(body: bytes) -> None:
    text = error_text(body)
    assert text.isprintable()
    assert len(text) <= 200


def _failure(drawn: tuple[str, str]) -> None:
    outcome, cause = classify_failure(*drawn, began=False)
    assert outcome in (Outcome.ERROR, Outcome.REJECTED, Outcome.TIMEOUT)
    assert len(cause.splitlines()) <= 1
    assert not math.isnan(len(cause))


_VALID_PLANE = tuple(json.dumps(each).encode() for each in (_INDEX, _METADATA, _CONFIG))

TARGETS = (
    Target(
        name="http-events",
        valid=([json.dumps(each).encode() for each in _EVENTS],),
        inputs=st.lists(json_bytes(*_EVENTS), max_size=4),
        parse=_http_events,
        calls=(
            "loadgen.protocols.generate:Generate.answer",
            "loadgen.protocols.generate:_text",
            "loadgen.protocols.engine:integer",
            "loadgen.protocols.tokens:count_tokens",
            "loadgen.protocols.engine:engine_times",
            "loadgen.protocols.engine:pod_name",
        ),
    ),
    Target(
        name="http-body",
        valid=(b'data: {"text_output": "a"}\n\ndata: {"text_output": "b"}\n\n',),
        inputs=damaged_bytes(b"data: 1\n\ndata: 2\r\n\r\n: comment\n"),
        parse=_http_body,
        calls=("loadgen.protocols.http_body:lines", "loadgen.protocols.http_body:whole"),
        errors=(TooLargeError,),
    ),
    Target(
        name="http-error-body",
        valid=(b'{"error": "no model"}', b"<html><title>502 Bad Gateway</title></html>"),
        inputs=json_bytes({"error": "no model"}, {"message": {"error": ["x"]}}, "text")
        | damaged_bytes(b"<html>\n<title>502 Bad Gateway</title>\n</html>"),
        parse=_error,
        calls=("loadgen.protocols.generate:error_text", "loadgen.base.text:clean"),
    ),
    Target(
        name="http-control-plane",
        valid=(_VALID_PLANE,),
        inputs=st.tuples(json_bytes(_INDEX), json_bytes(_METADATA), json_bytes(_CONFIG))
        | st.tuples(st.just(_VALID_PLANE[0]), json_bytes(_METADATA), st.just(_VALID_PLANE[2]))
        | st.tuples(st.just(_VALID_PLANE[0]), st.just(_VALID_PLANE[1]), json_bytes(_CONFIG)),
        parse=_control_plane,
        calls=(
            "loadgen.protocols.describe:model_names",
            "loadgen.protocols.describe:tensors_in",
            "loadgen.protocols.describe:config_in",
            "loadgen.protocols.detect:find_model",
        ),
    ),
    Target(
        name="grpc-control-plane",
        valid=((_GRPC_INDEX, _GRPC_METADATA, _GRPC_CONFIG),),
        inputs=st.tuples(damaged_bytes(_GRPC_INDEX), damaged_bytes(_GRPC_METADATA), damaged_bytes(_GRPC_CONFIG)),
        parse=_grpc_control_plane,
        calls=("loadgen.protocols.describe:tensors_in", "loadgen.protocols.describe:config_in"),
    ),
    Target(
        name="grpc-answer",
        valid=tuple(each.SerializeToString() for each in _RESPONSES),
        inputs=damaged_bytes(*(each.SerializeToString() for each in _RESPONSES)),
        parse=_grpc_answer,
        calls=(
            "loadgen.protocols.grpc_messages:output_text",
            "loadgen.protocols.grpc_messages:strings_in",
            "loadgen.protocols.grpc_messages:_integer",
            "loadgen.protocols.grpc_messages:pod_of",
            "loadgen.protocols.grpc_messages:output_token_count",
        ),
    ),
    Target(
        name="failure-message",
        valid=(("UNAVAILABLE", "Received http2 header with status: 502 at 2026-11-30T10:00:00Z 10.0.0.1:8001"),),
        inputs=st.tuples(
            st.sampled_from(("", "503", "UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED")),
            damaged_text(
                "errors resolving a: [ipv6:%5B::1%5D:8001: connection refused] 0x1f 3d594650-3436-11e5-bf21", "1:" * 80
            ),
        ),
        parse=_failure,
        calls=("loadgen.protocols.answer:classify_failure",),
    ),
)
