"""Bounds the time and the size of whole answers: a socket's own timeout starts again with every byte."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

MAX_BYTES = 64 << 20
_CHUNK = 1 << 16


@contextlib.contextmanager
def abort_after(connection: HTTPConnection, timeout_s: float) -> Iterator[None]:
    """Close the connection if the block takes longer.

    Raises:
        TimeoutError: The block took longer; a read in it ended early, and may have looked complete.
    """
    aborted = threading.Event()

    def abort() -> None:
        aborted.set()
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, abort)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if aborted.is_set():
            raise TimeoutError(f"no complete answer within {timeout_s:g} s")


def bound(session: requests.Session, url: str, timeout_s: float, max_bytes: int = MAX_BYTES) -> None:
    """Limit every answer to the session's requests below a URL: headers and body within `timeout_s` each.

    A larger or slower body raises `requests.ConnectionError`; a header that is too slow does, too.
    """

    class Connection(urllib3.connection.HTTPConnection):
        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
            with abort_after(self, timeout_s):
                return super().getresponse()

    class TlsConnection(urllib3.connection.HTTPSConnection):
        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
            with abort_after(self, timeout_s):
                return super().getresponse()

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    class TlsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = TlsConnection

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **options)
            self.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": TlsPool}

    def read_body(response: requests.Response, **_: Any) -> None:
        end, body = time.monotonic() + timeout_s, bytearray()
        try:
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                body += chunk
                if time.monotonic() > end or len(body) > max_bytes:
                    response.close()
                    raise requests.ConnectionError(
                        f"the answer is incomplete after {timeout_s:g} s and {len(body)} bytes"
                    )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise requests.ConnectionError(str(error)) from error
        response._content = bytes(body)

    session.stream = True  # the body is read below, before anyone else does
    session.mount(url, Adapter(max_retries=urllib3.Retry(total=0)))
    session.hooks["response"].append(read_body)
