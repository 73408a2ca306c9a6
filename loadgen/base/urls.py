"""Parses URLs from the user; error messages never repeat a password."""

import ipaddress
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from loadgen.base.text import clean

_PREFIX = "loadgen-secret-"
_MIN_SECRET, _LONG_SECRET = 6, 12
_USER = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^/\s?#\"'<>]*@")
_secrets: set[str] = set()


def new_secret() -> str:
    """Return a random first segment of a path, which `redacted` recognizes."""
    return f"{_PREFIX}{secrets.token_urlsafe(16)}"


def hide(secret: str) -> None:
    """Make `redacted` and `redacted_bytes` replace a secret in this process, wherever a server repeats it.

    A short secret is replaced as a whole word only, and one of fewer than six characters not at all: it would be found
    in other words.
    """
    if len(secret) >= _MIN_SECRET:
        _secrets.add(secret)


def redacted(text: str) -> str:
    """Return a text, such as a library's error message, without secrets.

    These are the secrets that `hide` knows, the secret segments of URLs, and their user names and passwords.
    """
    text = _without_secrets(text, "…")
    text = re.sub(rf"{_PREFIX}[\w-]+", "…", text)
    return _USER.sub(r"\1", text)


def redacted_bytes(body: bytes) -> bytes:
    """Return the body of an answer without the secrets that `hide` knows."""
    return _without_secrets(body.decode("latin-1"), "...").encode("latin-1") if _secrets else body


def _without_secrets(text: str, instead: str) -> str:
    for secret in sorted(_secrets, key=len, reverse=True):
        if secret in text:
            edges = ("", "") if len(secret) >= _LONG_SECRET else (r"(?<!\w)", r"(?!\w)")
            text = re.sub(edges[0] + re.escape(secret) + edges[1], instead, text)
    return text


def without_user(url: str) -> tuple[str, str | None, str | None]:
    """Split a URL into the URL without user information, the user name and the password, both decoded."""
    parts = urlsplit(url)
    user, at, address = parts.netloc.rpartition("@")
    if not at:
        return url, None, None
    name, _, password = user.partition(":")
    hide(password)
    hide(unquote(password))
    return parts._replace(netloc=address).geturl(), unquote(name), unquote(password)


_NO_HOST = "has no host name or address, or a port that is not a number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """Address of a server: scheme, host (IPv6 without brackets), port (None: the default), path without a final /."""

    scheme: str
    host: str
    port: int | None
    path: str = ""

    def address(self, default_port: int) -> str:
        """Return `host:port`, with an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port or default_port}"


def parse_url(url: str, *, schemes: Collection[str], example: str, path: bool = False, api: str = "") -> Url:
    """Parse a URL such as `http://host:8000`.

    Args:
        url: The user's input.
        schemes: Supported schemes.
        example: A valid URL, for the error message.
        path: Whether a path may follow the host.
        api: Path of the API below that path, which the URL must not have: clients add it.

    Raises:
        ValueError: The URL is invalid. The message continues a sentence that begins with the name of the setting.
    """
    problem: str | None
    try:
        parts = urlsplit(url)
        problem = _problem(url, parts, schemes, path=path, api=api)
    except ValueError:  # which hosts urlsplit itself refuses depends on the release of Python
        problem = _NO_HOST
    if problem:
        shown = "" if "@" in url else f" {clean(repr(re.split('[?#]', url)[0]))}"
        raise ValueError(f"{shown} {problem}: write it like {example}".strip())
    return Url(scheme=parts.scheme, host=str(parts.hostname), port=parts.port, path=parts.path.rstrip("/"))


def _problem(url: str, parts: SplitResult, schemes: Collection[str], *, path: bool, api: str) -> str | None:
    """Return what is wrong with a URL, or None."""
    if "@" in url:
        return "has a user name or a password, which would be recorded with the run; leave them out"
    if not url.isprintable() or " " in url:
        return "has a space or a control character"
    if parts.scheme not in schemes or not parts.netloc:
        return f"is not a URL ({', '.join(schemes)})"
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        return f"has a {'query' if '?' in url else 'fragment'}"
    if not path and parts.path not in ("", "/"):
        return f"has the path {clean(repr(parts.path))}"
    if api and f"{parts.path}/".find(f"{api}/") >= 0:
        return f"has the path {clean(repr(parts.path))}, of which every request adds {api} itself"
    match = re.fullmatch(r"(\[.+\]|[\w.-]+)(?::(\d+))?", parts.netloc)
    if match is None or (match[1].startswith("[") and ipaddress.ip_address(str(parts.hostname)).version != 6):
        return _NO_HOST
    if match[2] and not 1 <= int(match[2]) <= 65535:
        return "has a port that is not 1 to 65535"
    return None
