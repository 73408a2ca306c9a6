"""Reads responses of the Kubernetes API; a login or a proxy in front of it may answer in its place."""

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from loadgen.base.errors import StackError
from loadgen.base.text import clean

Raw = dict[str, Any]

_MAX_MESSAGE = 300


class Response(NamedTuple):
    """A response of the API: HTTP status, headers with names in lower case, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def document(response: Response, server: str) -> Raw:
    """Return the JSON object in a response.

    Args:
        response: A response of status 200 or 201.
        server: URL of the API server, for the error message.

    Raises:
        StackError: the response holds something else, such as the page of a login.
    """
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise StackError(f"the API server at {server} returned {error_message(response, server)}")
    return content


def error_message(response: Response, server: str) -> str:
    """Return the status of a response and its reason, in one sentence."""
    if _is_page(response) or 300 <= response.status < 400 or 200 <= response.status < 300:
        what = "a web page" if _is_page(response) else "no object of Kubernetes"
        return (
            f"{response.status} with {what}: a login or a proxy answers in place of the API server {server}; log in, "
            "or check server and proxy-url in the kubeconfig, HTTPS_PROXY and NO_PROXY"
        )
    try:
        message = json.loads(response.body).get("message")
    except (ValueError, AttributeError, RecursionError):
        message = None
    text = clean(message or response.body[: 4 * _MAX_MESSAGE].decode(errors="replace"), _MAX_MESSAGE)
    return f"{response.status}: {text or 'no reason given'}"


def parse_date(stamp: str | None) -> float | None:
    """Return the time in a `Date` header, in seconds since the epoch; None if there is none that can be read."""
    try:
        return parsedate_to_datetime(stamp).timestamp() if stamp else None
    except (ValueError, TypeError, OverflowError, LookupError):
        return None


def _is_page(response: Response) -> bool:
    start = response.body[:1000].lstrip().lower()
    return "html" in response.headers.get("content-type", "") or start.startswith((b"<!doctype html", b"<html"))
