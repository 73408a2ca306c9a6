"""Opens connections of geventhttpclient, for control planes and for the reference client."""

import functools
import select
from urllib.parse import unquote, urlsplit

import gevent.monkey
import gevent.socket
import gevent.ssl
from geventhttpclient.client import HTTPClient
from geventhttpclient.connectionpool import SSLConnectionPool
from geventhttpclient.response import HTTPParseError

from loadgen.base.connection import DIRECT, Connection

JSON_HEADERS = {"Content-Type": "application/json"}
# RuntimeError is the library's error when a proxy refuses a tunnel
CONNECTION_ERRORS = (OSError, HTTPParseError, UnicodeError, RuntimeError)


@functools.cache
def tls_context(connection: Connection = DIRECT) -> gevent.ssl.SSLContext:
    """Return the process-wide TLS context: loading the certificates takes 20 ms, in which no token could be timed.

    Raises:
        SettingsError: a certificate cannot be read.
    """
    return connection.tls_context(
        gevent.ssl.create_default_context, default_ca_file=SSLConnectionPool.default_options["ca_certs"]
    )


def connect(address: str, *, tls: bool, timeout_s: float, connection: Connection) -> HTTPClient:
    """Return a client with one keep-alive connection, which opens it when it is first used."""
    host, _, port = address.rpartition(":")
    proxy = urlsplit(connection.proxy or "")
    http = HTTPClient(
        host.strip("[]"),
        port=int(port),
        ssl=tls,
        ssl_context_factory=(lambda **_: tls_context(connection)) if tls else None,
        insecure=connection.insecure,
        proxy_host=proxy.hostname,
        proxy_port=proxy.port,
        proxy_user=unquote(proxy.username) if proxy.username else None,
        proxy_password=unquote(proxy.password) if proxy.password else None,
        concurrency=1,
        connection_timeout=timeout_s,
        network_timeout=timeout_s,
    )
    http._connection_pool._is_socket_alive = _is_idle  # type: ignore[method-assign]  # the original fails above 1024 open files
    return http


def _is_idle(sock: gevent.socket.socket | None) -> bool:
    """Whether a keep-alive connection can be reused: it is open and has no unread data.

    The library uses select(), which supports only the first 1024 file descriptors of a process; above that, each
    request would open a new connection.
    """
    if sock is None or sock.fileno() < 0:
        return False
    poller = gevent.monkey.get_original("select", "poll")()
    poller.register(sock.fileno(), select.POLLIN)
    return not poller.poll(0)
