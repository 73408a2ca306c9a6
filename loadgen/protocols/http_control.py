"""Asks the control plane of a server over HTTP; every failure is one sentence that says what to do."""

import json
from typing import Any

import gevent
from geventhttpclient.response import HTTPSocketPoolResponse

from loadgen.base.connection import NEEDS_CREDENTIALS, REFUSES_CREDENTIALS, Connection
from loadgen.base.errors import TargetError
from loadgen.base.proxies import through
from loadgen.base.text import clean
from loadgen.protocols.generate import error_text
from loadgen.protocols.http_body import TooLargeError, whole
from loadgen.protocols.http_connection import CONNECTION_ERRORS, JSON_HEADERS, connect
from loadgen.protocols.json_text import JSON_ERRORS

_TIMEOUT_S = 10.0
_MAX_BYTES = 16 * 2**20


class HttpControl:
    """A connection for questions, one at a time.

    Args:
        address: `host:port`.
        tls: Whether the connection is encrypted.
        connection: Headers, certificates and proxy of the connection.
        path: Path in front of that of every question.
        kind: What the server should be, for messages: `Triton`.
        hint: What to check if there is no answer.
        question: What to ask oneself if the answer is an error.
    """

    def __init__(
        self, address: str, *, tls: bool, connection: Connection, path: str, kind: str, hint: str, question: str
    ) -> None:
        self._address, self._path, self._connection = address, path, connection
        self._kind, self._hint, self._question = kind, hint, question
        self._headers = {**JSON_HEADERS, **dict(connection.headers)}
        self._http = connect(address, tls=tls, timeout_s=_TIMEOUT_S, connection=connection)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the JSON of an answer.

        Raises:
            TargetError: the server is unreachable, or its answer is not JSON with the status 200.
        """
        payload = json.dumps(body).encode() if body is not None else b""
        address, through_proxy = self._address, through(self._connection.proxy)
        response: HTTPSocketPoolResponse | None = None
        try:
            with gevent.Timeout(_TIMEOUT_S, TimeoutError(f"no whole answer within {_TIMEOUT_S:g} s")):
                response = self._http.request(method, self._path + path, body=payload, headers=self._headers)
                status, text = response.status_code, whole(response, _MAX_BYTES)
        except TooLargeError as error:
            raise TargetError(f"the HTTP server at {address} answers {path} with {error}; {self._hint}") from None
        except CONNECTION_ERRORS as error:
            raise TargetError(
                f"cannot reach an HTTP server at {address}{through_proxy} ({clean(error)}); "
                f"{self._hint} and that the server is up"
            ) from None
        finally:
            if response is not None:
                response.release()
        if status == 401:
            raise TargetError(
                f"the HTTP server at {address} requires credentials ({path}: {status}): {NEEDS_CREDENTIALS}"
            )
        if status == 403:
            raise TargetError(f"the HTTP server at {address} answers {path} with {status}: {REFUSES_CREDENTIALS}")
        if status == 407:
            raise TargetError(
                f"cannot reach the HTTP server at {address}{through_proxy}, which requires credentials (407): add user "
                "and password to its URL in the environment"
            )
        if 300 <= status < 400 or (status == 200 and _is_html(text)):
            raise TargetError(
                f"the HTTP server at {address} answers {path} with {status} and a web page, such as that of a "
                "login: check host, port and path, and --header"
            )
        if status != 200:
            raise TargetError(
                f"the HTTP server at {address} answers {path} with {status}: "
                f"{self._connection.redacted(error_text(text))}; {self._question}"
            )
        try:
            return json.loads(text)
        except JSON_ERRORS:
            raise TargetError(
                f"the HTTP server at {address} is not {self._kind}: {path} is not JSON; check host and port"
            ) from None


def _is_html(body: bytes) -> bool:
    return body[:1000].lstrip().lower().startswith((b"<!doctype html", b"<html"))
