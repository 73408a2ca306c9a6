"""Hostile servers beside each other: no request is lost or counted twice, and none keeps the process from its work."""

import os
import random
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, cast

import gevent
import pytest
from gevent.event import Event

from loadgen.protocols.wire.client import WireClient
from loadgen.protocols.wire.exchange import Exchange
from support.servers.hostile import PLAIN, SCRIPTS, Script
from support.servers.reference import BLS, client_of
from support.servers.scripted import (
    CHUNKED,
    GRPC,
    READY,
    chunk,
    data,
    event,
    forever,
    frame,
    grpc_request,
    http_request,
    message,
    scripted,
    silence,
    trailer,
)  # fmt: skip

_LONG = ("endless", "huge", "20-MB", "over-the-limit", "thousands")
_SHORT_S = 0.5


@pytest.fixture
def hub_errors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Exceptions that reached gevent's hub; a test fails if there are any."""
    errors: list[object] = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda *what: errors.append(what))
    yield errors
    assert errors == []


def open_files() -> Counter[str]:
    """Count the open descriptors of this process by kind."""
    found: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        try:
            found[str(path.readlink()).split(":")[0]] += 1
        except OSError:
            continue  # that of the folder itself
    return found


def wire(script: Script, port: int) -> WireClient:
    client = client_of(script.protocol, port, BLS if script.stream else PLAIN, stream=script.stream)
    return cast(WireClient, client)


@pytest.mark.parametrize("seed", range(4))
def test_every_request_ends_once(seed: int, hub_errors: list[object]) -> None:
    """Due = ok + rejected + timeout + error + cut_off + cancelled for any faults; no socket or watcher is left."""
    chosen = random.Random(seed)
    names = chosen.sample([name for name in SCRIPTS if not any(long in name for long in _LONG)], 30)
    loop = gevent.get_hub().loop
    gevent.sleep(0)
    before = open_files(), loop.activecnt
    ended: list[Exchange] = []
    due: list[tuple[WireClient, Exchange]] = []
    all_ended = Event()

    def end(exchange: Exchange) -> None:
        ended.append(exchange)
        if len(ended) == len(due):
            all_ended.set()

    with ExitStack() as servers:
        clients = []
        for name in names:
            client = wire(SCRIPTS[name], servers.enter_context(scripted(SCRIPTS[name].steps)))
            clients.append(client)
            for _ in range(chosen.randint(1, 4)):
                due.append((client, Exchange(client.codec.encode("x", 8), _SHORT_S, end)))
        chosen.shuffle(due)
        for number, (client, exchange) in enumerate(due):
            client.channel.submit(exchange)
            if number % 7 == 0:
                gevent.sleep(0)
        for client, exchange in chosen.sample(due, len(due) // 8):
            client.channel.cancel(exchange)
        assert all_ended.wait(30)
        assert all(client.channel.in_flight == 0 for client in clients)
        for client in clients:
            client.close()
    outcomes = Counter(
        "cancelled" if exchange.message == "cancelled" else str(client.answer(exchange).outcome)
        for client, exchange in due
    )
    assert outcomes.keys() <= {"ok", "rejected", "timeout", "error", "cut_off", "cancelled"}
    assert outcomes.total() == len(due) == len(ended) == len({id(each) for each in ended})
    assert len(outcomes) >= 4, outcomes
    gevent.sleep(0)
    assert (open_files(), loop.activecnt) == before


ENDLESS = {
    "http": (http_request, CHUNKED, chunk(event()), forever(chunk(b": comment\n"))),
    "grpc": (READY, grpc_request, GRPC, data(message()), forever(frame(0xBB, 0, 0, b"x"))),
    "grpc-empty-data": (READY, grpc_request, GRPC, data(message()), forever(frame(0, 0, 1))),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_streams_that_never_pause_stop_nothing(name: str, hub_errors: list[object]) -> None:
    """The time-out of another request, a signal and a kill work while three of them run."""
    protocol = name.partition("-")[0]
    signalled = Event()
    handler = gevent.signal_handler(signal.SIGUSR1, signalled.set)
    try:
        with scripted(ENDLESS[name]) as port, scripted((silence,)) as silent:
            endless = [cast(WireClient, client_of(protocol, port, BLS, stream=True)) for _ in range(3)]
            with closing(client_of(protocol, silent, BLS, stream=True)) as other:
                streams = [gevent.spawn(client.infer, "x", 8, 120.0) for client in endless]
                answer = other.infer("x", 8, 0.2)
            assert answer.outcome == "timeout"
            if protocol == "grpc":  # a body of HTTP ends at its limit
                assert not any(stream.ready() for stream in streams)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert signalled.wait(20)
            for stream in streams:
                stream.kill(timeout=20)
            assert all(stream.ready() for stream in streams)
            for client in endless:
                client.close()
    finally:
        handler.cancel()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_that_does_not_accept(protocol: str, hub_errors: list[object]) -> None:
    """A full backlog drops the first packet of a connection: the time-out is that of the whole request."""
    with ExitStack() as files:
        listener = files.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = files.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        with closing(client_of(protocol, listener.getsockname()[1], BLS, stream=True)) as client:
            answer = client.infer("x", 8, 0.3)
    assert (answer.outcome, answer.output_tokens, answer.resent) == ("timeout", 0, False)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_connection_that_the_server_closed_while_it_was_idle(protocol: str, hub_errors: list[object]) -> None:
    """The end is read before the first byte of the next request, which goes over a new connection, and not twice."""
    closed = threading.Event()

    def close(sock: socket.socket) -> None:
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        closed.set()

    if protocol == "http":
        answer: tuple[Any, ...] = (http_request, CHUNKED, chunk(event(), b""))
    else:
        answer = (READY, grpc_request, GRPC, data(message(), message(None, final=True)), trailer())
    with (
        scripted((*answer, close), (*answer, silence)) as port,
        closing(client_of(protocol, port, BLS, stream=True)) as client,
    ):
        assert client.infer("x", 8, 10.0).outcome == "ok"
        assert closed.wait(10)  # the event loop stands still meanwhile, so that it has not read the end
        second = client.infer("x", 8, 10.0)
    assert (second.outcome, second.resent) == ("ok", False)


def test_a_request_is_sent_again_where_the_server_did_not_take_it(hub_errors: list[object]) -> None:
    """A GOAWAY that names no stream: the row says so, and the answer counts."""
    taken = (READY, grpc_request, GRPC, data(message(), message(None, final=True)), trailer(), silence)
    refused = (READY, grpc_request, frame(7, 0, 0, b"\0" * 8), silence)
    with scripted(refused, taken) as port, closing(client_of("grpc", port, BLS, stream=True)) as client:
        answer = client.infer("x", 8, 10.0)
    assert (answer.outcome, answer.resent) == ("ok", True)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_that_is_killed_after_it_read_the_request(protocol: str, hub_errors: list[object]) -> None:
    """That is an error, as it must be seen: the server may have worked on it, so it is not sent again."""
    steps: tuple[Any, ...] = (http_request,) if protocol == "http" else (READY, grpc_request)
    with scripted(steps) as port, closing(client_of(protocol, port, BLS, stream=True)) as client:
        answer = client.infer("x", 8, 10.0)
    assert (answer.outcome, answer.cause, answer.resent) == ("error", "connection closed before an answer", False)
