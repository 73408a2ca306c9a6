"""Sends requests to Triton over HTTP: `generate_stream` (server-sent events) and `generate`.

Responses are read line by line: reading blocks of a fixed size would delay the first tokens until a block is full.
"""

import time
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

import gevent
from geventhttpclient.client import HTTPClient
from geventhttpclient.response import HTTPSocketPoolResponse

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.errors import TargetError
from loadgen.protocols.answer import Answer, Interrupted
from loadgen.protocols.describe import model_names
from loadgen.protocols.detect import Model
from loadgen.protocols.engine import POD_HEADER
from loadgen.protocols.generate import Generate, error_text
from loadgen.protocols.http_body import TooLargeError, lines, whole
from loadgen.protocols.http_connection import CONNECTION_ERRORS, JSON_HEADERS, connect, tls_context
from loadgen.protocols.http_control import HttpControl
from loadgen.protocols.local_fault import local_fault

Call = Literal["generate_stream", "generate"]

_MAX_ERROR_BYTES = 64 * 2**10


def call_name(*, stream: bool) -> Call:
    """Return the call for a request."""
    return "generate_stream" if stream else "generate"


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
        self._headers = {**JSON_HEADERS, **dict(connection.headers)}
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
                self._http = connect(self._address, tls=self._tls, timeout_s=timeout_s + 5, connection=self._connection)
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
        except CONNECTION_ERRORS as error:
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


class HttpControlPlane:
    """Triton's control plane over HTTP.

    Raises:
        TargetError: the address is unreachable, or the server is not Triton.
    """

    def __init__(self, address: str, *, tls: bool = False, connection: Connection = DIRECT) -> None:
        self._http = HttpControl(
            address,
            tls=tls,
            connection=connection,
            path=connection.path,
            kind="Triton",
            hint="check host and port (Triton's HTTP port is usually 8000)",
            question="is it Triton's HTTP port (usually 8000)? For OpenAI's API, set --protocol openai",
        )
        try:
            self.server = self._http.ask("GET", "/v2")
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
        return model_names(self._http.ask("POST", "/v2/repository/index", {"ready": True}))

    def metadata(self, model: str) -> Mapping[str, Any]:
        """Return the metadata of a model."""
        metadata: Mapping[str, Any] = self._http.ask("GET", f"/v2/models/{quote(model, safe='')}")
        return metadata

    def config(self, model: str) -> Mapping[str, Any]:
        """Return the configuration of a model."""
        config: Mapping[str, Any] = self._http.ask("GET", f"/v2/models/{quote(model, safe='')}/config")
        return config

    def close(self) -> None:
        """Close the connection."""
        self._http.close()
