"""Sends the bodies of requests within the windows that an HTTP/2 peer grants."""

from loadgen.protocols.wire import http2_frames as h2
from loadgen.protocols.wire.exchange import Exchange
from loadgen.protocols.wire.http2_frames import ErrorCode, ProtocolError, frame
from loadgen.protocols.wire.transport import Transport


class _Upload:
    """The rest of a body that waits for a window."""

    __slots__ = ("exchange", "sent_bytes", "window")

    def __init__(self, exchange: Exchange, window: int) -> None:
        self.exchange = exchange
        self.sent_bytes = 0
        self.window = window


class Uploads:
    """The bodies of one connection.

    Attributes:
        max_frame_bytes: Largest frame that the peer takes.
    """

    def __init__(self, transport: Transport, initial_window: int = h2.DEFAULT_WINDOW) -> None:
        self._transport = transport
        self._window = h2.DEFAULT_WINDOW
        self._initial_window = initial_window
        self._waiting: dict[int, _Upload] = {}
        self.max_frame_bytes = h2.MAX_FRAME_BYTES

    def has_room(self, size: int) -> bool:
        """Whether the connection's window takes as much of a body as a new connection would, or all of it."""
        return self._window >= min(size, h2.DEFAULT_WINDOW)

    @property
    def waiting(self) -> bool:
        """Whether a body waits for a window."""
        return bool(self._waiting)

    def fits(self, size: int) -> bool:
        """Whether a body of `size` bytes would not have to wait for a window."""
        return not self._waiting and size <= self._window and size <= self._initial_window

    def start(self, exchange: Exchange, block: bytes) -> None:
        """Send header and body of a request, as much as the windows allow."""
        body, stream_id = exchange.body, exchange.stream_id
        size = len(body)
        if len(block) <= self.max_frame_bytes:
            header = frame(h2.HEADERS, h2.END_HEADERS, stream_id, block)
        else:
            header = self._continued(stream_id, block)
        if not size or (size <= self.max_frame_bytes and self.fits(size)):
            self._window -= size
            self._transport.write(header + frame(h2.DATA, h2.END_STREAM, stream_id, body), exchange)
            return
        self._transport.write(header)
        self._waiting[stream_id] = _Upload(exchange, self._initial_window)
        self._flush()

    def _continued(self, stream_id: int, block: bytes) -> bytes:
        size = self.max_frame_bytes
        parts = [block[at : at + size] for at in range(0, len(block), size)]
        frames = [frame(h2.HEADERS, 0, stream_id, parts[0])]
        frames += [frame(h2.CONTINUATION, 0, stream_id, part) for part in parts[1:-1]]
        return b"".join((*frames, frame(h2.CONTINUATION, h2.END_HEADERS, stream_id, parts[-1])))

    def drop(self, stream_id: int) -> bool:
        """Send nothing more of a body; False if it was sent to its end."""
        return self._waiting.pop(stream_id, None) is not None

    def set_initial_window(self, value: int) -> None:
        """Change the window of streams, also of those that wait (RFC 9113, section 6.9.2)."""
        step, self._initial_window = value - self._initial_window, value
        for upload in self._waiting.values():
            upload.window += step
            if upload.window > h2.MAX_WINDOW:
                raise ProtocolError("a window is larger than allowed", ErrorCode.FLOW_CONTROL_ERROR)
        self._flush()

    def widen(self, stream_id: int, step: int) -> None:
        """Enlarge the window of the connection (stream 0), or of a stream.

        Raises:
            ProtocolError: it becomes larger than allowed.
        """
        if stream_id == 0:
            self._window += step
            window = self._window
        elif upload := self._waiting.get(stream_id):
            upload.window += step
            window = upload.window
        else:
            return  # sent to its end
        if window > h2.MAX_WINDOW:
            raise ProtocolError("a window is larger than allowed", ErrorCode.FLOW_CONTROL_ERROR)
        self._flush()

    def _flush(self) -> None:
        """Send what the windows allow, in the order of the requests."""
        for stream_id, upload in list(self._waiting.items()):
            exchange, size = upload.exchange, len(upload.exchange.body)
            while upload.sent_bytes < size:
                room = min(self._window, upload.window, self.max_frame_bytes)
                if room <= 0:
                    break
                part = exchange.body[upload.sent_bytes : upload.sent_bytes + room]
                upload.sent_bytes += len(part)
                upload.window -= len(part)
                self._window -= len(part)
                is_last = upload.sent_bytes == size
                self._transport.write(
                    frame(h2.DATA, h2.END_STREAM if is_last else 0, stream_id, part), exchange if is_last else None
                )
            if upload.sent_bytes == size:
                del self._waiting[stream_id]
            if self._window <= 0:
                return
