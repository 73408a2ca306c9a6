"""SPDY/3.1 as far as port-forwards need it: bytes into frames, and frames into bytes.

kubectl speaks it inside of a WebSocket. Every frame begins with eight bytes:

    control   1 | version (15 bits) | type (16) | flags (8) | length (24)
    data      0 | stream (31 bits)              | flags (8) | length (24)

Kubernetes keeps to no flow control in it, so windows are neither sent nor waited for. Streams that the client opens
carry headers, compressed with one zlib state for the whole connection and a dictionary that the protocol gives.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct

_VERSION = 3
_CONTROL = 0x8000
_LAST = 0x01
_HEAD = Struct(">HHI")
_NUMBER = Struct(">I")
_LONGEST_FRAME = 1 << 20
_LONGEST_HEADERS = 1 << 16

# words with their lengths, then text, as the protocol's draft spells them
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
    b"".join(_NUMBER.pack(len(word)) + word.replace("_", " ").encode() for word in _WORDS.split()) + _TEXT.encode()
)


class SpdyFault(Exception):
    """What the other side sent is no SPDY/3.1; the sentence says why."""


class Kind(IntEnum):
    """What a frame is: the type of a control frame; 0, which no control frame has, stands for data."""

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
        kind: What it is.
        number: Its stream; of a ping its own number, of a farewell the last stream.
        data: What it carries, without headers.
        headers: Those of a stream that is opened, names in lower case.
        last: Whether its sender sends no more on this stream.
    """

    kind: Kind
    number: int
    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    last: bool = False


class Decoder:
    """Finds frames in bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._zip = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """The frames that are whole now; kinds that a port-forward does not need are left out.

        Raises:
            SpdyFault: this is no SPDY/3.1.
        """
        self._rest += piece
        while len(self._rest) >= _HEAD.size:
            first, second, sized = _HEAD.unpack_from(self._rest)
            flags, size = sized >> 24, sized & 0xFFFFFF
            if size > _LONGEST_FRAME:
                raise SpdyFault(f"a frame of {size:,} bytes is longer than {_LONGEST_FRAME:,}")
            if len(self._rest) < _HEAD.size + size:
                return
            body, self._rest = self._rest[_HEAD.size : _HEAD.size + size], self._rest[_HEAD.size + size :]
            if not first & _CONTROL:
                number = first << 16 | second
                yield Frame(kind=Kind.DATA, number=number, data=body, last=bool(flags & _LAST))
            elif first != _CONTROL | _VERSION:
                raise SpdyFault(f"a frame is of version {first & ~_CONTROL}, not of version {_VERSION}")
            elif second in set(Kind):
                yield self._control(Kind(second), body, last=bool(flags & _LAST))

    def _control(self, kind: Kind, body: bytes, *, last: bool) -> Frame:
        skipped = {Kind.OPEN: 10, Kind.REPLY: 4, Kind.HEADERS: 4}.get(kind)
        if len(body) < (skipped or _NUMBER.size):
            raise SpdyFault(f"a frame {kind.name} of {len(body)} bytes is too short")
        number = _NUMBER.unpack_from(body)[0] & 0x7FFFFFFF
        # each block needs all that came before it, so none may be left out
        headers = {} if skipped is None else self._headers(body[skipped:])
        return Frame(kind=kind, number=number, data=body if skipped is None else b"", headers=headers, last=last)

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._zip.decompress(block, _LONGEST_HEADERS)
        except zlib.error as error:
            raise SpdyFault(f"headers cannot be read: {error}") from error
        if self._zip.unconsumed_tail:
            raise SpdyFault(f"headers are longer than {_LONGEST_HEADERS:,} bytes")
        words, at = [], _NUMBER.size
        while at < len(plain):
            size = _NUMBER.unpack_from(plain.ljust(at + _NUMBER.size, b"\0"), at)[0]
            at += _NUMBER.size
            words.append(plain[at : at + size].decode(errors="replace"))
            at += size
        if at != len(plain) or len(words) != 2 * _NUMBER.unpack_from(plain.ljust(_NUMBER.size, b"\0"))[0]:
            raise SpdyFault("headers are cut off")
        return dict(zip(words[::2], words[1::2], strict=True))


class Encoder:
    """Writes the frames of a server."""

    def __init__(self) -> None:
        self._zip = zlib.compressobj()

    def data(self, stream: int, piece: bytes = b"", *, last: bool = False) -> bytes:
        """Data of a stream."""
        return _HEAD.pack(stream >> 16, stream & 0xFFFF, (_LAST if last else 0) << 24 | len(piece)) + piece

    def reply(self, stream: int) -> bytes:
        """The client's stream is open; there are no headers."""
        block = self._zip.compress(_NUMBER.pack(0)) + self._zip.flush(zlib.Z_SYNC_FLUSH)
        return _control(Kind.REPLY, _NUMBER.pack(stream) + block)

    def refuse(self, stream: int) -> bytes:
        """The client's stream is not opened."""
        return _control(Kind.RESET, _NUMBER.pack(stream) + _NUMBER.pack(3))

    def pong(self, ping: Frame) -> bytes:
        """The answer to a ping is the same ping."""
        return _control(Kind.PING, _NUMBER.pack(ping.number))


def _control(kind: Kind, body: bytes) -> bytes:
    return _HEAD.pack(_CONTROL | _VERSION, kind, len(body)) + body
