"""Flags for the connection to a URL target: headers, certificates and trust."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.errors import SettingsError
from loadgen.base.headers import parse_headers
from loadgen.scenario.settings import FLEETS, Scenario

HEADERS = "LOADGEN_HEADERS"
"""Environment variable with one `Name: value` per line."""

_FLAGS = ("header", "header_file", "ca_file", "insecure", "client_cert", "client_key")
_RESERVED = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that the clients set themselves."""


def add_connection_flags(parser: Any) -> None:
    """Add the flags, as a group: Locust's web UI does not show those, so it shows no value."""
    group = parser.add_argument_group("Connection to a URL target")
    group.add_argument(
        "--header",
        action="append",
        metavar="'NAME: VALUE'",
        help="header (gRPC: metadata) of every request; repeatable. Other users of this machine can read it in the "
        f"process list: rather use ${HEADERS} (one per line) or --header-file",
        default=None,
    )
    for flag, variable, about in (
        ("--header-file", "LOADGEN_HEADER_FILE", "file with one header per line"),
        ("--ca-file", "LOADGEN_CA_FILE", "PEM file with the CA certificates to trust"),
        ("--client-cert", "LOADGEN_CLIENT_CERT", "PEM file with a client certificate"),
        ("--client-key", "LOADGEN_CLIENT_KEY", "PEM file with its key, unless --client-cert contains it"),
    ):
        group.add_argument(flag, metavar="FILE", env_var=variable, help=about, default=None)
    group.add_argument(
        "--insecure",
        action="store_true",
        env_var="LOADGEN_INSECURE",
        help="do not verify the server's certificate; the report says so",
        default=False,
    )


def take_headers(options: Any) -> tuple[str, ...]:
    """Remove the values of --header from the options, which Locust sends to every worker, and return them."""
    headers = tuple(getattr(options, "header", None) or ())
    options.header = None
    return headers


def connection_of(options: Any, headers: Sequence[str], scenario: Scenario) -> Connection:
    """Return the connection that the flags describe.

    Args:
        options: Options of the command line.
        headers: Values of --header.
        scenario: The scenario with its flags applied.

    Raises:
        SettingsError: a header or a file is invalid, or a flag does not apply to the target.
    """
    values = {flag: getattr(options, flag, None) for flag in _FLAGS} | {"header": headers}
    if scenario.target in FLEETS:
        given = [flag for flag, value in values.items() if value]
        if given:
            raise SettingsError(
                f"--{given[0].replace('_', '-')} is for a URL target, and the target is {scenario.target!r}: "
                "leave it out, or name the URL with --target"
            )
        return DIRECT
    if values["client_key"] and not values["client_cert"]:
        raise SettingsError("--client-key needs the certificate of the key: add --client-cert")
    connection = Connection(
        headers=tuple(_headers(headers, values["header_file"]).items()),
        ca_file=_absolute(values["ca_file"]),
        insecure=bool(values["insecure"]),
        client_cert=_absolute(values["client_cert"]),
        client_key=_absolute(values["client_key"]),
    )
    if connection.ca_file or connection.client_cert:
        connection.tls_context()
    return connection


def _headers(arguments: Sequence[str], file: str | None) -> dict[str, str]:
    """Return all headers; the command line takes precedence over the file, and the file over the environment."""
    sources = (
        (f"${HEADERS}", os.environ.get(HEADERS, "")),
        ("--header-file", _text(file) if file else ""),
        ("--header", "\n".join(each if each.strip() and each.isprintable() else ":" for each in arguments)),
    )
    headers: dict[str, tuple[str, str]] = {}
    for source, text in sources:
        parsed = _parsed(source, text)
        headers |= {name.lower(): (name, value) for name, value in parsed.items()}
    return dict(headers.values())


def _parsed(source: str, text: str) -> Mapping[str, str]:
    try:
        headers = parse_headers(text)
    except ValueError as error:
        raise SettingsError(f"{source} {error}") from None
    for name in headers:
        if name.lower() in _RESERVED or name.lower().startswith("grpc-"):
            raise SettingsError(f"{source}: the header {name} is set by the clients themselves: leave it out")
        if name.lower().endswith("-bin"):
            raise SettingsError(f"{source}: the header {name} is binary metadata of gRPC, which is not supported")
    return headers


def _text(file: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise SettingsError(f"cannot read --header-file {file}: {reason}") from None


def _absolute(file: str | None) -> str | None:
    return str(Path(file).absolute()) if file else None
