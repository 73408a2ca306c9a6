"""Parses one HTTP/1.1 answer as its bytes arrive (RFC 9112), within stated limits."""

import re
from collections.abc import Callable
from typing import Final

from loadgen.protocols.wire.exchange import Exchange

MAX_HEADER_BYTES: Final = 64 * 2**10
"""Largest header or trailer section, and the largest sum of all interim answers."""
_MAX_CHUNK_LINE: Final = 4 * 2**10
_WANTED: Final = frozenset({"content-type", "location", "x-pod-name"})
_FRAMING: Final = frozenset({"connection", "content-length", "transfer-encoding"})
_HEADER_END: Final = re.compile(rb"\n\r?\n")  # some small servers omit carriage returns
_STATUS_LINE: Final = re.compile(r"HTTP/1\.(\d) ([1-9]\d\d)(?: |$)", re.ASCII)
_CHUNK_SIZE: Final = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?", re.DOTALL)
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
        first, *lines = data[at : end.start()].decode("latin-1").split("\n")
        status_line = _STATUS_LINE.match(first.rstrip("\r"))
        if status_line is None:
            raise MalformedAnswerError("the answer is not HTTP")
        status = int(status_line[2])
        if status == 101:
            raise MalformedAnswerError("the server switches to another protocol, which was not requested")
        if status >= 200:
            self._body(status, status_line[1] == "0", lines)
        return end.end()

    def _limit(self, size: int) -> None:
        if self._headers_bytes + size > MAX_HEADER_BYTES:
            raise MalformedAnswerError(f"a header of more than {MAX_HEADER_BYTES // 2**10} KiB")

    def _body(self, status: int, is_http10: bool, lines: list[str]) -> None:
        """Find out how the body ends (RFC 9112, section 6.3)."""
        fields = _fields(lines)
        exchange = self.exchange
        exchange.status = status
        exchange.headers = {name: ", ".join(values) for name, values in fields.items() if name in _WANTED}
        options = {each.strip() for value in fields.get("connection", ()) for each in value.lower().split(",")}
        codings = [each.strip() for value in fields.get("transfer-encoding", ()) for each in value.lower().split(",")]
        lengths = {each.strip() for value in fields.get("content-length", ()) for each in value.split(",")}
        self.keep_alive = "close" not in options and (not is_http10 or "keep-alive" in options)
        if status in _NO_BODY:
            self._finish()
        elif codings:
            # a length beside it, or the old version, may be the trace of another message between the two
            self.keep_alive = self.keep_alive and not lengths and not is_http10
            self._state = Http1Parser._chunk_size if codings[-1] == "chunked" else Http1Parser._until_close
        elif lengths:
            length = lengths.pop()
            if lengths or not (length.isascii() and length.isdigit()) or len(length) > 18:
                raise MalformedAnswerError("the answer has no valid Content-Length")
            self._left = int(length)
            self._state = Http1Parser._sized
            if not self._left:
                self._finish()
        else:
            self._state = Http1Parser._until_close

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
