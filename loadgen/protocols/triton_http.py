"""Sends requests to Triton over HTTP: `generate_stream` (server-sent events) and `generate`.

Responses are read line by line: reading blocks of a fixed size would delay the first tokens until a block is full.
"""

import functools
import json
import select
import time
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

import gevent
import gevent.monkey
import gevent.socket
import gevent.ssl
from geventhttpclient.client import HTTPClient
from geventhttpclient.connectionpool import SSLConnectionPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse

from loadgen.base.connection import DIRECT, NEEDS_CREDENTIALS, REFUSES_CREDENTIALS, Connection
from loadgen.base.errors import TargetError
from loadgen.base.proxies import through
from loadgen.base.text import clean
from loadgen.protocols.answer import Answer, Interrupted
from loadgen.protocols.describe import model_names
from loadgen.protocols.detect import Model
from loadgen.protocols.engine import POD_HEADER
from loadgen.protocols.generate import JSON_ERRORS, Generate, error_text
from loadgen.protocols.http_body import TooLargeError, lines, whole
from loadgen.protocols.local_fault import local_fault

Call = Literal["generate_stream", "generate"]

_CONTROL_TIMEOUT_S = 10.0
_JSON = {"Content-Type": "application/json"}
# RuntimeError is the library's error when a proxy refuses a tunnel
_CONNECTION_ERRORS = (OSError, HTTPParseError, UnicodeError, RuntimeError)
_MAX_ERROR_BYTES = 64 * 2**10
_MAX_CONTROL_BYTES = 16 * 2**20


def call_name(*, stream: bool) -> Call:
    """Return the call for a request."""
    return "generate_stream" if stream else "generate"


@functools.cache
def tls_context(connection: Connection = DIRECT) -> gevent.ssl.SSLContext:
    """Return the process-wide TLS context: loading the certificates takes 20 ms, in which no token could be timed.

    Raises:
        SettingsError: a certificate cannot be read.
    """
    return connection.tls_context(
        gevent.ssl.create_default_context, default_ca_file=SSLConnectionPool.default_options["ca_certs"]
    )


def _connect(address: str, *, tls: bool, timeout_s: float, connection: Connection) -> HTTPClient:
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


class HttpClient:
    """A keep-alive connection that sends one request at a time; implements `loadgen.protocols.answer.Client`."""

    def __init__(
        self, address: str, model: Model, *, stream: bool, tls: bool = False, connection: Connection = DIRECT
    ) -> None:
        self._address = address
        self._tls = tls
        self._stream = stream
        self._connection = connection
        self._bodies = Generate(model, stream=stream, redacted=connection.redacted)
        self._headers = {**_JSON, **dict(connection.headers)}
        self._path = f"{connection.path}/v2/models/{quote(model.name, safe='')}/{call_name(stream=stream)}"
        self._http: HTTPClient | None = None
        if tls:
            tls_context(connection)  # now rather than during the first request

    def infer(self, prompt: str, max_tokens: int, timeout_s: float) -> Answer:
        """Send a prompt and wait for the end of its answer."""
        body = self._bodies.body(prompt, max_tokens)
        events: list[bytes] = []
        times: list[float] = []
        code, message = "", ""
        response: HTTPSocketPoolResponse | None = None
        deadline = gevent.Timeout(timeout_s)
        deadline.start()
        try:
            if self._http is None:
                # the deadline above decides: the socket's own timeout must not expire earlier
                self._http = _connect(
                    self._address, tls=self._tls, timeout_s=timeout_s + 5, connection=self._connection
                )
            response = self._http.request("POST", self._path, body=body, headers=self._headers)
            if response.status_code != 200:
                code, message = str(response.status_code), error_text(whole(response, _MAX_ERROR_BYTES))
            elif self._stream:
                for line in lines(response):
                    if line.startswith(b"data:"):
                        times.append(time.monotonic())
                        events.append(line.removeprefix(b"data:"))
                if not _has_length(response):
                    message = "the connection closed, and nothing says that the answer was whole"
            else:
                events.append(whole(response))
                times.append(time.monotonic())
        except gevent.Timeout as timeout:
            if timeout is not deadline:
                raise
            code = "TIMEOUT"
        except TooLargeError as error:
            message = str(error)
            if response is not None and response.status_code != 200:
                code, message = str(response.status_code), error_text(error.start)
        except _CONNECTION_ERRORS as error:
            message = local_fault(error) or str(error) or type(error).__name__
        except gevent.GreenletExit as stop:
            raise Interrupted(self._answer(events, times, "", "", time.monotonic(), response)) from stop
        finally:
            deadline.close()
        ended = time.monotonic()
        if code or message:
            if response is not None:
                response.release()
            self.close()  # unread data on this connection would belong to the abandoned answer
        return self._answer(events, times, code, message, ended, response)

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _answer(
        self,
        events: list[bytes],
        times: list[float],
        code: str,
        message: str,
        ended: float,
        response: HTTPSocketPoolResponse | None,
    ) -> Answer:
        pod = None if response is None else response.get(POD_HEADER)
        return self._bodies.answer(events, times, code, message, ended, {} if pod is None else {POD_HEADER: str(pod)})


def _has_length(response: HTTPSocketPoolResponse) -> bool:
    """Whether the response declares its end; otherwise it ends whenever the connection closes."""
    return "content-length" in response or "chunked" in str(response.get("transfer-encoding")).lower()


def _is_html(body: bytes) -> bool:
    return body[:1000].lstrip().lower().startswith((b"<!doctype html", b"<html"))


class HttpControlPlane:
    """Triton's control plane over HTTP.

    Raises:
        TargetError: the address is unreachable, or the server is not Triton.
    """

    def __init__(self, address: str, *, tls: bool = False, connection: Connection = DIRECT) -> None:
        self._address = address
        self._connection = connection
        self._headers = {**_JSON, **dict(connection.headers)}
        self._http = _connect(address, tls=tls, timeout_s=_CONTROL_TIMEOUT_S, connection=connection)
        try:
            self.server = self._control("GET", "/v2")
        except TargetError:
            self.close()
            raise
        if not isinstance(self.server, dict) or "extensions" not in self.server:
            self.close()
            raise TargetError(
                f"the HTTP server at {address} is not Triton: /v2 gives no server metadata; "
                f"check host and port (Triton's HTTP port is usually 8000)"
            )

    def models(self) -> list[str]:
        """Return the names of all ready models."""
        return model_names(self._control("POST", "/v2/repository/index", {"ready": True}))

    def metadata(self, model: str) -> Mapping[str, Any]:
        """Return the metadata of a model."""
        metadata: Mapping[str, Any] = self._control("GET", f"/v2/models/{quote(model, safe='')}")
        return metadata

    def config(self, model: str) -> Mapping[str, Any]:
        """Return the configuration of a model."""
        config: Mapping[str, Any] = self._control("GET", f"/v2/models/{quote(model, safe='')}/config")
        return config

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _control(self, method: str, path: str, body: object = None) -> Any:
        payload = json.dumps(body).encode() if body is not None else b""
        hint = "check host and port (Triton's HTTP port is usually 8000)"
        response: HTTPSocketPoolResponse | None = None
        try:
            with gevent.Timeout(_CONTROL_TIMEOUT_S, TimeoutError(f"no whole answer within {_CONTROL_TIMEOUT_S:g} s")):
                response = self._http.request(method, self._connection.path + path, body=payload, headers=self._headers)
                status, text = response.status_code, whole(response, _MAX_CONTROL_BYTES)
        except TooLargeError as error:
            raise TargetError(f"the HTTP server at {self._address} answers {path} with {error}; {hint}") from None
        except _CONNECTION_ERRORS as error:
            raise TargetError(
                f"cannot reach an HTTP server at {self._address}{through(self._connection.proxy)} ({clean(error)}); "
                f"{hint} and that the server is up"
            ) from None
        finally:
            if response is not None:
                response.release()
        if status == 401:
            raise TargetError(
                f"the HTTP server at {self._address} requires credentials ({path}: {status}): {NEEDS_CREDENTIALS}"
            )
        if status == 403:
            raise TargetError(f"the HTTP server at {self._address} answers {path} with {status}: {REFUSES_CREDENTIALS}")
        if status == 407:
            raise TargetError(
                f"cannot reach the HTTP server at {self._address}{through(self._connection.proxy)}, which requires "
                "credentials (407): add user and password to its URL in the environment"
            )
        if 300 <= status < 400 or (status == 200 and _is_html(text)):
            raise TargetError(
                f"the HTTP server at {self._address} answers {path} with {status} and a web page, such as that of a "
                "login: check host, port and path, and --header"
            )
        if status != 200:
            raise TargetError(
                f"the HTTP server at {self._address} answers {path} with {status}: "
                f"{self._connection.redacted(error_text(text))}; "
                f"is it Triton's HTTP port (usually 8000)?"
            )
        try:
            return json.loads(text)
        except JSON_ERRORS:
            raise TargetError(
                f"the HTTP server at {self._address} is not Triton: {path} is not JSON; check host and port"
            ) from None
