"""Addresses that a user gives: taken apart once, refused with a sentence that never repeats a password."""

import ipaddress
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

_HIDDEN = "loadgen-secret-"


def new_secret() -> str:
    """A first part of a path that nobody guesses, and that `redacted` knows."""
    return f"{_HIDDEN}{secrets.token_urlsafe(16)}"


def redacted(text: str) -> str:
    """A text, such as the words of a library's error, without the secret parts of the URLs that it quotes."""
    return re.sub(rf"{_HIDDEN}[\w-]+", "…", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """A server's address: scheme, host (an IPv6 address without brackets) and port, None for the usual one."""

    scheme: str
    host: str
    port: int | None

    def address(self, default_port: int) -> str:
        """`host:port`, with an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port or default_port}"


def parse_url(url: str, *, schemes: Collection[str], example: str, path: bool = False) -> Url:
    """A URL such as `http://host:8000`, taken apart.

    Args:
        url: What the user gave.
        schemes: Schemes that are spoken.
        example: A good URL, for the sentence.
        path: Whether a path may follow the host.

    Raises:
        ValueError: one sentence that follows the setting's name: what is wrong, and what a good one looks like.
    """
    problem: str | None
    try:
        parts = urlsplit(url)
        problem = _problem(url, parts, schemes, path=path)
    except ValueError:  # urlsplit's own words repeat what it was given
        problem = "has a host that cannot be read"
    if problem:
        shown = "" if "@" in url else f" {re.split('[?#]', url)[0]!r}"
        raise ValueError(f"{shown} {problem}: write it like {example}".strip())
    return Url(scheme=parts.scheme, host=str(parts.hostname), port=parts.port)


def _problem(url: str, parts: SplitResult, schemes: Collection[str], *, path: bool) -> str | None:
    """What is wrong with a URL, if anything is."""
    if "@" in url:
        return "has a user name or a password, which would be recorded with the run; leave them out"
    if not url.isprintable() or " " in url:
        return "has a space or a control character"
    if parts.scheme not in schemes or not parts.netloc:
        return f"is no URL ({', '.join(schemes)})"
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        return f"has a {'query' if '?' in url else 'fragment'}"
    if not path and parts.path not in ("", "/"):
        return f"has the path {parts.path!r}"
    place = re.fullmatch(r"(\[.+\]|[\w.-]+)(?::(\d+))?", parts.netloc)
    if place is None or (place[1].startswith("[") and ipaddress.ip_address(str(parts.hostname)).version != 6):
        return "has no host name or address, or a port that is no number"
    if place[2] and not 1 <= int(place[2]) <= 65535:
        return "has a port that is not 1 to 65535"
    return None
