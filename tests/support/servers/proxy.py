"""An HTTP proxy that leads every host to one port of loopback."""

import contextlib
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from support.servers.raw import copy_bytes, serve_tcp


class Proxy:
    """A running proxy.

    Attributes:
        port: Its port on loopback.
        url: Its URL.
        requests: First line of each request that it got.
        authorizations: Credentials that it got, one for each request.
    """

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[str] = []
        self.authorizations: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """Run a proxy that forwards whole URLs and opens tunnels, both to `port`."""
    proxy = Proxy()

    class _Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as server:
                back: threading.Thread | None = None
                while head := _head(self.request):
                    first = head.split(b"\r\n")[0].decode()
                    proxy.requests.append(first)
                    given = re.search(r"(?im)^proxy-authorization: (.*?)\r?$", head.decode())
                    proxy.authorizations.append(given[1] if given else None)
                    if first.startswith("CONNECT "):
                        self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    else:
                        server.sendall(re.sub(rb"^(\S+) http://[^/\s]+", rb"\1 ", head) + _body(self.request, head))
                    if back is None:
                        back = threading.Thread(target=copy_bytes, args=(server, self.request), daemon=True)
                        back.start()
                    if first.startswith("CONNECT "):
                        break
                if back is not None:
                    copy_bytes(self.request, server)
                    back.join(10)

    with serve_tcp(_Handler, 0) as proxy.port:
        yield proxy


def _head(client: socket.socket) -> bytes:
    """Read up to the end of the headers, and not beyond; nothing once the client closed the connection."""
    data = b""
    with contextlib.suppress(OSError):
        while not data.endswith(b"\r\n\r\n") and (more := client.recv(1)):
            data += more
    return data


def _body(client: socket.socket, head: bytes) -> bytes:
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return client.recv(int(length[1]), socket.MSG_WAITALL) if length and int(length[1]) else b""
