"""Defines how clients connect to a server, whatever the protocol: headers, TLS, path and proxy."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from loadgen.base.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How clients connect to a server, besides its address and protocol.

    Attributes:
        headers: Names and values that every request carries: HTTP headers or gRPC metadata. `Host` and `User-Agent`
            replace what a client would send itself.
        ca_file: PEM file with the CA certificates that are trusted, instead of the public ones.
        insecure: Whether the server's certificate is not verified.
        client_cert: PEM file with the client certificate.
        client_key: PEM file with its key; None where the certificate's file has it.
        path: Path in front of every request's own, such as `/triton`; empty for none.
        proxy: Proxy that connections go through, `http://[user:password@]host:port`; None for a direct connection.
    """

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    ca_file: str | None = None
    insecure: bool = False
    client_cert: str | None = None
    client_key: str | None = None
    path: str = ""
    proxy: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        # a message between processes turns tuples into lists
        object.__setattr__(self, "headers", tuple((str(name), str(value)) for name, value in self.headers))

    def redacted(self, text: str) -> str:
        """Return a text, such as a server's error message, without the values of the headers."""
        for _, value in self.headers:
            for secret in (value, value.rpartition(" ")[2]):
                text = text.replace(secret, "…") if len(secret) >= _SHORTEST_SECRET else text
        return text

    def tls_context(
        self,
        create: Callable[..., ssl.SSLContext] = ssl.create_default_context,
        *,
        default_ca_file: str | None = None,
    ) -> ssl.SSLContext:
        """Return a TLS context.

        Args:
            create: Function with the signature of `ssl.create_default_context`.
            default_ca_file: The CA certificates without `ca_file`; None for those of the system.

        Raises:
            SettingsError: a file cannot be read, or does not contain what it should.
        """
        try:
            context = create(cafile=self.ca_file or default_ca_file)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"--ca-file {self.ca_file}: {_reason(error)}: name a PEM file with CA certificates"
            ) from None
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_cert is not None:
            try:
                # without a password, OpenSSL would ask for it on the terminal
                context.load_cert_chain(self.client_cert, self.client_key, password=lambda: "")
            except (OSError, ValueError) as error:
                files = f"--client-cert {self.client_cert}"
                files += f" with --client-key {self.client_key}" if self.client_key else ""
                raise SettingsError(
                    f"{files}: {_reason(error)}: name PEM files of a certificate and of its unencrypted key"
                ) from None
        return context

    def pem(self, file: str) -> bytes:
        """Return the content of one of the files above.

        Raises:
            SettingsError: the file cannot be read.
        """
        try:
            return Path(file).read_bytes()
        except OSError as error:
            raise SettingsError(
                f"cannot read {file}: {_reason(error)}; every process that sends load needs it at this path"
            ) from None


_SHORTEST_SECRET = 6
"""Shorter values, such as the name of a tenant, occur in other texts."""

DIRECT = Connection()
"""A connection without headers, own certificates, path or proxy."""

NEEDS_CREDENTIALS = "give credentials with --header 'Authorization: Bearer …', --header-file or --client-cert"
"""Advice for a server that answers 401."""

REFUSES_CREDENTIALS = "it refuses these credentials: check --header, --header-file and --client-cert"
"""Advice for a server that answers 403."""


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "it is not a valid PEM file, or does not match"
    return getattr(error, "strerror", None) or type(error).__name__
