"""How a Prometheus behind a login, a tenant or its own certificate is asked: by what is in a file or the environment.

The secrets themselves are read where they are needed, by the relay, and are written nowhere.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import requests
from pydantic import BaseModel

from loadgen.base.errors import StackError
from loadgen.base.urls import redacted

HEADERS = "LOADGEN_KUBE_PROMETHEUS_HEADERS"
"""Environment variable: one `Name: value` a line."""

_TIMEOUT_S = 5.0
_NAME, _VALUE = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", r"[\x20-\x7e]+"


class Access(BaseModel):
    """What a Prometheus wants beside its URL.

    Attributes:
        token_file: File with a bearer token, read anew for every request, as it may be replaced.
        ca_file: File with the certificates of who signed that of Prometheus; None leaves it to the environment.
    """

    token_file: Path | None = None
    ca_file: Path | None = None

    @property
    def special(self) -> bool:
        """Whether anything is wanted that a plain read does not have."""
        return bool(self.token_file or self.ca_file or os.environ.get(HEADERS))

    def tenant(self) -> dict[str, str]:
        """The headers of the environment.

        Raises:
            StackError: a line is none; the sentence does not repeat it.
        """
        found = {}
        for line in os.environ.get(HEADERS, "").splitlines():
            name, colon, value = (part.strip() for part in line.partition(":"))
            if not line.strip():
                continue
            if not (colon and re.fullmatch(_NAME, name) and re.fullmatch(_VALUE, value)):
                raise StackError(f"{HEADERS} has a line that is no header: write one `Name: value` a line")
            found[name] = value
        return found

    def headers(self) -> dict[str, str]:
        """All headers, the token's included.

        Raises:
            StackError: the file cannot be read, or has no token; or as `tenant`.
        """
        found = self.tenant()
        if self.token_file is None:
            return found
        try:
            token = self.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise StackError(f"the token file {self.token_file} cannot be read: {why}") from error
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise StackError(f"the token file {self.token_file} has no token, or more than one")
        return {**found, "Authorization": f"Bearer {token}"}


class Reader:
    """Reads URLs with a special access.

    Args:
        access: What is wanted.
    """

    def __init__(self, access: Access) -> None:
        self._access, self._session = access, requests.Session()

    def get(self, url: str, query: Mapping[str, str]) -> requests.Response:
        """Whatever it answers; a redirection is not followed, as it leads to a login page or to someone else.

        Raises:
            StackError: it does not answer, or a secret is not there.
        """
        headers = self._access.headers()

        def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers.update(headers)  # as `auth`, so that no .netrc comes before it
            return request

        try:
            return self._session.get(
                url,
                params=query,
                auth=sign,
                timeout=_TIMEOUT_S,
                allow_redirects=False,
                verify=True if self._access.ca_file is None else str(self._access.ca_file),
            )
        except (requests.RequestException, OSError, ValueError) as error:
            raise StackError(f"{url} does not answer: {reason(error)}") from error


def reason(error: Exception) -> str:
    """The innermost words of a failed read, in one line and without what the URL keeps secret."""
    inner = getattr(error.args[0] if error.args else None, "reason", None) or error
    return redacted((str(inner) or type(inner).__name__).splitlines()[0])
