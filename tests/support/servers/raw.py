"""Servers without a protocol: one answers every request with fixed bytes, one relays connections."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def raw_server(response: bytes) -> Iterator[int]:
    """Send `response` after the first bytes of every connection, then close it; yields the port."""

    class _Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(response)

    with serve_tcp(_Handler, 0) as port:
        yield port


@contextmanager
def dripping_server() -> Iterator[int]:
    """Send a byte of an endless answer every tenth of a second, until the client leaves; yields the port."""

    class _Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            self.request.settimeout(0.1)
            with contextlib.suppress(OSError):
                while True:
                    with contextlib.suppress(TimeoutError):
                        if not self.request.recv(65536):
                            return
                    self.request.sendall(b" ")

    with serve_tcp(_Handler, 0) as port:
        yield port


@contextmanager
def relay(port: int, to: int, host: str = "127.0.0.1") -> Iterator[int]:
    """Relay connections on `host:port` to port `to` of loopback; yields the port, which is a free one for port 0."""

    class _Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", to)) as server:
                back = threading.Thread(target=copy_bytes, args=(server, self.request), daemon=True)
                back.start()
                copy_bytes(self.request, server)
                back.join(10)

    with serve_tcp(_Handler, port, host) as listening:
        yield listening


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True


class _Server6(_Server):
    address_family = socket.AF_INET6


@contextmanager
def serve_tcp(handler: type[socketserver.BaseRequestHandler], port: int, host: str = "127.0.0.1") -> Iterator[int]:
    """Serve connections until the end of the `with` block; yields the port."""
    with (_Server6 if ":" in host else _Server)((host, port), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:  # a thread that serves a closed socket uses a whole core
            server.shutdown()


def copy_bytes(source: socket.socket, sink: socket.socket) -> None:
    """Copy until the source closes, then close the sink."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
