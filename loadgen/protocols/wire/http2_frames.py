"""Frames of HTTP/2: types, flags, settings and error codes (RFC 9113)."""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

OF_CONNECTION: Final = frozenset((SETTINGS, PING, GOAWAY))
"""Frames that belong to no stream."""

END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)

MAX_FRAME_BYTES: Final = 2**14
"""Largest frame that we announce to take, which is the protocol's default."""
DEFAULT_WINDOW: Final = 2**16 - 1
MAX_WINDOW: Final = 2**31 - 1
MAX_STREAM_ID: Final = 2**31 - 1
HEADER_BYTES: Final = 9

_HEADER = struct.Struct(">HBBBI")
_SETTING = struct.Struct(">HI")
UINT32: Final = struct.Struct(">I")
unpack_header: Final = _HEADER.unpack_from
"""Returns length (two parts: its upper 16 and lower 8 bits), type, flags and stream of the frame at an offset."""


class ErrorCode(IntEnum):
    """Error codes of RST_STREAM and GOAWAY."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


def error_name(code: int) -> str:
    """Return the name of an error code, or its number."""
    return ErrorCode(code).name if code in ErrorCode._value2member_map_ else str(code)


class ProtocolError(Exception):
    """The peer breaks the rules of HTTP/2, which ends the connection.

    Attributes:
        code: Error code for the peer.
    """

    def __init__(self, message: str, code: ErrorCode = ErrorCode.PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.code = code


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return a frame."""
    size = len(payload)
    return _HEADER.pack(size >> 8, size & 255, kind, flags, stream_id) + payload


def settings(values: dict[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(key, value) for key, value in values.items()))


def settings_in(payload: bytes) -> Iterator[tuple[int, int]]:
    """Yield the settings of a frame.

    Raises:
        ProtocolError: the frame has a wrong size, or a value is not allowed.
    """
    if len(payload) % _SETTING.size:
        raise ProtocolError("a SETTINGS frame has a wrong size", ErrorCode.FRAME_SIZE_ERROR)
    for key, value in _SETTING.iter_unpack(payload):
        if key == INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise ProtocolError("the server sets a window that is too large", ErrorCode.FLOW_CONTROL_ERROR)
        if key == MAX_FRAME_SIZE and not 2**14 <= value < 2**24:
            raise ProtocolError("the server sets a frame size that is not allowed")
        yield key, value


def without_padding(payload: bytes, flags: int) -> bytes:
    """Return the content of a DATA or HEADERS frame, without padding and priority.

    Raises:
        ProtocolError: the frame is shorter than its padding and priority.
    """
    start, end = 0, len(payload)
    if flags & PADDED:
        start, end = 1, end - (payload[0] if payload else 0)
    if flags & WITH_PRIORITY:
        start += 5
    if start > end:
        raise ProtocolError("a frame is shorter than its padding and priority", ErrorCode.FRAME_SIZE_ERROR)
    return payload[start:end]


PREFACE: Final = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + settings({HEADER_TABLE_SIZE: 0, ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: MAX_WINDOW, MAX_HEADER_LIST_SIZE: 2**16})
    + frame(WINDOW_UPDATE, 0, 0, UINT32.pack(MAX_WINDOW - DEFAULT_WINDOW))
)
"""What a client sends first: no HPACK table, no push, and windows as large as they can be."""
