"""Decodes the responses of Triton's inference calls fast: most of them have the same layout.

In the encoding of protobuf, fields follow each other, and the bytes before a value say how long it is. Two messages of
the same size that agree in all bytes but those of text, numbers and other contents therefore have them at the same
places. The library decodes the first message of each layout; later ones are compared with it and cut.
"""

from typing import Final, NamedTuple

from tritonclient.grpc import service_pb2 as pb

from loadgen.protocols.answer import valid_token_count
from loadgen.protocols.engine import POD_NAME
from loadgen.protocols.grpc_messages import INTEGERS, output_text, output_token_count, pod_of

_INFER_RESPONSE: Final = b"\x12"  # field 2, length-delimited
_RAW_CONTENT: Final = b"\x32"  # field 6, length-delimited
_MAX_LAYOUTS: Final = 1024
_MAX_LAYOUT_BYTES: Final = 4096


class Response(NamedTuple):
    """What a response says.

    Attributes:
        text: Output text; empty without any.
        tokens: The server's number of output tokens; None without one.
        has_outputs: Whether it has outputs.
        final: Whether it is the last response to the request.
        pod: The replica that answers; None where the response does not name it in a parameter.
        error: The server's error message; empty without one.
    """

    text: bytes
    tokens: int | None
    has_outputs: bool
    final: bool
    pod: str | None = None
    error: str = ""


class _Layout(NamedTuple):
    """Where messages of one size have what.

    Attributes:
        start: Their first bytes, up to the first content.
        others: Further bytes that they have in common, with their places.
        text: Place of the text; 0 twice without one.
        tokens: Place of the number of tokens; 0 twice without one.
        signed: Whether that number has a sign.
        has_outputs: Whether there are outputs.
        final: Whether this is the last response to the request.
        pod: The replica that answers.
    """

    start: bytes
    others: tuple[tuple[int, bytes], ...]
    text: tuple[int, int]
    tokens: tuple[int, int]
    signed: bool
    has_outputs: bool
    final: bool
    pod: str | None


class Scanner:
    """Decodes responses, and remembers their layouts.

    Args:
        streamed: Whether they are those of ModelStreamInfer, which have a response of ModelInfer, or an error, inside.
    """

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed
        self._layouts: dict[int, list[_Layout]] = {}  # by the size of the message
        self._known = 0

    def response(self, data: bytes, at: int, end: int) -> Response:
        """Return what the message says that lies in `data` from `at` to `end`.

        Raises:
            DecodeError: it is malformed.
        """
        for start, others, text, count, signed, has_outputs, final, pod in self._layouts.get(end - at, ()):
            if data.startswith(start, at):
                for place, same in others:
                    if not data.startswith(same, at + place):
                        break
                else:
                    number = None
                    if count[1]:
                        number = int.from_bytes(data[at + count[0] : at + count[1]], "little", signed=signed)
                        number = valid_token_count(number)
                    return Response(data[at + text[0] : at + text[1]], number, has_outputs, final, pod)
        return self._by_library(data[at:end])

    def _by_library(self, message: bytes) -> Response:
        error, inner = "", 0
        if self._streamed:
            decoded = pb.ModelStreamInferResponse.FromString(message)
            error, answered = decoded.error_message, decoded.infer_response
            inner = _inner(message)
        else:
            answered = pb.ModelInferResponse.FromString(message)
        final = answered.parameters["triton_final_response"].bool_param
        found = Response(
            output_text(answered),
            output_token_count(answered),
            bool(answered.outputs),
            final,
            pod_of(answered),
            error,
        )
        if not error and (inner or not self._streamed) and len(message) <= _MAX_LAYOUT_BYTES:
            layout = _layout_of(message, inner, answered, found)
            if layout is not None:
                if self._known >= _MAX_LAYOUTS:
                    self._layouts.clear()
                    self._known = 0
                self._layouts.setdefault(len(message), []).append(layout)
                self._known += 1
        return found


def _inner(message: bytes) -> int:
    """Return where the response of ModelInfer begins in one of ModelStreamInfer; 0 if there is more than that."""
    inner = len(_INFER_RESPONSE)
    while inner < len(message) and message[inner] >= 128:
        inner += 1
    inner += 1
    return inner if message.startswith(_INFER_RESPONSE + varint(len(message) - inner)) else 0


def _layout_of(message: bytes, inner: int, answered: pb.ModelInferResponse, found: Response) -> _Layout | None:
    """Return the layout of a message; None if its raw contents are not at its end, one for each output."""
    contents = answered.raw_output_contents
    names = [output.name for output in answered.outputs]
    if len(contents) != len(names) or len(set(names)) != len(names):
        return None
    tail = b"".join(_RAW_CONTENT + varint(len(each)) + each for each in contents)
    head = len(message) - len(tail)
    if not message.endswith(tail) or POD_NAME in names:
        return None
    if pb.ModelInferResponse.FromString(message[inner:head]).raw_output_contents:
        return None
    same: list[tuple[int, bytes]] = [(0, message[:head])]
    text = count = (0, 0)
    signed = False
    at = head
    for name, output, content in zip(names, answered.outputs, contents, strict=True):
        prefix = _RAW_CONTENT + varint(len(content))
        begin = at + len(prefix)
        if name == "text_output":
            if len(content) < 4 or int.from_bytes(content[:4], "little") != len(content) - 4:
                return None  # several strings, or none
            prefix += content[:4]
            text = begin + 4, begin + len(content)
        elif name == "num_output_tokens":
            size, signed = INTEGERS.get(output.datatype, (0, False))
            if not 0 < size <= len(content):
                return None  # a Python model may send the number as text
            count = begin, begin + size
        same.append((at, prefix))
        at = begin + len(content)
    while len(same) > 1 and same[0][0] + len(same[0][1]) == same[1][0]:
        (place, first), (_, second), *rest = same
        same = [(place, first + second), *rest]
    return _Layout(same[0][1], tuple(same[1:]), text, count, signed, bool(names), found.final, found.pod)


def varint(value: int) -> bytes:
    """Return a number in the encoding of protobuf."""
    encoded = bytearray()
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
