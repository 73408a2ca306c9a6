"""Parses one HTTP/1.1 answer as its bytes arrive (RFC 9112), within stated limits."""

from typing import Final

from loadgen.protocols.wire.exchange import Exchange

MAX_HEADER_BYTES: Final = 64 * 2**10
"""Largest header or trailer section, and the largest sum of all interim answers."""
_MAX_CHUNK_LINE: Final = 4 * 2**10
_WANTED: Final = frozenset({"content-type", "location", "x-pod-name"})
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
        self._searched = 0
        self._headers_bytes = 0
        self._left = 0
        self._state = self._header

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
            at = self._state(data, at, stamp)
            if at in (before, size):
                break
        if self.done:
            self.rest = data[at:]
        elif at < size:
            self._buffer += data[at:]

    def closed(self) -> bool:
        """Note that the peer closed the connection; True if that ends the answer as the protocol allows."""
        if self._state == self._until_close:
            self.exchange.bounded = False
            self._finish()
        return self.done

    # each state takes data from `at` on, and returns up to where it used it

    def _header(self, data: bytes, at: int, stamp: float) -> int:
        end = data.find(b"\r\n\r\n", at)
        skip = 4
        if end < 0:
            end, skip = data.find(b"\n\n", at), 2  # some small servers omit carriage returns
        if end < 0:
            self._limit(len(data) - at)
            return at
        self._limit(end - at)
        self._headers_bytes += end + skip - at
        first, *lines = data[at:end].decode("latin-1").replace("\r\n", "\n").split("\n")
        version, _, rest = first.partition(" ")
        code = rest[:3]
        if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit() and len(code) == 3):
            raise MalformedAnswerError("the answer is not HTTP/1.1")
        status = int(code)
        if status == 101:
            raise MalformedAnswerError("the server switches to another protocol, which was not requested")
        if status >= 200:
            self._body(status, version, lines)
        return end + skip

    def _limit(self, size: int) -> None:
        if self._headers_bytes + size > MAX_HEADER_BYTES:
            raise MalformedAnswerError(f"a header of more than {MAX_HEADER_BYTES // 2**10} KiB")

    def _body(self, status: int, version: str, lines: list[str]) -> None:
        """Find out how the body ends (RFC 9112, section 6.3)."""
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name, value = name.lower(), value.strip()
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        exchange = self.exchange
        exchange.status = status
        exchange.headers = {name: value for name, value in fields.items() if name in _WANTED}
        tokens = fields.get("connection", "").lower()
        self.keep_alive = "close" not in tokens and (version != "HTTP/1.0" or "keep-alive" in tokens)
        if status in _NO_BODY:
            self._finish()
        elif coding := fields.get("transfer-encoding", "").lower():
            if coding.rpartition(",")[2].strip() == "chunked":
                self._state = self._chunk_size
            else:
                self._state = self._until_close
        elif "content-length" in fields:
            lengths = {length.strip() for length in fields["content-length"].split(",")}
            length = lengths.pop()
            if lengths or not (length.isascii() and length.isdigit()) or len(length) > 18:
                raise MalformedAnswerError("the answer has no valid Content-Length")
            self._left = int(length)
            self._state = self._sized
            if not self._left:
                self._finish()
        else:
            self._state = self._until_close

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
        digits = data[at:end].split(b";", 1)[0].strip()
        try:
            if not 0 < len(digits) <= 15 or digits[:1] in b"+-" or b"_" in digits:
                raise ValueError
            self._left = int(digits, 16)
        except ValueError:
            raise MalformedAnswerError("a chunk has no valid size") from None
        self._state = self._chunk if self._left else self._trailer
        return end + 1

    def _chunk(self, data: bytes, at: int, stamp: float) -> int:
        at = self._take(data, at, stamp)
        if not self._left:
            self._state = self._chunk_end
        return at

    def _chunk_end(self, data: bytes, at: int, stamp: float) -> int:
        if data.startswith(b"\r\n", at):
            self._state = self._chunk_size
            return at + 2
        if data.startswith(b"\n", at):
            self._state = self._chunk_size
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
