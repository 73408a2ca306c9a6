"""The channel that spreads requests over HTTP/2 connections."""

import time

from loadgen.protocols.wire.channel import Channel, Route
from loadgen.protocols.wire.exchange import Exchange
from loadgen.protocols.wire.hpack import Decoder
from loadgen.protocols.wire.http2 import Http2Connection
from loadgen.protocols.wire.http2_frames import DEFAULT_WINDOW, MAX_STREAM_ID

MAX_STREAMS = 50
"""Most requests in flight on one connection."""


class Http2Channel(Channel):
    """Connections to one server, each with many requests at a time.

    Args:
        route: How to reach the server.
        block: Header block of every request.
        max_streams: Most requests in flight on one connection.

    Attributes:
        peer_max_streams: What the server said last about the same; a new connection starts with it.
        peer_window: The same of the window of a stream; at most that which the protocol grants before any settings.
        has_settings: Whether it said anything.
    """

    def __init__(self, route: Route, block: bytes, max_streams: int = MAX_STREAMS) -> None:
        super().__init__(route)
        self.block = block
        self.max_streams = max_streams
        self.peer_max_streams = MAX_STREAM_ID
        self.peer_window = DEFAULT_WINDOW
        self.has_settings = False
        self.decoder = Decoder()
        self._free: dict[Http2Connection, None] = {}  # may have room; the least recently used first
        self._connections: set[Http2Connection] = set()

    def _send(self, exchange: Exchange) -> None:
        connection = self._with_room(exchange)
        if connection is None:
            connection = Http2Connection(self)
            self._connections.add(connection)
            self._free[connection] = None
        connection.send(exchange)

    def _with_room(self, exchange: Exchange) -> Http2Connection | None:
        """Return the connection that was used last among those with room; the others can then become idle."""
        now = time.monotonic()
        for connection in reversed(list(self._free)):
            if connection.is_idle and connection.is_stale():
                self.forget(connection)
            elif now - connection.created_at > self.route.max_age_s:
                self.retire(connection)
                if connection.is_idle:
                    self.forget(connection)
            elif connection.is_full:
                del self._free[connection]  # until one of its requests has ended
            elif connection.has_window(len(exchange.body)):
                return connection
        return None

    def move(self, exchange: Exchange) -> None:
        """Send a request over another connection, as it was not sent."""
        self._send(exchange)

    def _cancel(self, exchange: Exchange) -> None:
        connection = exchange.connection
        if isinstance(connection, Http2Connection):
            connection.cancel(exchange)

    def released(self, connection: Http2Connection) -> None:
        """Note that a request of this connection has ended."""
        if connection.accepts:
            self._free.setdefault(connection)
        elif connection.is_idle:
            self.forget(connection)

    def retire(self, connection: Http2Connection) -> None:
        """Give the connection no further request."""
        connection.accepts = False
        self._free.pop(connection, None)

    def forget(self, connection: Http2Connection) -> None:
        """Close a connection."""
        self.retire(connection)
        self._connections.discard(connection)
        connection.close()

    def _expire(self, now: float) -> None:
        for connection in list(self._free):
            if connection.is_idle and not self.route.is_fresh(connection.created_at, connection.idle_since, now):
                self.forget(connection)

    def _close(self) -> None:
        for connection in list(self._connections):
            self.forget(connection)
