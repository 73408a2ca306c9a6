"""TLS of the load client: what servers do wrong, records of several messages, and handshakes that take turns."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import gevent
import pytest
import trustme
from gevent.event import Event

from loadgen.base.connection import DIRECT, Connection
from loadgen.protocols.answer import Answer
from loadgen.protocols.endpoint import Endpoint
from loadgen.protocols.wire.exchange import Exchange
from loadgen.protocols.wire.tls import MAX_STEPS_PER_TURN, handshakes_of
from support.servers.reference import BLS
from support.servers.scripted import (
    CHUNKED,
    GRPC,
    READY,
    Step,
    chunk,
    data,
    event,
    grpc_request,
    http_request,
    message,
    reset,
    scripted,
    silence,
    trailer,
)

Protocol = Literal["http", "grpc"]
FINAL = message(None, final=True)


@dataclass(frozen=True, kw_only=True)
class Authority:
    """A CA in a file, and what makes contexts of servers with it."""

    file: str
    ca: trustme.CA

    def server(self, *names: str, alpn: str | None = None, expired: bool = False) -> ssl.SSLContext:
        end = datetime.now(UTC) - timedelta(days=1) if expired else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*(names or ("localhost", "127.0.0.1")), not_after=end).configure_cert(context)
        if alpn is not None:
            context.set_alpn_protocols([alpn])
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    ca = trustme.CA()
    file = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return Authority(file=str(file), ca=ca)


@pytest.fixture(params=["http", "grpc"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    name: Protocol = request.param
    return name


def endpoint(port: int, protocol: Protocol, authority: Authority, connection: Connection = DIRECT) -> Endpoint:
    trusted = replace(connection, ca_file=authority.file)
    return Endpoint(address=f"127.0.0.1:{port}", protocol=protocol, tls=True, connection=trusted)


def steps(protocol: Protocol, tokens: int = 2) -> list[Step]:
    if protocol == "http":
        return [http_request, CHUNKED, chunk(*[event()] * tokens, b"")]
    return [READY, grpc_request, GRPC, data(*[message()] * tokens, FINAL), trailer(), silence]


def answer_over(
    context: ssl.SSLContext | None,
    script: list[Step],
    protocol: Protocol,
    authority: Authority,
    timeout_s: float = 20.0,
) -> Answer:
    with (
        scripted(script, tls=context) as port,
        closing(endpoint(port, protocol, authority).open(BLS, stream=True)) as client,
    ):
        return client.infer("x", 8, timeout_s)


def test_records_of_several_messages(protocol: Protocol, authority: Authority) -> None:
    """Tokens that one record or one read holds are all there, and count as coalesced."""
    alpn = "h2" if protocol == "grpc" else "http/1.1"
    answer = answer_over(authority.server(alpn=alpn), steps(protocol, 3000), protocol, authority)
    assert (answer.outcome, answer.output_tokens) == ("ok", 3000)
    assert answer.coalesced > 2000


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("tickets", [0, 2])
def test_versions_and_session_tickets(
    protocol: Protocol, authority: Authority, version: ssl.TLSVersion, tickets: int
) -> None:
    """Tickets of the server arrive beside the answer and are no part of it."""
    context = authority.server()
    context.minimum_version = context.maximum_version = version
    context.num_tickets = tickets
    assert answer_over(context, steps(protocol), protocol, authority).outcome == "ok"


Fault = Callable[[Authority], ssl.SSLContext | None]


@pytest.mark.parametrize(
    ("server", "cause"),
    [
        (lambda authority: authority.server(expired=True), "certificate has expired"),
        (lambda authority: authority.server("other.example"), "IP address mismatch"),
        (lambda _: Authority(file="", ca=trustme.CA()).server(), "unable to get local issuer certificate"),
        (lambda _: None, "failed to connect: TLS: "),
    ],
    ids=["expired", "wrong-name", "unknown-authority", "plaintext"],
)
def test_certificates_that_do_not_hold(protocol: Protocol, authority: Authority, server: Fault, cause: str) -> None:
    """The request is an error whose cause is the reason; it was not sent."""
    context = server(authority)
    script: list[Step] = [b"HTTP/1.1 400 Bad Request\r\n\r\n", silence] if context is None else steps(protocol)
    answer = answer_over(context, script, protocol, authority)
    assert answer.outcome == "error"
    assert (answer.cause or "").startswith("failed to connect: TLS: ")
    assert cause in (answer.cause or "")
    assert answer.on_wire is None


def test_a_server_that_chooses_no_protocol(authority: Authority) -> None:
    """Some proxies do not answer ALPN: what the server then speaks decides."""
    context = authority.server(alpn="http/1.1")
    assert answer_over(context, steps("grpc"), "grpc", authority).outcome == "ok"
    answer = answer_over(context, [b"HTTP/1.1 400 Bad Request\r\n\r\n", silence], "grpc", authority)
    assert (answer.outcome, answer.cause) == ("error", "the server does not speak gRPC: HTTP/1.1 400 Bad Request")


def test_ends_in_the_middle_of_a_stream(protocol: Protocol, authority: Authority) -> None:
    """A reset, an end without close_notify, and a damaged record: the tokens before it stay."""

    def damage(sock: socket.socket) -> None:
        plain = socket.socket(fileno=sock.fileno())
        plain.sendall(b"\x17\x03\x03\x00\x20" + b"\0" * 32)
        plain.detach()
        silence(sock)

    first: list[Step] = [http_request, CHUNKED, chunk(event())]
    if protocol == "grpc":
        first = [READY, grpc_request, GRPC, data(message())]
    for last, cause in (((), ""), ((reset,), ""), ((damage,), "TLS: ")):
        answer = answer_over(authority.server(), [*first, *last], protocol, authority)
        if last == (reset,):
            assert answer.outcome in ("cut_off", "error")  # a reset may overtake the token
            continue
        assert (answer.outcome, answer.output_tokens) == ("cut_off", 1)
        assert cause in (answer.cause or "")


def test_a_handshake_that_never_ends(protocol: Protocol, authority: Authority) -> None:
    """The time-out is that of the request."""
    assert answer_over(None, [silence], protocol, authority, timeout_s=0.3).outcome == "timeout"


@pytest.mark.parametrize("name", [".example", "a..b"])
def test_a_name_that_no_certificate_can_have(
    protocol: Protocol, authority: Authority, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error of the request, not an exception in the event loop."""
    with scripted(steps(protocol)) as port:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        made = replace(endpoint(port, protocol, authority), address=f"{name}:{port}")
        with closing(made.open(BLS, stream=True)) as client:
            answer = client.infer("x", 8, 20.0)
    assert answer.outcome == "error"
    assert (answer.cause or "").startswith("failed to connect: TLS: ")


def test_a_thousand_handshakes_take_turns(authority: Authority) -> None:
    """A burst of connections has a few steps in each turn of the event loop; other callbacks run between them."""
    loop = gevent.get_hub().loop
    burst, others, turns = 1000, 0, handshakes_of(loop).turns
    ended: list[Exchange] = []
    all_ended = Event()

    def end(exchange: Exchange) -> None:
        ended.append(exchange)
        if len(ended) == burst:
            all_ended.set()

    def other() -> None:
        nonlocal others
        others += 1

    context = authority.server()
    slots = threading.Semaphore(64)  # a thread for each connection of the server: not all of them at a time

    def limited(sock: socket.socket) -> None:
        with slots:
            http_request(sock)

    check = loop.check()
    check.start(other)
    try:
        with (
            scripted([limited, CHUNKED, chunk(event(), b"")], tls=context) as port,
            closing(endpoint(port, "http", authority).open(BLS, stream=True)) as client,
        ):
            for _ in range(burst):
                client.channel.submit(Exchange(client.codec.encode("x", 8), 120.0, end))
            assert all_ended.wait(120)
            answers = [client.answer(exchange) for exchange in ended]
    finally:
        check.close()
    assert {answer.outcome for answer in answers} == {"ok"}
    steps_needed = 2 * burst  # to say hello, and to finish
    turns = handshakes_of(loop).turns - turns
    assert turns >= steps_needed // MAX_STEPS_PER_TURN
    assert others >= turns
