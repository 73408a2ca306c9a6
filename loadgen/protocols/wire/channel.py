"""Defines a channel: the connections to one server, the requests in flight on them, and their time-outs."""

import ssl
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import gevent

from loadgen.protocols.wire.addresses import Addresses
from loadgen.protocols.wire.exchange import Exchange
from loadgen.protocols.wire.transport import Receiver, Transport

IDLE_S = 30.0
"""An idle connection is closed after this: common balancers drop one after 60 s, without telling us."""
MAX_AGE_S = 60.0
"""A connection that is older takes no further request, so that replicas that start later get their share."""
_TICK_S = 0.02
"""Resolution of time-outs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How connections reach a server.

    Attributes:
        addresses: Addresses of the server, or of the proxy in front of it.
        tls: Context of TLS, and the name that the certificate must have; None for plain TCP.
        alpn: Protocol that the server must choose with ALPN.
        tunnel: Request that opens a tunnel through a proxy; None without one.
        max_age_s: Age at which a connection takes no further request.
        idle_s: Time after which an idle connection is closed.
    """

    addresses: Addresses
    tls: tuple[ssl.SSLContext, str | None] | None = None
    alpn: str | None = None
    tunnel: bytes | None = field(default=None, repr=False)
    max_age_s: float = MAX_AGE_S
    idle_s: float = IDLE_S

    def open(self, receiver: Receiver) -> Transport:
        """Open a connection to the next address."""
        addresses = self.addresses.in_turn()
        return Transport(
            addresses, receiver, unresolved=self.addresses.fault, tls=self.tls, alpn=self.alpn, tunnel=self.tunnel
        )

    def is_fresh(self, created_at: float, idle_since: float, now: float | None = None) -> bool:
        """Whether an idle connection may take another request."""
        now = time.monotonic() if now is None else now
        return now - created_at < self.max_age_s and now - idle_since < self.idle_s


class Channel(ABC):
    """Sends requests to one server; the subclass knows the protocol. Everything happens in gevent's hub.

    Args:
        route: How to reach the server.
    """

    def __init__(self, route: Route) -> None:
        self.route = route
        self._by_timeout: dict[float, dict[Exchange, None]] = {}  # in the order of submission, so of their deadlines
        self._timer: Any = None

    def open(self, receiver: Receiver) -> Transport:
        """Open a connection to the server."""
        return self.route.open(receiver)

    @property
    def in_flight(self) -> int:
        """Number of requests without an outcome."""
        return sum(map(len, self._by_timeout.values()))

    def submit(self, exchange: Exchange) -> None:
        """Send a request as soon as a connection takes it; never blocks."""
        exchange.submitted_at = now = time.monotonic()
        exchange.deadline = now + exchange.timeout_s
        exchange.in_flight = in_flight = self._by_timeout.setdefault(exchange.timeout_s, {})
        in_flight[exchange] = None
        if self._timer is None:
            self._timer = gevent.get_hub().loop.timer(_TICK_S, _TICK_S)
            self._timer.start(self._tick)
        self._send(exchange)

    def resend(self, exchange: Exchange) -> bool:
        """Send a request again that its peer provably did not take; False if that was done before, or it has ended."""
        if exchange.resent or exchange.ended_at is not None:
            return False
        exchange.resent = True
        exchange.restart()
        self._send(exchange)
        return True

    def cancel(self, exchange: Exchange, message: str = "cancelled", code: str = "") -> None:
        """End a request that is in flight; its answer so far stays."""
        if exchange.ended_at is None:
            self._cancel(exchange)
            exchange.fail(message, code=code)

    def close(self) -> None:
        """Close all connections; requests in flight end as cancelled."""
        for in_flight in list(self._by_timeout.values()):  # an end may submit a request
            for exchange in list(in_flight):
                self.cancel(exchange)
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        self._close()

    def _tick(self) -> None:
        now = time.monotonic()
        for timeout_s, in_flight in list(self._by_timeout.items()):  # an end may submit a request
            while in_flight and (oldest := next(iter(in_flight))).deadline <= now:
                self.cancel(oldest, "timed out", "TIMEOUT")
            if not in_flight:  # time-outs may be many, as each request can have its own
                del self._by_timeout[timeout_s]
        self._expire(now)

    @abstractmethod
    def _send(self, exchange: Exchange) -> None:
        """Give a request to a connection."""

    @abstractmethod
    def _cancel(self, exchange: Exchange) -> None:
        """Take a request back from its connection, and tell the peer."""

    @abstractmethod
    def _expire(self, now: float) -> None:
        """Close connections that have been idle for too long."""

    @abstractmethod
    def _close(self) -> None:
        """Close all connections."""
