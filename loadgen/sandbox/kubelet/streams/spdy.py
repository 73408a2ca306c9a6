"""Encodes and decodes the SPDY/3.1 frames of port-forwards, which kubectl sends inside a WebSocket.

Every frame begins with eight bytes:

    control   1 | version (15 bits) | type (16) | flags (8) | length (24)
    data      0 | stream (31 bits)              | flags (8) | length (24)

Kubernetes does not use SPDY's flow control, so there are no window updates. The headers of streams that the client
opens are compressed with one zlib state per connection and the dictionary of the protocol.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct

_VERSION = 3
_CONTROL = 0x8000
_FIN = 0x01
_FRAME_HEADER = Struct(">HHI")
_UINT32 = Struct(">I")
_MAX_FRAME_BYTES = 1 << 20
_MAX_HEADER_BYTES = 1 << 16

# the dictionary of the protocol's draft: words with their lengths, then text
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(_UINT32.pack(len(word)) + word.replace("_", " ").encode() for word in _WORDS.split()) + _TEXT.encode()
)


class SpdyError(Exception):
    """The client sent invalid SPDY/3.1."""


class FrameKind(IntEnum):
    """The type of a control frame, or 0 for a data frame."""

    DATA = 0
    OPEN = 1
    REPLY = 2
    RESET = 3
    PING = 6
    GO_AWAY = 7
    HEADERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame.

    Attributes:
        kind: Type of the frame.
        number: Id of the stream; of a PING its id, of a GO_AWAY the last stream.
        data: Data of a data frame, or the body of a control frame without headers.
        headers: Headers of a stream that is opened, with lower-case names.
        last: Whether the sender closes its side of the stream.
    """

    kind: FrameKind
    number: int
    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    last: bool = False


class Decoder:
    """Decodes frames from chunks of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._zip = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete; types that a port-forward does not need are skipped.

        Raises:
            SpdyError: the bytes are not valid SPDY/3.1.
        """
        self._rest += chunk
        while len(self._rest) >= _FRAME_HEADER.size:
            first, second, sized = _FRAME_HEADER.unpack_from(self._rest)
            flags, size = sized >> 24, sized & 0xFFFFFF
            if size > _MAX_FRAME_BYTES:
                raise SpdyError(f"a frame of {size:,} bytes is longer than {_MAX_FRAME_BYTES:,}")
            if len(self._rest) < _FRAME_HEADER.size + size:
                return
            body, self._rest = (
                self._rest[_FRAME_HEADER.size : _FRAME_HEADER.size + size],
                self._rest[_FRAME_HEADER.size + size :],
            )
            if not first & _CONTROL:
                number = first << 16 | second
                yield Frame(kind=FrameKind.DATA, number=number, data=body, last=bool(flags & _FIN))
            elif first != _CONTROL | _VERSION:
                raise SpdyError(f"a frame is of version {first & ~_CONTROL}, not of version {_VERSION}")
            elif second in set(FrameKind):
                yield self._control(FrameKind(second), body, last=bool(flags & _FIN))

    def _control(self, kind: FrameKind, body: bytes, *, last: bool) -> Frame:
        skipped = {FrameKind.OPEN: 10, FrameKind.REPLY: 4, FrameKind.HEADERS: 4}.get(kind)
        if len(body) < (skipped or _UINT32.size):
            raise SpdyError(f"a frame {kind.name} of {len(body)} bytes is too short")
        number = _UINT32.unpack_from(body)[0] & 0x7FFFFFFF
        # the zlib state depends on all earlier header blocks, so every block is decompressed
        headers = {} if skipped is None else self._headers(body[skipped:])
        return Frame(kind=kind, number=number, data=body if skipped is None else b"", headers=headers, last=last)

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._zip.decompress(block, _MAX_HEADER_BYTES)
        except zlib.error as error:
            raise SpdyError(f"headers cannot be read: {error}") from error
        if self._zip.unconsumed_tail:
            raise SpdyError(f"headers are longer than {_MAX_HEADER_BYTES:,} bytes")
        strings, offset = [], _UINT32.size
        while offset < len(plain):
            size = _UINT32.unpack_from(plain.ljust(offset + _UINT32.size, b"\0"), offset)[0]
            offset += _UINT32.size
            strings.append(plain[offset : offset + size].decode(errors="replace"))
            offset += size
        if offset != len(plain) or len(strings) != 2 * _UINT32.unpack_from(plain.ljust(_UINT32.size, b"\0"))[0]:
            raise SpdyError("headers are truncated")
        return dict(zip(strings[::2], strings[1::2], strict=True))


class Encoder:
    """Encodes the frames of a server."""

    def __init__(self) -> None:
        self._zip = zlib.compressobj()

    def data(self, stream: int, data: bytes = b"", *, last: bool = False) -> bytes:
        """Return a data frame."""
        return _FRAME_HEADER.pack(stream >> 16, stream & 0xFFFF, (_FIN if last else 0) << 24 | len(data)) + data

    def reply(self, stream: int) -> bytes:
        """Return a SYN_REPLY without headers, which accepts a stream of the client."""
        block = self._zip.compress(_UINT32.pack(0)) + self._zip.flush(zlib.Z_SYNC_FLUSH)
        return _control(FrameKind.REPLY, _UINT32.pack(stream) + block)

    def refuse(self, stream: int) -> bytes:
        """Return a RST_STREAM, which refuses a stream of the client."""
        return _control(FrameKind.RESET, _UINT32.pack(stream) + _UINT32.pack(3))

    def pong(self, ping: Frame) -> bytes:
        """Return the answer to a PING, which is the same PING."""
        return _control(FrameKind.PING, _UINT32.pack(ping.number))


def _control(kind: FrameKind, body: bytes) -> bytes:
    return _FRAME_HEADER.pack(_CONTROL | _VERSION, kind, len(body)) + body
