"""Reads what the messages of Triton's inference calls over gRPC say."""

from tritonclient.grpc import service_pb2 as pb

from loadgen.protocols.answer import Answer, valid_token_count
from loadgen.protocols.detect import Model
from loadgen.protocols.engine import POD_NAME, TIME_OUTPUTS, engine_times, integer, pod_name

_MAX_STRINGS = 1000
INTEGERS = {"INT32": (4, True), "INT64": (8, True), "UINT32": (4, False), "UINT64": (8, False)}
"""Size in bytes of the integers that count tokens, and whether they are signed."""


def complete(answer: Answer, model: Model, first: pb.ModelInferResponse, last: pb.ModelInferResponse) -> None:
    """Add to an answer what its first and its last response with outputs say about engine and replica."""
    if model.engine_times:
        places = {output.name: number for number, output in enumerate(last.outputs)}
        answer.engine = engine_times({name: _integer(last, places[name]) for name in TIME_OUTPUTS if name in places})
    answer.pod = pod_of(first) or (None if last is first else pod_of(last))


def output_text(response: pb.ModelInferResponse, name: str = "text_output") -> bytes:
    """Return the text in a response; empty for a response with only flags or empty strings."""
    for number, output in enumerate(response.outputs):
        if output.name == name:
            if number < len(response.raw_output_contents):
                raw = response.raw_output_contents[number]
                return strings_in(raw)
            return b"".join(output.contents.bytes_contents)
    return b""


def strings_in(raw: bytes) -> bytes:
    """Return the strings of a raw tensor, each after a length prefix of four bytes; at most the first thousand."""
    texts: list[bytes] = []
    at = 0
    while at + 4 <= len(raw) and len(texts) < _MAX_STRINGS:
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        texts.append(raw[at + 4 : end])
        at = end
    return b"".join(texts)


def output_token_count(response: pb.ModelInferResponse) -> int | None:
    """Return the server's count of output tokens, if the response has one."""
    for number, output in enumerate(response.outputs):
        if output.name == "num_output_tokens":
            return valid_token_count(_integer(response, number))
    return None


def _integer(response: pb.ModelInferResponse, number: int) -> int | None:
    """Return the first element of an output as an integer; Python models may send it as text."""
    output = response.outputs[number]
    if number < len(response.raw_output_contents):
        raw = response.raw_output_contents[number]
        if output.datatype == "BYTES":
            return integer(strings_in(raw).decode(errors="replace"))
        size, signed = INTEGERS.get(output.datatype, (0, False))
        return int.from_bytes(raw[:size], "little", signed=signed) if raw[:size] else None
    contents = output.contents
    values = contents.int_contents or contents.int64_contents or contents.uint_contents or contents.uint64_contents
    return values[0] if values else None


def pod_of(response: pb.ModelInferResponse) -> str | None:
    """Return the replica that a response names, in a parameter or in an output."""
    if POD_NAME in response.parameters:
        return pod_name(response.parameters[POD_NAME].string_param)
    text = output_text(response, POD_NAME)
    return pod_name(text.decode(errors="replace")) if text else None
