"""Parses one HTTP/1.1 answer as its bytes arrive (RFC 9112), within stated limits."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from loadgen.protocols.wire.exchange import Exchange

MAX_HEADER_BYTES: Final = 64 * 2**10
"""Largest header or trailer section, and the largest sum of all interim answers."""
_MAX_CHUNK_LINE: Final = 4 * 2**10
_MAX_KNOWN: Final = 256
"""Most headers that are remembered."""
_MAX_KNOWN_BYTES: Final = 1024
"""Longest header that is remembered."""
_WANTED: Final = frozenset({"content-type", "location", "x-pod-name"})
_FRAMING: Final = frozenset({"connection", "content-length", "transfer-encoding"})
_HEADER_END: Final = re.compile(rb"\n\r?\n")  # some small servers omit carriage returns
_STATUS_LINE: Final = re.compile(r"HTTP/1\.(\d) ([1-9]\d\d)(?: |$)", re.ASCII)
_CHUNK_SIZE: Final = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?", re.DOTALL)
_PLAIN_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
_NO_BODY: Final = frozenset({204, 304})


class MalformedAnswerError(Exception):
    """The bytes are not an HTTP/1.1 answer, or exceed a limit; the message says which."""


class Http1Parser:
    """The state of one answer.

    Attributes:
        exchange: What the answer is written to.
        keep_alive: Whether the connection can be used again after the answer.
        done: Whether the answer is whole.
        rest: What arrived after the answer; a peer that keeps to the protocol sends nothing.
    """

    __slots__ = ("_buffer", "_headers_bytes", "_left", "_searched", "_state", "done", "exchange", "keep_alive", "rest")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.keep_alive = True
        self.done = False
        self.rest = b""
        self._buffer = bytearray()
        self._searched = 0  # bytes at the start of the buffer in which no section ends
        self._headers_bytes = 0
        self._left = 0
        # a function, not a method: a cycle of references would keep every answer while the collector is paused
        self._state: Callable[[Http1Parser, bytes, int, float], int] = Http1Parser._header

    def feed(self, data: bytes, stamp: float) -> None:
        """Add what one read returned.

        Raises:
            MalformedAnswerError: the bytes are not an answer, or too many.
        """
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer)
            self._buffer.clear()
        if self._state is Http1Parser._chunk_size and self._one_chunk(data, stamp):
            return
        at, size = 0, len(data)
        while not self.done:
            before = at
            at = self._state(self, data, at, stamp)
            if at in (before, size):
                break
        if self.done:
            self.rest = data[at:]
        elif at < size:
            self._buffer += data[at:]

    def closed(self) -> bool:
        """Note that the peer closed the connection; True if that ends the answer as the protocol allows."""
        if self._state is Http1Parser._until_close:
            self.exchange.bounded = False
            self._finish()
        return self.done

    def _one_chunk(self, data: bytes, stamp: float) -> bool:
        """Take a read that is exactly one chunk, as most reads of a stream are; False if it is something else."""
        end = data.find(b"\r\n", 0, 18)
        size = _PLAIN_SIZE.fullmatch(data, 0, end) if end > 0 else None
        if size is None or end + 4 + int(size[0], 16) != len(data) or not data.endswith(b"\r\n") or len(data) < end + 5:
            return False
        if not self.exchange.add(data[end + 2 : -2], stamp):
            raise MalformedAnswerError(f"an answer of more than {len(self.exchange.data) // 2**10} KiB")
        return True

    # each state takes data from `at` on, and returns up to where it used it

    def _header(self, data: bytes, at: int, stamp: float) -> int:
        end = _HEADER_END.search(data, max(at, self._searched))
        if end is None:
            if not b"HTTP/1.".startswith(data[at : at + 7]):
                raise MalformedAnswerError("the answer is not HTTP")
            self._limit(len(data) - at)
            self._searched = max(0, len(data) - at - 2)  # the rest moves to the start of the buffer
            return at
        self._searched = 0
        self._limit(end.start() - at)
        self._headers_bytes += end.end() - at
        self._body(_framing(data[at : end.start()]))
        return end.end()

    def _limit(self, size: int) -> None:
        if self._headers_bytes + size > MAX_HEADER_BYTES:
            raise MalformedAnswerError(f"a header of more than {MAX_HEADER_BYTES // 2**10} KiB")

    def _body(self, framing: "_Framing") -> None:
        status, headers, self.keep_alive, self._state, self._left = framing
        if status < 200:
            self._state, self.keep_alive = Http1Parser._header, True
            return
        self.exchange.status, self.exchange.headers = status, headers
        if self._state is Http1Parser._sized and not self._left:
            self._finish()

    def _sized(self, data: bytes, at: int, stamp: float) -> int:
        at = self._take(data, at, stamp)
        if not self._left:
            self._finish()
        return at

    def _until_close(self, data: bytes, at: int, stamp: float) -> int:
        self.keep_alive = False
        self._left = len(data) - at
        return self._take(data, at, stamp)

    def _chunk_size(self, data: bytes, at: int, stamp: float) -> int:
        end = data.find(b"\n", at, at + _MAX_CHUNK_LINE)
        if end < 0:
            if len(data) - at >= _MAX_CHUNK_LINE:
                raise MalformedAnswerError("a chunk has no valid size")
            return at
        size = _CHUNK_SIZE.fullmatch(data, at, end)
        if size is None:
            raise MalformedAnswerError("a chunk has no valid size")
        self._left = int(size[1], 16)
        self._state = Http1Parser._chunk if self._left else Http1Parser._trailer
        return end + 1

    def _chunk(self, data: bytes, at: int, stamp: float) -> int:
        at = self._take(data, at, stamp)
        if not self._left:
            self._state = Http1Parser._chunk_end
        return at

    def _chunk_end(self, data: bytes, at: int, stamp: float) -> int:
        if data.startswith(b"\r\n", at):
            self._state = Http1Parser._chunk_size
            return at + 2
        if data.startswith(b"\n", at):
            self._state = Http1Parser._chunk_size
            return at + 1
        if data[at : at + 2] == b"\r":
            return at
        raise MalformedAnswerError("a chunk is longer than its size")

    def _trailer(self, data: bytes, at: int, stamp: float) -> int:
        end = data.find(b"\n", at)
        self._limit((len(data) if end < 0 else end) - at)
        if end < 0:
            return at
        self._headers_bytes += end + 1 - at
        if not data[at:end].strip():
            self._finish()
        return end + 1

    def _take(self, data: bytes, at: int, stamp: float) -> int:
        """Add to the body as much as is left of it."""
        end = min(at + self._left, len(data))
        self._left -= end - at
        if end > at:
            whole = data if at == 0 and end == len(data) else data[at:end]
            if not self.exchange.add(whole, stamp):
                raise MalformedAnswerError(f"an answer of more than {len(self.exchange.data) // 2**10} KiB")
        return end

    def _finish(self) -> None:
        self.done = self.exchange.complete = True


_State = Callable[[Http1Parser, bytes, int, float], int]


class _Framing(NamedTuple):
    """What a header says: status, the fields that are read, whether the connection stays, and how the body ends."""

    status: int
    headers: dict[str, str]
    keep_alive: bool
    state: _State
    length: int


_known: dict[bytes, _Framing] = {}


def _framing(header: bytes) -> _Framing:
    """Return what a header says; most servers repeat a few headers, which are parsed once.

    Raises:
        MalformedAnswerError: it is not a header.
    """
    found = _known.get(header)
    if found is None:
        found = _parsed(header)
        if len(header) <= _MAX_KNOWN_BYTES:
            if len(_known) >= _MAX_KNOWN:
                _known.clear()
            _known[header] = found
    return found


def _parsed(header: bytes) -> _Framing:
    """Find out how the body ends (RFC 9112, section 6.3)."""
    first, *lines = header.decode("latin-1").split("\n")
    status_line = _STATUS_LINE.match(first.rstrip("\r"))
    if status_line is None:
        raise MalformedAnswerError("the answer is not HTTP")
    status, is_http10 = int(status_line[2]), status_line[1] == "0"
    if status == 101:
        raise MalformedAnswerError("the server switches to another protocol, which was not requested")
    fields = _fields(lines) if status >= 200 else {}
    headers = {name: ", ".join(values) for name, values in fields.items() if name in _WANTED}
    options = {each.strip() for value in fields.get("connection", ()) for each in value.lower().split(",")}
    codings = [each.strip() for value in fields.get("transfer-encoding", ()) for each in value.lower().split(",")]
    lengths = {each.strip() for value in fields.get("content-length", ()) for each in value.split(",")}
    keep_alive = "close" not in options and (not is_http10 or "keep-alive" in options)
    if status in _NO_BODY:
        return _Framing(status, headers, keep_alive, Http1Parser._sized, 0)
    if codings:
        # a length beside it, or the old version, may be the trace of another message between the two
        keep_alive = keep_alive and not lengths and not is_http10
        state = Http1Parser._chunk_size if codings[-1] == "chunked" else Http1Parser._until_close
        return _Framing(status, headers, keep_alive, state, 0)
    if not lengths:
        return _Framing(status, headers, keep_alive, Http1Parser._until_close, 0)
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit()) or len(length) > 18:
        raise MalformedAnswerError("the answer has no valid Content-Length")
    return _Framing(status, headers, keep_alive, Http1Parser._sized, int(length))


def _fields(lines: list[str]) -> dict[str, list[str]]:
    """Return the values of the fields that matter, by lower-case name."""
    fields: dict[str, list[str]] = {}
    values: list[str] | None = None
    for line in lines:
        if line[:1] in (" ", "\t"):  # continues the line before (RFC 9112, section 5.2)
            if values:
                values[-1] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip().lower()
        if not colon or not name:
            raise MalformedAnswerError("a line of the header has no name and value")
        values = fields.setdefault(name, []) if name in _WANTED or name in _FRAMING else None
        if values is not None:
            values.append(value.strip())
    return fields
