"""An HTTP/2 connection that carries many requests at a time (RFC 9113)."""

import time
from typing import Final, Protocol

from loadgen.protocols.wire import http2_frames as h2
from loadgen.protocols.wire.exchange import MAX_ERROR_BYTES, Exchange
from loadgen.protocols.wire.hpack import Decoder, HpackError
from loadgen.protocols.wire.http2_frames import ErrorCode, ProtocolError, error_name, frame
from loadgen.protocols.wire.http2_headers import HeaderBlocks
from loadgen.protocols.wire.http2_uploads import Uploads
from loadgen.protocols.wire.transport import Receiver, Transport

CLOSED: Final = "connection closed before an answer"
CUT: Final = "connection closed before the end of the answer"
_UPDATE_BYTES: Final = 2**30
_MAX_UNSENT_BYTES: Final = 2**20
"""Most bytes that may wait for a peer that asks for acknowledgements."""
_MAX_INTERIM: Final = 20
"""Most answers with a status below 200 for each request in flight, since the last header of an answer."""
_MAX_FIRST_LINE: Final = 1000


class Owner(Protocol):
    """What a connection needs to know of its channel, and tells it.

    Attributes:
        block: Header block of every request.
        max_streams: Most requests in flight on one connection.
        peer_max_streams: The same as servers of this channel have it, as far as known.
        peer_window: The largest body that they take at first, as far as known.
        has_settings: Whether a server of this channel has announced its limits.
        decoder: Decodes header blocks.
    """

    block: bytes
    max_streams: int
    peer_max_streams: int
    peer_window: int
    has_settings: bool
    decoder: Decoder

    def open(self, receiver: Receiver) -> Transport:
        """Open a connection to the server."""
        ...

    def move(self, exchange: Exchange) -> None:
        """Send a request elsewhere that was not sent here."""
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

    The first one of a channel sends requests once the server has announced its limits. Later ones assume the same
    limits at once, so that requests leave also while the server is stopped.

    Attributes:
        streams: Requests that were sent and have not ended, by the number of their stream.
        created_at: When it was opened, reading of the monotonic clock.
        idle_since: When it last carried a request.
        accepts: Whether it may take more requests; False after GOAWAY, and once it is too old.
    """

    def __init__(self, channel: Owner) -> None:
        self._channel = channel
        self.streams: dict[int, Exchange] = {}
        self._queue: dict[Exchange, None] = {}  # not sent yet
        self.created_at = self.idle_since = time.monotonic()
        self.accepts = True
        self._is_open = self._is_ready = self._may_send = False
        self._next_id = 1
        self._max_streams = channel.peer_max_streams
        self._buffer = bytearray()
        self._replies = bytearray()
        self._received_bytes = 0
        self._heard_at = 0.0
        self._blocks = HeaderBlocks()
        self._errors: set[int] = set()  # streams whose body is an error
        self._interim = 0
        self._transport = channel.open(self)
        self._uploads = Uploads(self._transport, channel.peer_window)

    # -- requests -----------------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether it carries no request."""
        return not self.streams and not self._queue

    @property
    def is_full(self) -> bool:
        """Whether it carries as many requests as it may."""
        return len(self.streams) + len(self._queue) >= min(self._max_streams, self._channel.max_streams)

    def has_window(self, body_bytes: int) -> bool:
        """Whether such a body would not wait for a window here; an idle connection must not be worse than a new one."""
        return self._uploads.fits(body_bytes) or (self.is_idle and self._uploads.has_room(body_bytes))

    def is_stale(self) -> bool:
        """Whether the peer closed this connection, while it was idle, before the next read."""
        return self._is_open and self._transport.peek() == b""

    def send(self, exchange: Exchange) -> None:
        """Send a request on a new stream, as soon as the server allows one."""
        exchange.connection = self
        if self._may_send and self._has_stream:
            self._start(exchange)
        else:
            self._queue[exchange] = None

    @property
    def _has_stream(self) -> bool:
        return len(self.streams) < self._max_streams and self._next_id <= h2.MAX_STREAM_ID

    def _start(self, exchange: Exchange) -> None:
        exchange.stream_id = self._next_id
        self.streams[self._next_id] = exchange
        self._next_id += 2
        if self._next_id > h2.MAX_STREAM_ID:
            self._channel.retire(self)
        self._uploads.start(exchange, self._channel.block)

    def _send_queue(self) -> None:
        """Send what waited for the settings; requests beyond the limit go elsewhere, or wait if no other has room."""
        for exchange in list(self._queue):
            if self._has_stream:
                del self._queue[exchange]
                self._start(exchange)
            elif self._max_streams:
                del self._queue[exchange]
                self._channel.move(exchange)

    def cancel(self, exchange: Exchange) -> None:
        """Give up a request, and tell the peer so."""
        if self._heard_at < exchange.submitted_at and time.monotonic() >= exchange.deadline:
            self._channel.retire(self)  # the peer may be gone without a word
        if exchange in self._queue:
            del self._queue[exchange]
            self._released()
        elif self.streams.get(exchange.stream_id) is exchange:
            self._drop(exchange, ErrorCode.CANCEL)

    def close(self) -> None:
        """Close the connection."""
        self._is_open = self._is_ready = self._may_send = False
        self._transport.close()

    # -- connection ---------------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """Send the preface, and requests if the limits of the server are known."""
        self._is_open = True
        self._transport.write(h2.PREFACE)
        if self._channel.has_settings:
            self._may_send = True
            self._send_queue()

    def closed(self, message: str, fault: BaseException | None) -> None:
        """End all requests with the connection; those that were not sent get another one."""
        was_open = self._is_open
        lost, unsent = self._abandon()
        for exchange in unsent:
            if not was_open:
                exchange.fail(message, fault=fault)
            elif not self._channel.resend(exchange):
                exchange.fail(f"{CLOSED} ({message})" if fault else CLOSED, fault=fault)
        for exchange in lost:
            reason = CUT if exchange.answered else CLOSED
            exchange.fail(f"{reason} ({message})" if fault else reason, fault=fault)

    def _abandon(self) -> tuple[list[Exchange], list[Exchange]]:
        """Close the connection; return the requests that were sent, and those that were not."""
        self._channel.forget(self)
        lost, unsent = list(self.streams.values()), list(self._queue)
        self.streams.clear()
        self._queue.clear()
        return lost, unsent

    def received(self, data: bytes, stamp: float) -> None:
        """Handle all whole frames of a read."""
        self._heard_at = stamp
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
                    if not self._is_ready and _is_half_a_line(data):
                        break
                    raise ProtocolError(self._not_a_frame(data), ErrorCode.FRAME_SIZE_ERROR)
                start = at + h2.HEADER_BYTES
                at = start + length
                if at > size:
                    at = start - h2.HEADER_BYTES
                    break
                if kind == h2.DATA and not flags & h2.PADDED and not self._blocks.unfinished:
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
            self._replies += frame(h2.WINDOW_UPDATE, 0, 0, h2.UINT32.pack(self._received_bytes))
            self._received_bytes = 0
        self._reply()
        if self._queue and self._may_send:  # after all frames of the read: windows often follow the settings
            self._send_queue()

    def _not_a_frame(self, data: bytes) -> str:
        """Say what the peer speaks, if it is not HTTP/2."""
        if self._is_ready:
            return f"a frame of more than {h2.MAX_FRAME_BYTES // 2**10} KiB"
        line = data.partition(b"\n")[0][:_MAX_FIRST_LINE].decode("latin-1").strip()
        return f"the server does not speak gRPC: {line}"

    def _end(self, message: str, code: ErrorCode) -> None:
        """Close the connection because of what the peer did."""
        self._transport.write(frame(h2.GOAWAY, 0, 0, h2.UINT32.pack(0) + h2.UINT32.pack(code)))
        lost, unsent = self._abandon()
        for exchange in (*lost, *unsent):
            exchange.fail(message)

    def _reply(self) -> None:
        """Send what the protocol asks for in answer to frames of the peer, in one piece."""
        if self._replies:
            self._transport.write(bytes(self._replies))
            self._replies.clear()

    # -- frames -------------------------------------------------------------------------------------------------------

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes, stamp: float) -> None:
        if self._blocks.unfinished != (kind == h2.CONTINUATION):
            raise ProtocolError("a header block is interrupted by another frame")
        if not self._is_ready and kind != h2.SETTINGS:
            raise ProtocolError("the server does not speak gRPC: it sends no settings")
        if kind in h2.OF_CONNECTION and stream_id:
            raise ProtocolError("a frame of the connection names a stream")
        if kind == h2.DATA:
            self._received_bytes += len(payload)
            self._data(stream_id, flags, h2.without_padding(payload, flags & h2.PADDED), stamp)
        elif kind in (h2.HEADERS, h2.CONTINUATION):
            if whole := self._blocks.add(kind, flags, stream_id, payload):
                self._header(stream_id, *whole, stamp)
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
                self._acknowledge(frame(h2.PING, h2.ACK, 0, payload))
        elif kind == h2.PUSH_PROMISE:
            raise ProtocolError("the server pushes, which was not allowed")

    def _exchange(self, stream_id: int) -> Exchange | None:
        """Return the request of a stream; None if it was given up meanwhile."""
        exchange = self.streams.get(stream_id)
        if exchange is None and (stream_id >= self._next_id or not stream_id & 1):
            raise ProtocolError("an answer arrived for a stream that does not exist")
        return exchange

    def _data(self, stream_id: int, flags: int, content: bytes, stamp: float) -> None:
        exchange = self._exchange(stream_id)
        if exchange is None:
            return
        if not exchange.status:
            self._malformed(exchange, "data arrived before the header of the answer")
        elif content and not exchange.add(content, stamp):
            self._malformed(exchange, f"an answer of more than {len(exchange.data) // 2**10} KiB")
        elif flags & h2.END_STREAM:
            self._answered(exchange, stamp)
        elif self._errors and stream_id in self._errors and len(exchange.data) > MAX_ERROR_BYTES:
            self._answered(exchange, stamp, ErrorCode.CANCEL)  # the start of an error is enough

    def _header(self, stream_id: int, flags: int, block: bytes, stamp: float) -> None:
        exchange = self._exchange(stream_id)
        if exchange is None:
            return  # blocks do not depend on each other
        fields = self._channel.decoder.decode(block)
        if not exchange.status:
            status = fields.get(":status", "")
            if not (status.isascii() and status.isdigit() and len(status) == 3 and status >= "100"):
                self._malformed(exchange, "the header of an answer has no valid status")
                return
            if status < "200":
                self._interim += 1
                if self._interim > _MAX_INTERIM * len(self.streams):
                    raise ProtocolError("the server sends interim answers only", ErrorCode.ENHANCE_YOUR_CALM)
                if flags & h2.END_STREAM:
                    self._malformed(exchange, "the answer ends with an interim header")
                return
            self._interim = 0
            exchange.status = int(status)
            exchange.headers = fields
            if status != "200" or not fields.get("content-type", "").startswith("application/grpc"):
                self._errors.add(stream_id)
        elif flags & h2.END_STREAM:
            exchange.headers = {**exchange.headers, **fields}
        else:
            self._malformed(exchange, "a trailer does not end its stream")
            return
        if flags & h2.END_STREAM:
            self._answered(exchange, stamp)

    def _answered(self, exchange: Exchange, stamp: float, code: ErrorCode | None = None) -> None:
        """End a request whose answer is whole, or long enough."""
        exchange.complete = True
        self._drop(exchange, code)
        exchange.end(stamp)

    def _malformed(self, exchange: Exchange, message: str) -> None:
        """End a request whose answer breaks the rules; the others of the connection go on."""
        self._drop(exchange, ErrorCode.PROTOCOL_ERROR)
        exchange.fail(message)

    def _drop(self, exchange: Exchange, code: ErrorCode | None) -> None:
        """Forget a request, and tell the peer with an error code unless both sides have ended the stream."""
        stream_id = exchange.stream_id
        del self.streams[stream_id]
        self._errors.discard(stream_id)
        if self._uploads.drop(stream_id) and code is None:
            code = ErrorCode.CANCEL  # the peer did not wait for the whole request
        if code is not None and self._is_open:
            self._transport.write(frame(h2.RST_STREAM, 0, stream_id, h2.UINT32.pack(code)))
        self._released()

    def _released(self) -> None:
        if self.is_idle:
            self.idle_since = time.monotonic()
        self._channel.released(self)

    def _settings(self, flags: int, payload: bytes) -> None:
        if flags & h2.ACK:
            return
        values = dict(h2.settings_in(payload))
        if not self._is_ready:  # what the first frame does not name has the protocol's default, not what was assumed
            values = {h2.MAX_CONCURRENT_STREAMS: h2.MAX_STREAM_ID, h2.INITIAL_WINDOW_SIZE: h2.DEFAULT_WINDOW} | values
        self._acknowledge(frame(h2.SETTINGS, h2.ACK, 0))
        self._is_ready = self._may_send = self._channel.has_settings = True
        if (streams := values.get(h2.MAX_CONCURRENT_STREAMS)) is not None:
            self._max_streams = streams
            self._channel.peer_max_streams = max(1, streams)
        self._uploads.max_frame_bytes = values.get(h2.MAX_FRAME_SIZE, self._uploads.max_frame_bytes)
        if (window := values.get(h2.INITIAL_WINDOW_SIZE)) is not None:
            self._reply()  # data that the new window allows comes after the acknowledgement
            self._uploads.set_initial_window(window)
            self._channel.peer_window = min(window, h2.DEFAULT_WINDOW)

    def _acknowledge(self, reply: bytes) -> None:
        if self._transport.unsent_bytes > _MAX_UNSENT_BYTES and not self._uploads.waiting:
            raise ProtocolError("the server sends control frames and does not read", ErrorCode.ENHANCE_YOUR_CALM)
        self._replies += reply

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
        exchange = self._exchange(stream_id)
        if exchange is None:
            return
        (code,) = h2.UINT32.unpack(payload)
        self._uploads.drop(stream_id)
        self._drop(exchange, None)
        if code != ErrorCode.REFUSED_STREAM or exchange.answered or not self._channel.resend(exchange):
            exchange.fail(f"Received RST_STREAM with error code {error_name(code)}")

    def _going_away(self, payload: bytes) -> None:
        """Take no more requests here, and send those again elsewhere that the peer says it did not take."""
        if len(payload) < 8:
            raise ProtocolError("a GOAWAY frame has a wrong size", ErrorCode.FRAME_SIZE_ERROR)
        last, code = h2.UINT32.unpack_from(payload, 0)[0] & h2.MAX_STREAM_ID, h2.UINT32.unpack_from(payload, 4)[0]
        self._channel.retire(self)
        refused = [self.streams.pop(number) for number in list(self.streams) if number > last]
        for exchange in refused:
            self._uploads.drop(exchange.stream_id)
            self._errors.discard(exchange.stream_id)
        refused += self._queue
        self._queue.clear()
        if self.is_idle:
            self._reply()
            self._channel.forget(self)
        for exchange in refused:
            if not self._channel.resend(exchange):
                exchange.fail(f"GOAWAY with error code {error_name(code)}")


def _is_half_a_line(data: bytes) -> bool:
    """Whether more of the line may follow in which a peer without HTTP/2 says what is wrong."""
    return data.startswith(b"HTTP/1.") and b"\n" not in data and len(data) < _MAX_FIRST_LINE
