"""Resolves the name of a server off the hub, and gives its addresses in turn."""

import socket
import time
from collections.abc import Iterator
from itertools import cycle

import gevent

from loadgen.protocols.wire.transport import Address

_MAX_ADDRESSES = 1000
_RETRY_S = 0.5


class Addresses:
    """The addresses of one host, which are resolved again in the background once they are older than `max_age_s`.

    A name such as that of a headless Service has one address for each replica. Every new connection starts with the
    next one, and falls back on those after it.

    Args:
        host: Name or address.
        port: Port.
        max_age_s: Age after which the next use starts a new resolution, without waiting for it.

    Attributes:
        fault: Why the name cannot be resolved; None if it could be at any time.
    """

    def __init__(self, host: str, port: int, max_age_s: float = 60.0) -> None:
        self._host, self._port = host, port
        self._max_age_s = max_age_s
        self._refresh: gevent.Greenlet | None = None
        self._known: list[Address] = []
        self._turns: Iterator[int] = iter(())
        self.fault: OSError | None = None
        self._resolve()

    def in_turn(self) -> list[Address]:
        """Return all addresses, the next one first, or none if the name cannot be resolved; never blocks."""
        age_s = time.monotonic() - self._resolved_at
        if age_s > (self._max_age_s if self._known else _RETRY_S) and not self._refresh:
            self._refresh = gevent.spawn(self._resolve)
        if not self._known:
            return []
        turn = next(self._turns)
        return [*self._known[turn:], *self._known[:turn]]

    def _resolve(self) -> None:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that no host can have
            found = []
            self.fault = error if isinstance(error, OSError) else OSError(0, "invalid host name")
        self._resolved_at = time.monotonic()
        known = list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))[:_MAX_ADDRESSES]
        if known and known != self._known:  # known addresses stay while the name cannot be resolved
            self.fault = None
            self._known = known
            self._turns = cycle(range(len(known)))
