"""TLS over memory buffers, whose handshakes take turns so that they do not delay the stamps of other connections."""

import functools
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

MAX_STEPS_PER_TURN: Final = 2
"""Most steps of handshakes in one turn of the event loop; one takes up to a millisecond."""
_RECORD_BYTES: Final = 2**14


class Tls:
    """The client's side of one connection; a caller moves the bytes.

    Args:
        context: Certificates and protocols.
        name: Name that the certificate must have.

    Raises:
        ValueError: no certificate can have this name.
    """

    __slots__ = ("_incoming", "_object", "_outgoing")

    def __init__(self, context: ssl.SSLContext, name: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    @property
    def protocol(self) -> str | None:
        """Protocol that the peer chose with ALPN."""
        return self._object.selected_alpn_protocol()

    def received(self, data: bytes) -> None:
        """Add bytes of the peer."""
        self._incoming.write(data)

    def handshake(self) -> bool:
        """Take a step; True after the last one.

        Raises:
            ssl.SSLError: the handshake failed.
        """
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypted(self) -> Iterator[bytes]:
        """Yield the content of all whole records.

        Raises:
            ssl.SSLZeroReturnError: the peer closed the connection.
            ssl.SSLError: the peer reports an error, or a record is damaged.
        """
        while True:
            try:
                yield self._object.read(_RECORD_BYTES)
            except ssl.SSLWantReadError:
                return

    def encrypt(self, data: bytes) -> None:
        """Add data for the peer to `to_send`.

        Raises:
            ssl.SSLError: the connection has failed.
        """
        self._object.write(data)

    def to_send(self) -> bytes:
        """Return what the peer is to get now: records, a step of the handshake, or an alert."""
        return self._outgoing.read() if self._outgoing.pending else b""


def tls_fault(error: Exception) -> str:
    """Describe an error of TLS without the place in OpenSSL's source."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return reason.lower().replace("_", " ") if reason else str(error)


class Handshakes:
    """Runs steps of handshakes, a few per turn of the event loop.

    Attributes:
        turns: Turns that had a step, for tests.
    """

    def __init__(self, loop: Any) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._timer = loop.timer(0.0)
        self.turns = 0

    def add(self, step: Callable[[], None]) -> None:
        """Run a step in one of the next turns."""
        self._waiting.append(step)
        if not self._timer.active:
            self._timer.start(self._turn)

    def _turn(self) -> None:
        self.turns += 1
        try:
            for _ in range(min(MAX_STEPS_PER_TURN, len(self._waiting))):
                self._waiting.popleft()()
        finally:
            if self._waiting and not self._timer.active:
                self._timer.start(self._turn)


@functools.cache
def handshakes_of(loop: Any) -> Handshakes:
    """Return the queue of an event loop."""
    return Handshakes(loop)
