"""Encodes requests to Triton's inference calls over gRPC, and decodes what HTTP/2 carried of their answers."""

import struct
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

import grpc
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from loadgen.base.connection import Connection
from loadgen.base.text import clean
from loadgen.dataset.names import Cause
from loadgen.protocols.answer import Answer, answer_of, classify_failure
from loadgen.protocols.detect import Model
from loadgen.protocols.engine import POD_HEADER, pod_name
from loadgen.protocols.generate import error_text, unexpected_body
from loadgen.protocols.grpc_messages import complete
from loadgen.protocols.local_fault import local_fault
from loadgen.protocols.text import valid_text
from loadgen.protocols.wire.exchange import MAX_ERROR_BYTES, Exchange, Pause, no_pause
from loadgen.protocols.wire.grpc_scan import Scanner, varint

_SERVICE: Final = "/inference.GRPCInferenceService"
_PREFIX = struct.Struct(">BI")  # whether the message is compressed, and its size
_PREFIX_BYTES: Final = _PREFIX.size
_SIZE = struct.Struct("<I")  # of a string in a raw tensor
_PAUSE_MASK: Final = 31
_RAW_INPUT_CONTENTS: Final = b"\x3a"  # field 7, length-delimited
_CONTENT_TYPE: Final = "application/grpc"
_MALFORMED: Final = "an answer that is not a message of Triton"
_COMPRESSED: Final = "a compressed message, which was not requested"
_STATUS_NAMES: Final = {str(code.value[0]): code.name for code in grpc.StatusCode}
MAX_MESSAGES: Final = 2**18
"""Most messages of one answer."""
_TOO_MANY: Final = f"an answer of more than {MAX_MESSAGES} messages"


class GrpcCodec:
    """The calls of one model; implements `Codec`.

    Args:
        model: The model.
        stream: Whether answers are streamed.
        connection: Path and headers of the connection.
    """

    def __init__(self, model: Model, *, stream: bool, connection: Connection) -> None:
        self._model = model
        self._stream = stream
        self._redacted = connection.redacted
        # Triton rejects ModelInfer for decoupled models, even for a single response
        self._streamed = stream or model.decoupled
        self.path = f"{connection.path}{_SERVICE}/{'ModelStreamInfer' if self._streamed else 'ModelInfer'}"
        self._text, self._limit = model.tensors[:2]
        constant = model.constant(stream=stream)
        request = pb.ModelInferRequest(model_name=model.name)
        for tensor in (*constant, self._text, self._limit):
            request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        request.raw_input_contents.extend(tensor.encode(*tensor.values) for tensor in constant)
        if self._streamed:
            # otherwise Triton does not send a final response that has no output
            request.parameters["triton_enable_empty_final_response"].bool_param = True
        self._constant = request.SerializeToString()
        self._scanner = Scanner(streamed=self._streamed)
        self._limits: dict[int, bytes] = {}

    def encode(self, prompt: str, max_tokens: int) -> bytes:
        """Return the request as a gRPC message: the bytes of repeated fields may follow all others."""
        text = valid_text(prompt).encode()
        limit = self._limits.get(max_tokens)
        if limit is None:
            limit = self._limits[max_tokens] = _raw(self._limit.encode(max_tokens))
        size = len(text)
        message = b"".join((self._constant, _RAW_INPUT_CONTENTS, varint(size + 4), _SIZE.pack(size), text, limit))
        return _PREFIX.pack(0, len(message)) + message

    def decode(self, exchange: Exchange, pause: Pause = no_pause) -> Answer:
        """Return the answer of an exchange that has ended, or that a stop ends now."""
        ended = time.monotonic() if exchange.ended_at is None else exchange.ended_at
        fault: str | None
        kind = exchange.headers.get("content-type", _CONTENT_TYPE)
        if exchange.status == 200 and kind.startswith(_CONTENT_TYPE):
            answer, fault = (
                self._stream_answer(exchange, ended, pause) if self._streamed else self._one(exchange, ended)
            )
        else:
            answer, fault = answer_of([], [], [], ended, stream=self._stream), ""
        answer.pod = answer.pod or pod_name(exchange.headers.get(POD_HEADER))
        if fault is not None:
            code, message = self._failure(exchange, fault, began=answer.last is not None)
            answer.outcome, answer.cause = classify_failure(
                code, self._redacted(message), began=answer.last is not None
            )
        return answer

    def _one(self, exchange: Exchange, ended: float) -> tuple[Answer, str | None]:
        """Return the answer of ModelInfer, and what is wrong with it, empty if only the status says so."""
        data = bytes(exchange.data)
        fault = ""
        try:
            for start, end in messages(data):
                found = self._scanner.response(data, start, end)
                at = exchange.arrival(end)
                answer = answer_of([found.text], [found.tokens], [at], ended, stream=self._stream)
                answer.pod = found.pod
                if self._model.engine_times:
                    response = pb.ModelInferResponse.FromString(data[start:end])
                    complete(answer, self._model, response, response)
                whole = exchange.complete and exchange.headers.get("grpc-status") == "0"
                return answer, None if whole else ""
        except DecodeError as error:
            fault = _malformed(error)
        return answer_of([], [], [], ended, stream=self._stream), fault

    def _stream_answer(self, exchange: Exchange, ended: float, pause: Pause) -> tuple[Answer, str | None]:
        """Return the answer of ModelStreamInfer, which is whole after Triton's final response, and what is wrong."""
        texts: list[bytes] = []
        counts: list[int | None] = []
        ends: list[int] = []
        pod: str | None = None
        last = finished_at = None
        fault = ""
        scan = self._scanner.response
        data = bytes(exchange.data)
        try:
            for at, end in messages(data):
                text, count, has_outputs, final, own, fault = scan(data, at, end)
                if fault:
                    break
                ends.append(end)
                texts.append(text)
                counts.append(count)
                if has_outputs:
                    last, pod = (at, end), pod or own
                if final:
                    finished_at = exchange.arrival(end)
                if not len(ends) & _PAUSE_MASK:
                    pause()
        except DecodeError as error:
            fault = _malformed(error)
        answer = answer_of(texts, counts, exchange.arrivals(ends), finished_at or ended, stream=self._stream)
        answer.pod = pod
        if last is not None and self._model.engine_times:
            response = pb.ModelStreamInferResponse.FromString(data[slice(*last)]).infer_response
            complete(answer, self._model, response, response)
            answer.pod = pod or answer.pod
        return answer, None if finished_at is not None else fault

    def _failure(self, exchange: Exchange, fault: str, *, began: bool) -> tuple[str, str]:
        """Return code and message of an answer that is not whole."""
        headers = exchange.headers
        if exchange.fault is not None:
            return "", local_fault(exchange.fault) or exchange.message
        if exchange.status not in (0, 200) and not exchange.code:  # also of an error whose body is not whole
            body = bytes(exchange.data[:MAX_ERROR_BYTES])
            return str(exchange.status), error_text(body) if body or exchange.complete else exchange.message
        if exchange.code or exchange.message:
            return exchange.code, exchange.message
        status = headers.get("grpc-status")
        if fault and status in (None, "0"):
            return ("INTERNAL" if fault in (_MALFORMED, _COMPRESSED) else ""), fault
        if status is None:
            kind = headers.get("content-type", "")
            if not kind.startswith(_CONTENT_TYPE):
                return "", unexpected_body(bytes(exchange.data[:MAX_ERROR_BYTES]), kind, "gRPC")
            return "", "the stream ended without a status"
        if status != "0":
            code = _STATUS_NAMES.get(status, "UNKNOWN")
            return code, clean(unquote_to_bytes(headers.get("grpc-message", "")).decode(errors="replace"))
        return "", "the stream ended without a final answer" if began else Cause.EMPTY_ANSWER


def messages(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each whole message of a body begins and ends.

    Raises:
        DecodeError: a message is compressed, which was not offered, or there are more than `MAX_MESSAGES`.
    """
    size, end = len(data), 0
    count = 0
    while end + _PREFIX_BYTES <= size:
        if data[end]:
            raise DecodeError(_COMPRESSED)
        if count == MAX_MESSAGES:
            raise DecodeError(_TOO_MANY)
        count += 1
        start = end + _PREFIX_BYTES
        end = start + int.from_bytes(data[end + 1 : start], "big")
        if end > size:
            break
        yield start, end


def _malformed(error: DecodeError) -> str:
    """Say what is wrong with a message: the decoder's own words differ between its versions."""
    text = str(error)
    return text if text in (_COMPRESSED, _TOO_MANY) else _MALFORMED


def _raw(content: bytes) -> bytes:
    """Return an element of `raw_input_contents`."""
    return _RAW_INPUT_CONTENTS + varint(len(content)) + content
