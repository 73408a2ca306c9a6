"""A TCP connection on gevent's hub: connects, reads, writes and stamps without a greenlet of its own."""

import _socket
import errno
import os
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import gevent

from loadgen.protocols.local_fault import local_fault
from loadgen.protocols.wire.exchange import Exchange
from loadgen.protocols.wire.tls import Tls, handshakes_of, tls_fault

READ_BYTES = 2**16
"""Most bytes of one read. Each turn of the event loop reads a connection once, so that none can keep it from others."""
MAX_UNSENT_BYTES = 256 * 2**20
"""Most bytes that wait for the peer on one connection."""
_LAST_READS = 16
"""Most reads of a connection that takes nothing more."""
CONNECT_TIMEOUT_S = 10.0
"""Time for the connection to one address of a host; the time-out of a request limits all of them."""

READ, WRITE = 1, 2
Address = tuple[int, Any]
"""Address family and socket address."""


class Receiver(Protocol):
    """What a connection tells its protocol; called in the hub, so that it must not block."""

    def opened(self) -> None:
        """The connection is ready for the first bytes of the protocol."""
        ...

    def received(self, data: bytes, stamp: float) -> None:
        """One read returned these bytes."""
        ...

    def closed(self, message: str, fault: BaseException | None) -> None:
        """The connection was closed by the peer, or broke, or could not be made."""
        ...


class Transport:
    """A TCP connection, with TLS if there is a context.

    Args:
        addresses: Addresses to try in turn.
        unresolved: Why there are none.
        receiver: Protocol on this connection.
        tls: Context of TLS, and the name that the certificate must have; None for plain TCP.
        alpn: Protocol that the peer must choose with ALPN; None where it does not matter.
        tunnel: Request that opens a tunnel through an HTTP proxy; None without one.

    Attributes:
        is_open: Whether the protocol can use it.
        unsent_bytes: Bytes that wait until the peer takes them.
    """

    __slots__ = (
        "_addresses",
        "_alpn",
        "_fd",
        "_loop",
        "_read",
        "_receiver",
        "_sock",
        "_stage",
        "_timer",
        "_tls",
        "_tls_context",
        "_tunnel",
        "_unresolved",
        "_unsent",
        "_write",
        "is_open",
        "unsent_bytes",
    )

    def __init__(
        self,
        addresses: Sequence[Address],
        receiver: Receiver,
        *,
        unresolved: OSError | None = None,
        tls: tuple[ssl.SSLContext, str | None] | None = None,
        alpn: str | None = None,
        tunnel: bytes | None = None,
    ) -> None:
        self._loop = gevent.get_hub().loop
        self._addresses = deque(addresses)
        self._receiver = receiver
        self._unresolved = unresolved
        self._tls_context = tls
        self._alpn = alpn
        self._tunnel = tunnel
        self._tls: Tls | None = None
        self._unsent: deque[tuple[memoryview, Exchange | None]] = deque()
        self.unsent_bytes = 0
        self._sock: Any = None
        self._read: Any = None
        self._write: Any = None
        self._timer: Any = None
        self.is_open = False
        self._stage: Callable[[bytes, float], None] = receiver.received
        self._loop.run_callback(self._connect_next)

    # -- connecting ---------------------------------------------------------------------------------------------------

    def _connect_next(self) -> None:
        if self._receiver is None:
            return  # closed meanwhile
        error = self._unresolved
        while self._addresses:
            error = self._connect(*self._addresses.popleft())
            if error is None:
                return
            self._release()
            if local_fault(error) is not None:
                break  # the other addresses need the same descriptor or port
        self._lost(f"failed to connect: {(error.strerror or error) if error else 'no address'}", error)

    def _connect(self, family: int, address: Any) -> OSError | None:
        """Start to connect to an address; return why that is impossible, if it is."""
        try:
            self._sock = sock = _socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._fd = sock.fileno()
            result = sock.connect_ex(address)
        except OSError as error:
            return error
        if result not in (0, errno.EINPROGRESS):
            return OSError(result, os.strerror(result))
        self._write = self._loop.io(self._fd, WRITE)
        self._write.start(self._connected)
        self._timer = self._loop.timer(CONNECT_TIMEOUT_S)
        self._timer.start(self._not_connected, TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
        return None

    def _not_connected(self, error: OSError) -> None:
        """Try the next address after one that does not answer or refuses."""
        self._release()
        self._unresolved = error
        self._connect_next()

    def _connected(self) -> None:
        self._timer.close()
        self._timer = None
        if error := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._not_connected(OSError(error, os.strerror(error)))
            return
        self._write.stop()
        self._read = self._loop.io(self._fd, READ)
        self._read.start(self._readable)
        if self._tunnel is not None:
            head = bytearray()
            self._stage = lambda data, stamp: self._tunnel_answered(head, data, stamp)
            self._send(self._tunnel, None)
        else:
            self._connection_made()

    def _tunnel_answered(self, head: bytearray, data: bytes, stamp: float) -> None:
        """Read the answer of a proxy to CONNECT; what a server says first, such as its settings, may follow at once."""
        head += data
        answer, end, rest = bytes(head).partition(b"\r\n\r\n")
        if end:
            version, _, status = answer.split(b"\r\n", 1)[0].partition(b" ")
            if version.startswith(b"HTTP/1.") and status.startswith(b"2"):
                self._connection_made()
                if rest and self._stage is not None:
                    self._stage(rest, stamp)
            else:
                said = status.decode("latin-1")
                self._lost(f"failed to connect: the proxy answers CONNECT with status {said}", None)
        elif len(head) > READ_BYTES:
            self._lost("failed to connect: the proxy answers CONNECT with an endless header", None)

    def _connection_made(self) -> None:
        if self._tls_context is None:
            self._stage = self._receiver.received
            self._opened()
            return
        try:
            self._tls = Tls(*self._tls_context)
        except ValueError as error:
            self._lost(f"failed to connect: TLS: {error}", error)
            return
        self._stage = self._handshake
        self._handshake(b"", 0.0)

    def _handshake(self, data: bytes, stamp: float) -> None:
        """Leave the next step to one of the next turns, and read nothing until then, not even the end."""
        assert self._tls is not None
        self._tls.received(data)
        self._read.stop()
        handshakes_of(self._loop).add(lambda: self._handshake_step(stamp))

    def _handshake_step(self, stamp: float) -> None:
        if self._tls is None or self._receiver is None:
            return  # closed meanwhile
        try:
            done = self._tls.handshake()
        except ssl.SSLError as error:
            self._flush_tls(None)  # the alert says why
            self._lost(f"failed to connect: TLS: {tls_fault(error)}", error)
            return
        self._flush_tls(None)
        self._read.start(self._readable)
        if not done:
            return
        if self._alpn is not None and self._tls.protocol not in (self._alpn, None):
            self._lost(f"failed to connect: the server does not speak {self._alpn} over TLS", None)
            return
        self._stage = self._decrypt
        self._opened()
        if self.is_open:
            self._decrypt(b"", stamp)  # what came with the last step

    def _opened(self) -> None:
        self.is_open = True
        self._receiver.opened()

    # -- reading ------------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error.strerror or str(error), error)
            return
        if data:
            self._stage(data, time.monotonic())
        else:
            self._lost("connection closed", None)

    def _decrypt(self, data: bytes, stamp: float) -> None:
        tls = self._tls
        assert tls is not None
        tls.received(data)
        try:
            for plain in tls.decrypted():
                self._receiver.received(plain, stamp)
                if not self.is_open:
                    return
        except ssl.SSLZeroReturnError:
            self._lost("connection closed", None)
        except ssl.SSLError as error:
            self._lost(f"TLS: {tls_fault(error)}", error)
        else:
            self._flush_tls(None)  # the answer to a key update

    def peek(self) -> bytes | None:
        """Return a byte that has arrived and was not read; None if there is none, b"" if the connection is closed."""
        try:
            byte: bytes = self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return byte

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, data: bytes, exchange: Exchange | None = None) -> None:
        """Send bytes now, or as soon as the peer takes them.

        Args:
            data: Bytes to send.
            exchange: Request whose last byte is the last of `data`.
        """
        if self._tls is None:
            self._send(data, exchange)
            return
        try:
            self._tls.encrypt(data)
        except ssl.SSLError as error:
            self._loop.run_callback(self._lost, f"TLS: {tls_fault(error)}", error)
            return
        self._flush_tls(exchange)

    def _flush_tls(self, exchange: Exchange | None) -> None:
        if self._tls is not None and (data := self._tls.to_send()):
            self._send(data, exchange)

    def _send(self, data: bytes, exchange: Exchange | None) -> None:
        if self._sock is None:
            return
        sent = 0
        if not self._unsent:
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                pass
            except OSError as error:
                # what the peer said before it closed is read first
                self._loop.run_callback(self._broken_pipe, error)
                return
            if sent == len(data):
                if exchange is not None:
                    exchange.on_wire_at = time.monotonic()
                return
            self._write.start(self._writable)
        self._unsent.append((memoryview(data)[sent:], exchange))
        self.unsent_bytes += len(data) - sent
        if self.unsent_bytes > MAX_UNSENT_BYTES:
            self._loop.run_callback(self._lost, "the peer does not read", None)

    def _broken_pipe(self, error: OSError) -> None:
        """Read what the peer said before it closed, such as the reason why it does not want the request."""
        for _ in range(_LAST_READS):
            if self._sock is not None:
                self._readable()
        if self._sock is not None:
            self._lost(error.strerror or str(error), error)

    def _writable(self) -> None:
        while self._unsent:
            data, exchange = self._unsent[0]
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                return
            except OSError as error:
                self._broken_pipe(error)
                return
            self.unsent_bytes -= sent
            if sent < len(data):
                self._unsent[0] = (data[sent:], exchange)
                return
            self._unsent.popleft()
            if exchange is not None:
                exchange.on_wire_at = time.monotonic()
        self._write.stop()

    # -- closing ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection; the receiver is not told."""
        self.is_open = False
        self._addresses.clear()
        self._unsent.clear()
        # nothing is called after the end; this also breaks the cycle of references, as the collector may be paused
        self._receiver = self._stage = None  # type: ignore[assignment]
        self._release()

    def _lost(self, message: str, fault: BaseException | None) -> None:
        receiver = self._receiver
        if receiver is not None:
            self.close()
            receiver.closed(message, fault)

    def _release(self) -> None:
        for watcher in (self._read, self._write, self._timer):
            if watcher is not None:
                watcher.close()
        self._read = self._write = self._timer = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None
