"""Connects the collector to the addresses in the settings of a URL target."""

import dataclasses
import json
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.errors import SettingsError
from loadgen.base.proxies import proxy_for

_VARIABLE = "LOADGEN_COLLECTOR_CONNECTION"
"""Environment variable with the connection of the target; a file or an argument could be read by others."""


def to_environment(connection: Connection) -> dict[str, str]:
    """Return the environment of the collector."""
    return {**os.environ, _VARIABLE: json.dumps(dataclasses.asdict(connection))}


def from_environment(environment: Mapping[str, str]) -> Connection:
    """Return the connection that `to_environment` wrote; a direct and plain one without it."""
    text = environment.get(_VARIABLE)
    return Connection(**json.loads(text)) if text else DIRECT


def connection_to(url: str, connection: Connection, *, credentials: bool = True) -> Connection:
    """Return how to connect to a URL: as to the target, through the proxy that the environment names for this URL.

    Args:
        url: The URL.
        connection: The connection to the target.
        credentials: Whether the server gets the headers and the client certificate.

    Raises:
        SettingsError: the environment names a proxy that cannot be used.
    """
    if not credentials:
        connection = dataclasses.replace(connection, headers=(), client_cert=None, client_key=None)
    try:
        return dataclasses.replace(connection, proxy=proxy_of(url))
    except ValueError as error:
        raise SettingsError(str(error)) from None


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for a URL.

    Raises:
        ValueError: it cannot be used.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    tls = parts.scheme == "https"
    return proxy_for(parts.hostname or "", parts.port or (443 if tls else 80), tls=tls)


def session_to(url: str, connection: Connection) -> requests.Session:
    """Return a session for the requests to a URL; no other setting of the environment chooses its proxy."""
    session = requests.Session()
    session.trust_env = False
    if connection.proxy:
        session.proxies = {"http": connection.proxy, "https": connection.proxy}
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    session.verify = False if connection.insecure else connection.ca_file or bundle or True
    if connection.client_cert:
        session.cert = (connection.client_cert, connection.client_key or connection.client_cert)
    if not any(name.lower() == "authorization" for name, _ in connection.headers):
        session.auth = requests.utils.get_netrc_auth(url)
    session.headers.update(dict(connection.headers))
    if connection.headers:
        session.max_redirects = 0  # a redirect to another host would take the headers along
    return session
