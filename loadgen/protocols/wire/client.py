"""Opens channels to Triton, and waits for one exchange at a time where a caller wants to block."""

import base64
import functools
import ssl
from typing import Protocol
from urllib.parse import unquote, urlsplit

import certifi
import gevent
from gevent.hub import Waiter

from loadgen.base.connection import Connection
from loadgen.protocols.answer import Answer, Interrupted
from loadgen.protocols.detect import Model
from loadgen.protocols.openai import OpenAiModel
from loadgen.protocols.wire.addresses import Addresses
from loadgen.protocols.wire.channel import Channel, Route
from loadgen.protocols.wire.exchange import Exchange, Pause, no_pause
from loadgen.protocols.wire.generate_codec import GenerateCodec
from loadgen.protocols.wire.grpc_codec import GrpcCodec
from loadgen.protocols.wire.hpack import encode
from loadgen.protocols.wire.http1 import Http1Channel
from loadgen.protocols.wire.http2_channel import Http2Channel
from loadgen.protocols.wire.openai_codec import OpenAiCodec

_USER_AGENT = "triton-loadgen"


class Codec(Protocol):
    """The encoding of one model's inference call."""

    def encode(self, prompt: str, max_tokens: int) -> bytes:
        """Return the body of a request."""
        ...

    def decode(self, exchange: Exchange, pause: Pause = no_pause) -> Answer:
        """Return the answer of an exchange that has ended, or that a stop ends now; `pause` is called now and then."""
        ...


class WireClient:
    """Sends one request at a time and waits for it; implements `loadgen.protocols.answer.Client`.

    Attributes:
        channel: The connections.
        codec: Encoding of requests and answers.
    """

    def __init__(self, channel: Channel, codec: Codec) -> None:
        self.channel = channel
        self.codec = codec

    def infer(self, prompt: str, max_tokens: int, timeout_s: float) -> Answer:
        """Send a prompt and wait for the end of its answer."""
        waiter = Waiter()
        loop = gevent.get_hub().loop
        exchange = Exchange(
            self.codec.encode(prompt, max_tokens), timeout_s, lambda _: loop.run_callback(waiter.switch, None)
        )
        self.channel.submit(exchange)
        try:
            waiter.get()
        except gevent.GreenletExit as stop:
            exchange.on_end = lambda _: None
            self.channel.cancel(exchange)
            raise Interrupted(self.answer(exchange)) from stop
        except BaseException:  # such as gevent.Timeout of the caller
            exchange.on_end = lambda _: None
            self.channel.cancel(exchange)
            raise
        return self.answer(exchange)

    def answer(self, exchange: Exchange, pause: Pause = no_pause) -> Answer:
        """Return the answer of an exchange that has ended, or that a stop ends now; `pause` is called now and then."""
        answer = self.codec.decode(exchange, pause)
        answer.on_wire, answer.resent = exchange.on_wire_at, exchange.resent
        return answer

    def close(self) -> None:
        """Close the connections."""
        self.channel.close()


def grpc_client(address: str, model: Model, *, stream: bool, tls: bool, connection: Connection) -> WireClient:
    """Return a client of Triton's gRPC calls.

    Raises:
        SettingsError: a certificate cannot be read.
    """
    codec = GrpcCodec(model, stream=stream, connection=connection)
    names = {name.lower(): value for name, value in connection.headers}
    fields = {
        ":method": "POST",
        ":scheme": "https" if tls else "http",
        ":path": codec.path,
        ":authority": names.pop("host", address),
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": names.pop("user-agent", _USER_AGENT),
        "grpc-accept-encoding": "identity",
    }
    metadata = [(name.lower(), value) for name, value in connection.headers if name.lower() in names]
    route = _route(address, tls=tls, connection=connection, alpn="h2", tunnels=True)
    return WireClient(Http2Channel(route, encode([*fields.items(), *metadata])), codec)


def http_client(address: str, model: Model, *, stream: bool, tls: bool, connection: Connection) -> WireClient:
    """Return a client of Triton's `generate` calls.

    Raises:
        SettingsError: a certificate cannot be read.
    """
    codec = GenerateCodec(model, stream=stream, connection=connection)
    return _http_client(address, codec, codec.path, tls=tls, connection=connection)


def openai_client(address: str, model: OpenAiModel, *, stream: bool, tls: bool, connection: Connection) -> WireClient:
    """Return a client of OpenAI's calls.

    Raises:
        SettingsError: a certificate cannot be read.
    """
    codec = OpenAiCodec(model, stream=stream, connection=connection)
    return _http_client(address, codec, codec.path, tls=tls, connection=connection)


def _http_client(address: str, codec: Codec, path: str, *, tls: bool, connection: Connection) -> WireClient:
    own = {name.lower() for name, _ in connection.headers}
    defaults = (("Host", _host(address, tls=tls)), ("User-Agent", _USER_AGENT), ("Content-Type", "application/json"))
    fields = [(name, value) for name, value in defaults if name.lower() not in own]
    fields += [(name, value) for name, value in connection.headers if name.lower() != "content-length"]
    target = path
    if connection.proxy and not tls:  # a proxy takes the whole URL
        target = f"http://{address}{path}"
        fields += _proxy_authorization(connection.proxy)
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "Content-Length: "]
    head = "\r\n".join(lines).encode("utf-8")
    route = _route(address, tls=tls, connection=connection, alpn="http/1.1", tunnels=tls)
    return WireClient(Http1Channel(route, head), codec)


def _host(address: str, *, tls: bool) -> str:
    return address.removesuffix(":443" if tls else ":80")


def _route(address: str, *, tls: bool, connection: Connection, alpn: str, tunnels: bool) -> Route:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    tunnel = None
    if connection.proxy:
        proxy = urlsplit(connection.proxy)
        addresses = Addresses(proxy.hostname or "", proxy.port or 80)
        if tunnels:
            fields = [("Host", address), *_proxy_authorization(connection.proxy)]
            lines = [f"CONNECT {address} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
            tunnel = "\r\n".join(lines).encode()
    else:
        addresses = Addresses(host, int(port))
    context = tls_context(connection, alpn) if tls else None
    return Route(
        addresses=addresses,
        tls=None if context is None else (context, host),
        alpn=alpn if alpn == "h2" else None,
        tunnel=tunnel,
    )


def _proxy_authorization(proxy: str) -> list[tuple[str, str]]:
    url = urlsplit(proxy)
    if not url.username:
        return []
    credentials = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
    return [("Proxy-Authorization", f"Basic {base64.b64encode(credentials).decode()}")]


@functools.cache
def tls_context(connection: Connection, alpn: str) -> ssl.SSLContext:
    """Return the process-wide TLS context: loading the certificates takes 20 ms, in which no token could be timed.

    Raises:
        SettingsError: a certificate cannot be read.
    """
    context = connection.tls_context(default_ca_file=certifi.where())
    context.set_alpn_protocols([alpn])
    return context
