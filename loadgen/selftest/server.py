"""A server that answers every request at once, or with paced tokens, and does nothing else.

    python -m loadgen.selftest.server

prints `{"http": port, "grpc": port, "tls": port}` and serves on loopback until its standard input closes. HTTP is
`generate_stream`, gRPC is ModelStreamInfer. The number of tokens is the length of the prompt, so that no request has to
be decoded. The port `tls` completes handshakes and closes.
"""

import _socket
import heapq
import json
import re
import ssl
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from email.utils import formatdate
from itertools import count
from pathlib import Path
from typing import Any, Final

import gevent
from gevent.server import StreamServer
from tritonclient.grpc import service_pb2 as pb

from loadgen.load.timer import Timer
from loadgen.protocols.wire import http2_frames as h2
from loadgen.protocols.wire.hpack import encode
from loadgen.selftest.certificate import write_certificate

ITL_S: Final = 0.025
"""Time between the tokens of a stream."""
MARK: Final = "~"
"""A prompt of so many of these asks for as many tokens; no other text of a request has it."""
_READ_BYTES = 2**16
_BACKLOG = 4096
_READ = 1
_PROMPT = re.compile(b"(%s+)" % MARK.encode())
_LENGTH = re.compile(rb"(?i)content-length: (\d+)")
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
_EVENT = b'data: {"text_output": "token"}\n\n'
_CHUNK = b"%x\r\n%s\r\n" % (len(_EVENT), _EVENT)


def _message(*, final: bool) -> bytes:
    inner = pb.ModelInferResponse(model_name="null", model_version="1", raw_output_contents=[b"\x05\0\0\0token"])
    inner.outputs.add(name="text_output", datatype="BYTES", shape=[1, 1])
    inner.parameters["triton_final_response"].bool_param = final
    data: bytes = pb.ModelStreamInferResponse(infer_response=inner).SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


_MESSAGES = {final: _message(final=final) for final in (False, True)}
_OPENING = encode([(":status", "200"), ("content-type", "application/grpc")])
_TRAILER = encode([("grpc-status", "0")])
_requests = count()


def _changing() -> list[tuple[str, str]]:
    """Return the header fields that a gateway sends with other values each time."""
    return [("date", formatdate(usegmt=True)), ("x-request-id", f"{next(_requests):032x}")]


def _block(constant: bytes, *, gateway: bool) -> bytes:
    return constant + encode(_changing()) if gateway else constant


class _Tokens:
    """Sends the tokens of all streams at their times."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Any, int, int]] = []
        self._number = count()
        self._timer = Timer(self._send)

    def start(self, connection: Any, stream_id: int, tokens: int) -> None:
        """Send the first token now, and the others one by one."""
        connection.token(stream_id, final=tokens == 1)
        if tokens > 1:
            self._later(time.monotonic() + ITL_S, connection, stream_id, tokens - 1)

    def _later(self, due: float, connection: Any, stream_id: int, left: int) -> None:
        heapq.heappush(self._due, (due, next(self._number), connection, stream_id, left))
        self._timer.start(self._due[0][0])

    def _send(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            due, _, connection, stream_id, left = heapq.heappop(self._due)
            if connection.is_open:
                connection.token(stream_id, final=left == 1)
                if left > 1:
                    self._later(due + ITL_S, connection, stream_id, left - 1)
        if self._due:
            self._timer.start(self._due[0][0])


class _Connection(ABC):
    """A connection of a client; its subclass knows the protocol."""

    def __init__(self, sock: Any, tokens: _Tokens, *, gateway: bool) -> None:
        self._sock = sock
        self._tokens = tokens
        self._gateway = gateway
        self._buffer = b""
        self.is_open = True
        self._watcher = gevent.get_hub().loop.io(sock.fileno(), _READ)
        self._watcher.start(self._readable)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        self._buffer = self.requests(self._buffer + data)

    def send(self, data: bytes) -> None:
        """Send bytes; a client that does not read is dropped, as a real one always reads."""
        try:
            if self._sock.send(data) < len(data):
                self._close()
        except OSError:
            self._close()

    def _close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._watcher.close()
            self._sock.close()

    @abstractmethod
    def requests(self, data: bytes) -> bytes:
        """Answer the whole requests in `data`; return the rest."""

    @abstractmethod
    def token(self, stream_id: int, *, final: bool) -> None:
        """Send a token."""


class _Http(_Connection):
    def requests(self, data: bytes) -> bytes:
        while (end := data.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(data, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(data) < whole:
                break
            prompt = _PROMPT.search(data, end)
            fields = _changing() if self._gateway else ()
            self.send(
                _HEAD + b"".join(b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in fields) + b"\r\n"
            )
            self._tokens.start(self, 0, len(prompt[1]) if prompt else 1)
            data = data[whole:]
        return data

    def token(self, stream_id: int, *, final: bool) -> None:
        self.send(_CHUNK + b"0\r\n\r\n" if final else _CHUNK)


class _Grpc(_Connection):
    def requests(self, data: bytes) -> bytes:
        at = 0
        if data.startswith(b"PRI "):
            at = 24
            self.send(h2.settings({h2.INITIAL_WINDOW_SIZE: h2.MAX_WINDOW}))
        while len(data) - at >= h2.HEADER_BYTES:
            high, low, kind, flags, stream_id = h2.unpack_header(data, at)
            start = at + h2.HEADER_BYTES
            end = start + (high << 8 | low)
            if end > len(data):
                break
            if kind == h2.SETTINGS and not flags & h2.ACK:
                self.send(h2.frame(h2.SETTINGS, h2.ACK, 0))
            elif kind == h2.DATA and flags & h2.END_STREAM:
                window = h2.UINT32.pack(end - start)
                block = _OPENING + encode(_changing()) if self._gateway else _OPENING
                self.send(
                    h2.frame(h2.WINDOW_UPDATE, 0, 0, window) + h2.frame(h2.HEADERS, h2.END_HEADERS, stream_id, block)
                )
                prompt = _PROMPT.search(data, start, end)
                self._tokens.start(self, stream_id, len(prompt[1]) if prompt else 1)
            at = end
        return data[at:]

    def token(self, stream_id: int, *, final: bool) -> None:
        data = h2.frame(h2.DATA, 0, stream_id, _MESSAGES[final])
        if final:
            block = _block(_TRAILER, gateway=self._gateway)
            data += h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream_id, block)
        self.send(data)


def _listen(kind: type[_Connection], tokens: _Tokens, *, gateway: bool) -> int:
    """Accept connections of a protocol; returns the port."""
    listener: Any = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(_BACKLOG)
    listener.setblocking(False)

    def accept() -> None:
        while True:
            try:
                descriptor, _ = listener._accept()
            except OSError:
                return
            sock = _socket.socket(fileno=descriptor)
            sock.setblocking(False)
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            kind(sock, tokens, gateway=gateway)

    gevent.get_hub().loop.io(listener.fileno(), _READ).start(accept)
    return int(listener.getsockname()[1])


def _listen_tls() -> int:
    """Accept connections with TLS and close each after its handshake; returns the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(write_certificate(Path(folder)))
    server = StreamServer(("127.0.0.1", 0), lambda sock, _: sock.close(), backlog=_BACKLOG, ssl_context=context)
    server.start()
    return int(server.server_port)


def main() -> None:
    """Serve until standard input closes."""
    gateway, tokens = "--gateway" in sys.argv, _Tokens()
    ports = {
        "http": _listen(_Http, tokens, gateway=gateway),
        "grpc": _listen(_Grpc, tokens, gateway=gateway),
        "tls": _listen_tls(),
    }
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    gevent.get_hub().threadpool.apply(sys.stdin.read)


if __name__ == "__main__":
    main()
