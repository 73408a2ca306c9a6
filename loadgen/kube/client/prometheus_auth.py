"""Authenticates requests to a Prometheus that requires a token, a tenant header or a private certificate authority.

Token and headers come from a file and from the environment. They are read when a request needs them, and are never
written anywhere.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import requests
from pydantic import BaseModel

from loadgen.base.errors import StackError
from loadgen.base.headers import parse_headers
from loadgen.base.urls import hide, redacted

HEADERS = "LOADGEN_KUBE_PROMETHEUS_HEADERS"
"""Environment variable with one `Name: value` per line."""

_TIMEOUT_S = 5.0
_CONFIDENTIAL = "(?i)auth|cookie|key|pass|secret|token"


class PrometheusAuth(BaseModel):
    """Authentication to Prometheus.

    Attributes:
        token_file: File with a bearer token, read for every request, since it may be replaced.
        ca_file: CA certificates that are trusted; None uses those of the environment.
    """

    token_file: Path | None = None
    ca_file: Path | None = None

    @property
    def configured(self) -> bool:
        """Whether requests need anything besides the URL."""
        return bool(self.token_file or self.ca_file or os.environ.get(HEADERS))

    def extra_headers(self) -> dict[str, str]:
        """Return the headers of the environment variable.

        Raises:
            StackError: a line is not a header; the message does not repeat the line.
        """
        try:
            headers = parse_headers(os.environ.get(HEADERS, ""))
        except ValueError as error:
            raise StackError(f"{HEADERS} {error}") from None
        for name, value in headers.items():
            if re.search(_CONFIDENTIAL, name):
                hide(value.rpartition(" ")[2])
        return headers

    def headers(self) -> dict[str, str]:
        """Return all headers, including the bearer token.

        Raises:
            StackError: the token file cannot be read or does not contain one token, or a header is invalid.
        """
        headers = self.extra_headers()
        if self.token_file is None:
            return headers
        try:
            token = self.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not a text file"
            raise StackError(f"cannot read the token file {self.token_file}: {reason}") from error
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise StackError(f"the token file {self.token_file} must contain exactly one token")
        hide(token)
        return {**headers, "Authorization": f"Bearer {token}"}


class PrometheusSession:
    """Sends authenticated GET requests.

    Args:
        auth: The authentication.
    """

    def __init__(self, auth: PrometheusAuth) -> None:
        self._auth, self._session = auth, requests.Session()

    def get(self, url: str, query: Mapping[str, str]) -> requests.Response:
        """Return the response of any status; redirects are not followed, since they lead to login pages.

        Raises:
            StackError: there is no response, or the token or a header is invalid.
        """
        headers = self._auth.headers()

        def add_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers.update(headers)  # as `auth`, so that a .netrc does not take precedence
            return request

        try:
            return self._session.get(
                url,
                params=query,
                auth=add_headers,
                timeout=_TIMEOUT_S,
                allow_redirects=False,
                verify=True if self._auth.ca_file is None else str(self._auth.ca_file),
            )
        except (requests.RequestException, OSError, ValueError) as error:
            raise StackError(f"{url} does not respond: {failure_reason(error)}") from error


def failure_reason(error: Exception) -> str:
    """Return the innermost reason of a failed request in one line, without the secrets of its URL."""
    inner = getattr(error.args[0] if error.args else None, "reason", None) or error
    return redacted((str(inner) or type(inner).__name__).splitlines()[0])
