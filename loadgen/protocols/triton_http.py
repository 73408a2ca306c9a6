"""Sends requests to Triton over HTTP: `generate_stream` (server-sent events) and `generate`.

Responses are read line by line: reading blocks of a fixed size would delay the first tokens until a block is full.
"""

import functools
import json
import re
import select
import time
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

import gevent
import gevent.monkey
import gevent.socket
import gevent.ssl
from geventhttpclient.client import HTTPClient
from geventhttpclient.connectionpool import SSLConnectionPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse

from loadgen.base.errors import TargetError
from loadgen.dataset.names import Cause, Outcome
from loadgen.protocols.answer import Answer, classify_failure, valid_token_count
from loadgen.protocols.detect import Model

Call = Literal["generate_stream", "generate"]

_CONTROL_TIMEOUT_S = 10.0
_EXCERPT_BYTES = 4096
_JSON = {"Content-Type": "application/json"}
_CONNECTION_ERRORS = (OSError, HTTPParseError)
_MAX_DIGITS = 20  # of a number in a string; more than any valid count has


def call_name(*, stream: bool) -> Call:
    """Return the call for a request."""
    return "generate_stream" if stream else "generate"


@functools.cache
def tls_context() -> gevent.ssl.SSLContext:
    """Return the process-wide TLS context: loading the certificates takes 20 ms, in which no token could be timed."""
    return gevent.ssl.create_default_context(cafile=SSLConnectionPool.default_options["ca_certs"])


def _connect(address: str, *, tls: bool, timeout_s: float) -> HTTPClient:
    host, _, port = address.rpartition(":")
    http = HTTPClient(
        host.strip("[]"),
        port=int(port),
        ssl=tls,
        ssl_context_factory=(lambda **_: tls_context()) if tls else None,
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

    def __init__(self, address: str, model: Model, *, stream: bool, tls: bool = False) -> None:
        self._address = address
        self._tls = tls
        self._model = model
        self._stream = stream
        self._path = f"/v2/models/{quote(model.name)}/{call_name(stream=stream)}"
        self._http: HTTPClient | None = None
        if tls:
            tls_context()  # now rather than during the first request

    def infer(self, prompt: str, max_tokens: int, timeout_s: float) -> Answer:
        """Send a prompt and wait for the end of its answer."""
        body: dict[str, Any] = {"text_input": prompt, self._model.max_tokens_input: max_tokens}
        if self._model.streams:
            body[self._model.stream_input] = self._stream
        if self._model.counts_tokens and not self._stream:
            body["return_num_output_tokens"] = True
        lines: list[bytes] = []
        times: list[float] = []
        code, message = "", ""
        response: HTTPSocketPoolResponse | None = None
        deadline = gevent.Timeout(timeout_s)
        deadline.start()
        try:
            if self._http is None:
                # the deadline above decides: the socket's own timeout must not expire earlier
                self._http = _connect(self._address, tls=self._tls, timeout_s=timeout_s + 5)
            response = self._http.request("POST", self._path, body=json.dumps(body).encode(), headers=_JSON)
            if response.status_code != 200:
                code, message = str(response.status_code), _error_text(bytes(response.read()))
            elif self._stream:
                while line := response.readline(b"\n"):
                    if line.startswith(b"data:"):
                        times.append(time.monotonic())
                        lines.append(bytes(line))
                if (rest := bytes(response.read())).startswith(b"data:"):  # a last line without a line feed
                    times.append(time.monotonic())
                    lines.append(rest)
                if not _has_length(response):
                    message = "the connection closed, and nothing says that the answer was whole"
            else:
                lines.append(b"data:" + bytes(response.read()))
                times.append(time.monotonic())
        except gevent.Timeout as timeout:
            if timeout is not deadline:
                raise
            code = "TIMEOUT"
        except _CONNECTION_ERRORS as error:
            message = str(error) or type(error).__name__
        finally:
            deadline.close()
        ended = time.monotonic()
        if code or message:
            self.close()  # unread data on this connection would belong to the abandoned answer
        return self._answer(lines, times, code, message, ended)

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _answer(self, lines: list[bytes], times: list[float], code: str, message: str, ended: float) -> Answer:
        """Parse the received lines; parsing between tokens would delay their time stamps."""
        token_times: list[float] = []
        size = 0
        tokens: int | None = None
        for line, at in zip(lines, times, strict=True):
            try:
                event = json.loads(line.removeprefix(b"data:"))
            except ValueError:
                message = message or "an answer that is not JSON"
                continue
            if not isinstance(event, dict):
                message = message or "an answer that is not a JSON object"
            elif event.get("error"):
                message = message or str(event["error"])
            elif event.get("text_output"):
                token_times.append(at)
                size += len(str(event["text_output"]).encode())
                tokens = event.get("num_output_tokens", tokens)
        answer = Answer(
            outcome=Outcome.OK,
            token_times=token_times if self._stream else [],
            last=token_times[-1] if token_times else None,
            ended=ended,
            output_tokens=len(token_times) if self._stream else _count(tokens),
            received_bytes=size,
        )
        if code or message:
            answer.outcome, answer.cause = classify_failure(code, message, began=bool(token_times))
        elif not token_times:
            answer.outcome, answer.cause = Outcome.ERROR, Cause.EMPTY_ANSWER
        return answer


def _has_length(response: HTTPSocketPoolResponse) -> bool:
    """Whether the response declares its end; otherwise it ends whenever the connection closes."""
    return "content-length" in response or "chunked" in str(response.get("transfer-encoding")).lower()


def _count(value: object) -> int | None:
    if isinstance(value, list):
        value = value[-1] if value else None
    if isinstance(value, str) and value.isdecimal():
        value = int(value[:_MAX_DIGITS])
    return valid_token_count(value)


def _error_text(body: bytes) -> str:
    try:
        parsed = json.loads(body)
    except ValueError:
        text = body[:_EXCERPT_BYTES].decode(errors="replace")
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)  # of a page by another server
        lines = (title[1] if title else text).strip().splitlines()
        return lines[0].strip()[:200] if lines else "an empty body"
    return str(parsed.get("error", parsed)) if isinstance(parsed, dict) else str(parsed)


class HttpControlPlane:
    """Triton's control plane over HTTP.

    Raises:
        TargetError: the address is unreachable, or the server is not Triton.
    """

    def __init__(self, address: str, *, tls: bool = False) -> None:
        self._address = address
        self._http = _connect(address, tls=tls, timeout_s=_CONTROL_TIMEOUT_S)
        self.server = self._control("GET", "/v2")
        if not isinstance(self.server, dict) or "extensions" not in self.server:
            raise TargetError(
                f"the HTTP server at {address} is not Triton: /v2 gives no server metadata; "
                f"check host and port (Triton's HTTP port is usually 8000)"
            )

    def models(self) -> list[str]:
        """Return the names of all ready models."""
        index = self._control("POST", "/v2/repository/index", {"ready": True})
        return [str(model["name"]) for model in index]

    def metadata(self, model: str) -> Mapping[str, Any]:
        """Return the metadata of a model."""
        metadata: Mapping[str, Any] = self._control("GET", f"/v2/models/{quote(model)}")
        return metadata

    def config(self, model: str) -> Mapping[str, Any]:
        """Return the configuration of a model."""
        config: Mapping[str, Any] = self._control("GET", f"/v2/models/{quote(model)}/config")
        return config

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _control(self, method: str, path: str, body: object = None) -> Any:
        payload = json.dumps(body).encode() if body is not None else b""
        try:
            response = self._http.request(method, path, body=payload, headers=_JSON)
            status, text = response.status_code, bytes(response.read())
        except _CONNECTION_ERRORS as error:
            raise TargetError(
                f"cannot reach an HTTP server at {self._address} ({error}); check host and port "
                f"(Triton's HTTP port is usually 8000) and that the server is up"
            ) from None
        if status != 200:
            raise TargetError(
                f"the HTTP server at {self._address} answers {path} with {status}: {_error_text(text)}; "
                f"is it Triton's HTTP port (usually 8000)?"
            )
        try:
            return json.loads(text)
        except ValueError:
            raise TargetError(
                f"the HTTP server at {self._address} is not Triton: {path} is not JSON; check host and port"
            ) from None
