"""An HTTP/1.1 connection, which carries one request at a time, and the channel that opens and reuses them."""

import time

from loadgen.protocols.wire.channel import Channel, Route
from loadgen.protocols.wire.exchange import MAX_ERROR_BYTES, Exchange
from loadgen.protocols.wire.http1_parser import Http1Parser, MalformedAnswerError

CLOSED = "connection closed before an answer"
INCOMPLETE = "Incomplete response: the connection closed before its end"


class Http1Connection:
    """One connection; implements `Receiver`."""

    __slots__ = ("_channel", "_parser", "_transport", "created_at", "exchange", "idle_since", "used")

    def __init__(self, channel: "Http1Channel", exchange: Exchange) -> None:
        self._channel = channel
        self.exchange: Exchange | None = exchange
        self._parser = Http1Parser(exchange)
        self.created_at = self.idle_since = time.monotonic()
        self.used = False
        self._transport = channel.open(self)

    def send(self, exchange: Exchange) -> bool:
        """Send a request over this idle connection; False if the peer has closed it."""
        if self._transport.peek() is not None:  # closed, or an answer that was not requested
            return False
        self.exchange = exchange
        self._parser = Http1Parser(exchange)
        self._write(exchange)
        return True

    def _write(self, exchange: Exchange) -> None:
        self.used = True
        exchange.connection = self
        self._transport.write(b"%s%d\r\n\r\n%s" % (self._channel.head, len(exchange.body), exchange.body), exchange)

    def opened(self) -> None:
        """Send the request that the connection was opened for."""
        if self.exchange is not None:
            self._write(self.exchange)

    def received(self, data: bytes, stamp: float) -> None:
        """Add to the answer."""
        exchange = self.exchange
        if exchange is None:  # an unrequested answer, such as 408 of a server that does not wait any longer
            self._channel.forget(self)
            return
        parser = self._parser
        try:
            parser.feed(data, stamp)
        except MalformedAnswerError as error:
            self._give_up(exchange, str(error))
            return
        if parser.done:
            # the rest of a request that the server did not wait for may be waiting
            whole = exchange.on_wire_at is not None
            self._end(exchange, stamp, keep=parser.keep_alive and whole and not parser.rest)
        elif exchange.status != 200 and len(exchange.data) > MAX_ERROR_BYTES:
            exchange.complete = True  # the start of an error is enough
            self._end(exchange, stamp, keep=False)

    def closed(self, message: str, fault: BaseException | None) -> None:
        """End the request with the connection."""
        exchange = self.exchange
        self._channel.forget(self)
        if exchange is None:
            return
        self.exchange = None
        if self._parser.closed():
            exchange.end()
        elif exchange.answered:
            exchange.fail(f"{INCOMPLETE} ({message})" if fault else INCOMPLETE, fault=fault)
        elif self.used:
            exchange.fail(f"{CLOSED} ({message})" if fault else CLOSED, fault=fault)
        else:
            exchange.fail(message, fault=fault)

    def cancel(self, exchange: Exchange) -> None:
        """Give up the request: HTTP/1.1 can do so only by closing the connection."""
        if self.exchange is exchange:
            self.exchange = None
            self._channel.forget(self)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _give_up(self, exchange: Exchange, message: str) -> None:
        self.exchange = None
        self._channel.forget(self)
        exchange.fail(message)

    def _end(self, exchange: Exchange, stamp: float, *, keep: bool) -> None:
        self.exchange = None
        if keep:
            self.idle_since = stamp
            self._channel.release(self)
        else:
            self._channel.forget(self)
        exchange.end(stamp)


class Http1Channel(Channel):
    """Connections to one server, each with one request at a time.

    Args:
        route: How to reach the server.
        head: Request line and header, up to the value of Content-Length.
    """

    def __init__(self, route: Route, head: bytes) -> None:
        super().__init__(route)
        self.head = head
        self._idle: dict[Http1Connection, None] = {}  # the least recently used first
        self._busy: set[Http1Connection] = set()

    def _send(self, exchange: Exchange) -> None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if self.route.is_fresh(connection.created_at, connection.idle_since) and connection.send(exchange):
                self._busy.add(connection)
                return
            connection.close()
        connection = Http1Connection(self, exchange)
        exchange.connection = connection
        self._busy.add(connection)

    def _cancel(self, exchange: Exchange) -> None:
        connection = exchange.connection
        if isinstance(connection, Http1Connection):
            connection.cancel(exchange)

    def release(self, connection: Http1Connection) -> None:
        """Take back a connection whose answer is whole."""
        self._busy.discard(connection)
        self._idle[connection] = None

    def forget(self, connection: Http1Connection) -> None:
        """Close a connection that cannot be used again."""
        self._busy.discard(connection)
        self._idle.pop(connection, None)
        connection.close()

    def _expire(self, now: float) -> None:
        while self._idle:
            oldest = next(iter(self._idle))
            if self.route.is_fresh(oldest.created_at, oldest.idle_since, now):
                break
            self.forget(oldest)

    def _close(self) -> None:
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()
        self._busy.clear()
