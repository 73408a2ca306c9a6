"""Applies a `Connection` to gRPC: channel, metadata, TLS credentials, path and proxy."""

import functools
import http.client
import ssl
from collections.abc import Mapping
from typing import Any

import grpc

from loadgen.base.connection import DIRECT, Connection
from loadgen.base.errors import TargetError
from loadgen.base.http_connection import HttpConnection
from loadgen.base.proxies import through
from loadgen.protocols.engine import POD_HEADER, pod_name

Options = list[tuple[str, str | int]]

_AS_OPTION = {"host": "grpc.default_authority", "user-agent": "grpc.primary_user_agent"}
_HANDSHAKE_TIMEOUT_S = 10.0
_MAX_MESSAGE_BYTES = 256 * 2**20
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # each client gets its own connection, so that users do not share one
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.enable_retries", 0),  # a retry would hide a failure, and add its time to the latency
)


def open_channel(address: str, *, tls: bool, connection: Connection = DIRECT) -> grpc.Channel:
    """Open a channel with its own connection to `host:port`.

    Raises:
        SettingsError: a certificate cannot be read.
    """
    options = [*_OPTIONS, *channel_options(connection)]
    if tls:
        credentials, names = tls_credentials(address, connection)
        return grpc.secure_channel(address, credentials, options=[*options, *names])
    return grpc.insecure_channel(address, options=options)


def metadata(connection: Connection) -> tuple[tuple[str, str], ...] | None:
    """Return the headers as metadata, whose names are in lower case; None without any."""
    pairs = tuple((name.lower(), value) for name, value in connection.headers if name.lower() not in _AS_OPTION)
    return pairs or None


def pod_in_headers(call: Any, *, failed: bool = False) -> str | None:
    """Return the replica that the headers of an answer name; those of a failed call may be in its trailers."""
    headers = call.initial_metadata() or ()
    if failed:
        headers = (*headers, *(call.trailing_metadata() or ()))
    for name, value in headers:
        if name == POD_HEADER:
            return pod_name(value)
    return None


def channel_options(connection: Connection) -> Options:
    """Return the options of a channel: its proxy, and the headers that are no metadata."""
    proxy = ("grpc.http_proxy", connection.proxy) if connection.proxy else ("grpc.enable_http_proxy", 0)
    named = [(_AS_OPTION[name.lower()], value) for name, value in connection.headers if name.lower() in _AS_OPTION]
    return [proxy, *named]


def tls_credentials(address: str, connection: Connection) -> tuple[grpc.ChannelCredentials, Options]:
    """Return the TLS credentials of a channel, and options that belong to them.

    gRPC cannot leave a certificate unverified. An insecure connection therefore trusts the certificate that the server
    presents now, under the name that this certificate has.

    Raises:
        SettingsError: a certificate cannot be read.
        TargetError: the server presents no certificate to an insecure connection.
    """
    key = certificate = None
    if connection.client_cert is not None:
        certificate = connection.pem(connection.client_cert)
        key = connection.pem(connection.client_key or connection.client_cert)
    if not connection.insecure:
        roots = connection.pem(connection.ca_file) if connection.ca_file else None
        return grpc.ssl_channel_credentials(roots, key, certificate), []
    presented, name = _presented_certificate(address, connection)
    options: Options = [("grpc.ssl_target_name_override", name)] if name else []
    return grpc.ssl_channel_credentials(presented, key, certificate), options


def below_path(channel: grpc.Channel, path: str) -> Any:
    """Return a channel for a stub whose methods lie below a path, as behind a gateway that routes by path."""
    return _BelowPath(channel, path) if path else channel


class _BelowPath:
    """The calls of a channel that Triton's stub uses."""

    def __init__(self, channel: grpc.Channel, path: str) -> None:
        self._channel, self._path = channel, path

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._channel.unary_unary(self._path + method, *arguments, **options)

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._channel.stream_stream(self._path + method, *arguments, **options)


@functools.cache
def _presented_certificate(address: str, connection: Connection) -> tuple[bytes, str | None]:
    """Return the certificate that a server presents (PEM), and a name in it.

    Each process asks once: an additional handshake before a request would add to its latency.
    """
    try:
        der, _ = _peer(address, connection, connection.tls_context())
        pem = ssl.DER_cert_to_PEM_cert(der)
        # only a verified certificate can be read
        trusting = connection.tls_context(lambda **_: ssl.create_default_context(cadata=pem))
        trusting.verify_mode = ssl.CERT_REQUIRED
        trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        _, names = _peer(address, connection, trusting)
    except (OSError, http.client.HTTPException) as error:
        raise TargetError(
            f"cannot connect with TLS to {address}{through(connection.proxy)} ({error}); check host, port and scheme; "
            "over gRPC, --insecure accepts an unknown authority and another name, but no expired certificate"
        ) from None
    alternatives = [str(value) for kind, value in names.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    common = [str(value) for part in names.get("subject", ()) for kind, value in part if kind == "commonName"]
    # a wildcard stands for exactly one label
    return pem.encode(), next((name.replace("*", "any") for name in (*alternatives, *common)), None)


def _peer(address: str, connection: Connection, context: ssl.SSLContext) -> tuple[bytes, Mapping[str, Any]]:
    """Return the certificate of a server in DER, and its fields, which are known only where it is verified."""
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    opened = HttpConnection(
        host.strip("[]"), int(port), timeout_s=_HANDSHAKE_TIMEOUT_S, tls=context, proxy=connection.proxy
    )
    try:
        opened.raw.connect()
        secure: Any = opened.raw.sock
        return secure.getpeercert(binary_form=True) or b"", secure.getpeercert() or {}
    finally:
        opened.close()
