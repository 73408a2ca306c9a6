"""An HTTP/2 connection that carries many requests at a time (RFC 9113)."""

import time
from typing import Final, Protocol

from loadgen.protocols.wire import http2_frames as h2
from loadgen.protocols.wire.exchange import Exchange
from loadgen.protocols.wire.hpack import Decoder, HpackError
from loadgen.protocols.wire.http2_frames import ErrorCode, ProtocolError, frame
from loadgen.protocols.wire.http2_uploads import Uploads
from loadgen.protocols.wire.transport import Receiver, Transport

CLOSED: Final = "connection closed before an answer"
CUT: Final = "connection closed before the end of the answer"
MAX_BLOCK_BYTES: Final = 64 * 2**10
"""Largest header block, with its continuations."""
_UPDATE_BYTES: Final = 2**30
_MAX_UNSENT_BYTES: Final = 2**20
"""Most bytes that may wait for a peer that asks for acknowledgements."""
_MAX_INTERIM: Final = 100
"""Most answers with a status below 200 on one connection in a row."""


class Owner(Protocol):
    """What a connection needs to know of its channel, and tells it.

    Attributes:
        block: Header block of every request.
        max_streams: Most requests in flight on one connection.
        decoder: Decodes header blocks.
    """

    block: bytes
    max_streams: int
    decoder: Decoder

    def open(self, receiver: Receiver) -> Transport:
        """Open a connection to the server."""
        ...

    def resend(self, exchange: Exchange) -> bool:
        """Send a request again that the peer did not take; False if it must fail."""
        ...

    def released(self, connection: "Http2Connection") -> None:
        """A request of this connection has ended."""
        ...

    def retire(self, connection: "Http2Connection") -> None:
        """The connection takes no further request."""
        ...

    def forget(self, connection: "Http2Connection") -> None:
        """The connection is to be closed."""
        ...


class Http2Connection:
    """One connection; implements `Receiver`.

    Attributes:
        streams: Requests in flight by the number of their stream.
        created_at: When it was opened, reading of the monotonic clock.
        idle_since: When it last carried a request.
        accepts: Whether it may take more requests; False after GOAWAY, and once it is too old.
    """

    def __init__(self, channel: Owner) -> None:
        self._channel = channel
        self.streams: dict[int, Exchange] = {}
        self.created_at = self.idle_since = time.monotonic()
        self.accepts = True
        self._is_open = False
        self._next_id = 1
        self._max_streams = h2.MAX_STREAM_ID
        self._buffer = bytearray()
        self._received_bytes = 0
        self._block = b""
        self._block_of: tuple[int, int] | None = None  # stream and flags of a header block that continues
        self._interim = 0
        self._transport = channel.open(self)
        self._uploads = Uploads(self._transport)

    # -- requests -----------------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether it carries as many requests as it may."""
        return len(self.streams) >= min(self._max_streams, self._channel.max_streams)

    def has_window(self, body_bytes: int) -> bool:
        """Whether such a body does not have to wait for a window; an idle connection takes any."""
        return not self.streams or self._uploads.fits(body_bytes)

    def is_stale(self) -> bool:
        """Whether the peer closed this connection, while it was idle, before the next read."""
        return self._is_open and self._transport.peek() == b""

    def send(self, exchange: Exchange) -> None:
        """Send a request on a new stream."""
        self.streams[self._next_id] = exchange
        exchange.stream_id = self._next_id
        exchange.connection = self
        self._next_id += 2
        if self._next_id > h2.MAX_STREAM_ID:
            self.accepts = False
        if self._is_open:
            self._uploads.start(exchange, self._channel.block)

    def cancel(self, exchange: Exchange) -> None:
        """Give up a request, and tell the peer so."""
        if self.streams.pop(exchange.stream_id, None) is exchange:
            self._reset(exchange.stream_id, ErrorCode.CANCEL)
            self._released()

    def close(self) -> None:
        """Close the connection."""
        self._is_open = False
        self._transport.close()

    # -- connection ---------------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """Send the preface, and the requests that waited for the connection."""
        self._is_open = True
        self._transport.write(h2.PREFACE)
        for exchange in list(self.streams.values()):
            self._uploads.start(exchange, self._channel.block)

    def closed(self, message: str, fault: BaseException | None) -> None:
        """End all requests with the connection."""
        was_open = self._is_open
        self._channel.forget(self)
        lost, self.streams = self.streams, {}
        for exchange in lost.values():
            if not was_open:
                exchange.fail(message, fault=fault)
            else:
                reason = CUT if exchange.answered else CLOSED
                exchange.fail(f"{reason} ({message})" if fault else reason, fault=fault)

    def received(self, data: bytes, stamp: float) -> None:
        """Handle all whole frames of a read."""
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer)
            self._buffer.clear()
        at, size = 0, len(data)
        try:
            while size - at >= h2.HEADER_BYTES:
                high, low, kind, flags, stream_id = h2.unpack_header(data, at)
                length = high << 8 | low
                if length > h2.MAX_FRAME_BYTES:
                    raise ProtocolError(_too_large(data), ErrorCode.FRAME_SIZE_ERROR)
                start = at + h2.HEADER_BYTES
                at = start + length
                if at > size:
                    at = start - h2.HEADER_BYTES
                    break
                if kind == h2.DATA and not flags & h2.PADDED and self._block_of is None:
                    self._received_bytes += length
                    self._data(stream_id & h2.MAX_STREAM_ID, flags, data[start:at], stamp)
                else:
                    self._frame(kind, flags, stream_id & h2.MAX_STREAM_ID, data[start:at], stamp)
                if not self._is_open:
                    return
        except (ProtocolError, HpackError) as error:
            code = error.code if isinstance(error, ProtocolError) else ErrorCode.COMPRESSION_ERROR
            self._end(str(error), code)
            return
        if at < size:
            self._buffer += data[at:]
        if self._received_bytes >= _UPDATE_BYTES:
            self._transport.write(frame(h2.WINDOW_UPDATE, 0, 0, h2.UINT32.pack(self._received_bytes)))
            self._received_bytes = 0

    def _end(self, message: str, code: ErrorCode) -> None:
        """Close the connection because of what the peer did."""
        self._transport.write(frame(h2.GOAWAY, 0, 0, h2.UINT32.pack(0) + h2.UINT32.pack(code)))
        self._channel.forget(self)
        lost, self.streams = self.streams, {}
        for exchange in lost.values():
            exchange.fail(message)

    # -- frames -------------------------------------------------------------------------------------------------------

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes, stamp: float) -> None:
        if (self._block_of is not None) != (kind == h2.CONTINUATION):
            raise ProtocolError("a header block is interrupted by another frame")
        if kind == h2.DATA:
            self._received_bytes += len(payload)
            self._data(stream_id, flags, h2.without_padding(payload, flags & h2.PADDED), stamp)
        elif kind == h2.HEADERS:
            self._header_block(stream_id, flags, h2.without_padding(payload, flags), stamp)
        elif kind == h2.CONTINUATION and self._block_of is not None:
            if self._block_of[0] != stream_id:
                raise ProtocolError("a header block is continued on another stream")
            self._header_block(stream_id, flags & h2.END_HEADERS | self._block_of[1], payload, stamp)
        elif kind == h2.SETTINGS:
            self._settings(flags, payload)
        elif kind == h2.WINDOW_UPDATE:
            self._window_update(stream_id, payload)
        elif kind == h2.RST_STREAM:
            self._stream_reset(stream_id, payload)
        elif kind == h2.GOAWAY:
            self._going_away(payload)
        elif kind == h2.PING:
            if len(payload) != 8:
                raise ProtocolError("a PING frame has a wrong size", ErrorCode.FRAME_SIZE_ERROR)
            if not flags & h2.ACK:
                self._answer(frame(h2.PING, h2.ACK, 0, payload))
        elif kind == h2.PUSH_PROMISE:
            raise ProtocolError("the server pushes, which was not allowed")

    def _data(self, stream_id: int, flags: int, content: bytes, stamp: float) -> None:
        exchange = self.streams.get(stream_id)
        if exchange is None:
            if stream_id == 0 or stream_id >= self._next_id:
                raise ProtocolError("data arrived for a stream that does not exist")
            return  # given up meanwhile
        if not exchange.status:
            raise ProtocolError("data arrived before the header of the answer")
        if content and not exchange.add(content, stamp):
            self.cancel(exchange)
            exchange.fail(f"an answer of more than {len(exchange.data) // 2**10} KiB")
        elif flags & h2.END_STREAM:
            self._answered(exchange, stamp)

    def _header_block(self, stream_id: int, flags: int, part: bytes, stamp: float) -> None:
        self._block += part
        if len(self._block) > MAX_BLOCK_BYTES:
            raise ProtocolError(f"a header of more than {MAX_BLOCK_BYTES // 2**10} KiB", ErrorCode.ENHANCE_YOUR_CALM)
        if not flags & h2.END_HEADERS:
            if not part and self._block_of is not None:
                raise ProtocolError("a header block is continued by nothing", ErrorCode.ENHANCE_YOUR_CALM)
            self._block_of = stream_id, flags & h2.END_STREAM
            return
        block, self._block, self._block_of = self._block, b"", None
        if stream_id == 0 or stream_id >= self._next_id:
            raise ProtocolError("an answer arrived for a stream that does not exist")
        exchange = self.streams.get(stream_id)
        if exchange is None:
            return  # given up meanwhile; blocks do not depend on each other
        fields = self._channel.decoder.decode(block)
        if not exchange.status:
            status = fields.get(":status", "")
            if not (status.isascii() and status.isdigit() and len(status) == 3):
                raise ProtocolError("the header of an answer has no valid status")
            if status.startswith("1"):
                self._interim += 1
                if self._interim > _MAX_INTERIM or flags & h2.END_STREAM:
                    raise ProtocolError("the server sends interim answers only", ErrorCode.ENHANCE_YOUR_CALM)
                return
            self._interim = 0
            exchange.status = int(status)
            exchange.headers = fields
        elif flags & h2.END_STREAM:
            exchange.headers = {**exchange.headers, **fields}
        else:
            raise ProtocolError("a trailer does not end its stream")
        if flags & h2.END_STREAM:
            self._answered(exchange, stamp)

    def _answered(self, exchange: Exchange, stamp: float) -> None:
        """End a request whose answer is whole."""
        del self.streams[exchange.stream_id]
        if self._uploads.drop(exchange.stream_id):
            self._reset(exchange.stream_id, ErrorCode.CANCEL)  # the peer did not wait for the whole request
        exchange.complete = True
        self._released()
        exchange.end(stamp)

    def _reset(self, stream_id: int, code: ErrorCode) -> None:
        self._uploads.drop(stream_id)
        if self._is_open:
            self._transport.write(frame(h2.RST_STREAM, 0, stream_id, h2.UINT32.pack(code)))

    def _released(self) -> None:
        if not self.streams:
            self.idle_since = time.monotonic()
        self._channel.released(self)

    def _settings(self, flags: int, payload: bytes) -> None:
        if flags & h2.ACK:
            return
        for key, value in h2.settings_in(payload):
            if key == h2.MAX_CONCURRENT_STREAMS:
                self._max_streams = value
            elif key == h2.INITIAL_WINDOW_SIZE:
                self._uploads.set_initial_window(value)
            elif key == h2.MAX_FRAME_SIZE:
                self._uploads.max_frame_bytes = value
        self._answer(frame(h2.SETTINGS, h2.ACK, 0))

    def _answer(self, acknowledgement: bytes) -> None:
        if self._transport.unsent_bytes > _MAX_UNSENT_BYTES and not self._uploads.waiting:
            raise ProtocolError("the server sends control frames and does not read", ErrorCode.ENHANCE_YOUR_CALM)
        self._transport.write(acknowledgement)

    def _window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ProtocolError("a WINDOW_UPDATE frame has a wrong size", ErrorCode.FRAME_SIZE_ERROR)
        (step,) = h2.UINT32.unpack(payload)
        step &= h2.MAX_WINDOW
        if not step:
            raise ProtocolError("a window is increased by nothing")
        self._uploads.widen(stream_id, step)

    def _stream_reset(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ProtocolError("a RST_STREAM frame has a wrong size", ErrorCode.FRAME_SIZE_ERROR)
        exchange = self.streams.pop(stream_id, None)
        if exchange is None:
            return
        self._uploads.drop(stream_id)
        (code,) = h2.UINT32.unpack(payload)
        self._released()
        if code != ErrorCode.REFUSED_STREAM or not self._channel.resend(exchange):
            exchange.fail(f"Received RST_STREAM with error code {code}")

    def _going_away(self, payload: bytes) -> None:
        """Take no more requests here, and send those again elsewhere that the peer says it did not take."""
        if len(payload) < 8:
            raise ProtocolError("a GOAWAY frame has a wrong size", ErrorCode.FRAME_SIZE_ERROR)
        last, code = h2.UINT32.unpack_from(payload, 0)[0] & h2.MAX_STREAM_ID, h2.UINT32.unpack_from(payload, 4)[0]
        self.accepts = False
        self._channel.retire(self)
        for stream_id in [number for number in self.streams if number > last]:
            exchange = self.streams.pop(stream_id)
            self._uploads.drop(stream_id)
            if not self._channel.resend(exchange):
                exchange.fail(f"GOAWAY with error code {code}")
        if not self.streams:
            self._channel.forget(self)


def _too_large(data: bytes) -> str:
    """Say what the peer speaks, if it is not HTTP/2."""
    if data.startswith(b"HTTP/1."):
        return "the server answers with HTTP/1.1 rather than HTTP/2"
    return f"a frame of more than {h2.MAX_FRAME_BYTES // 2**10} KiB"
