"""Token times of the built-in client against a server that writes its own clock into every token.

Asserted is what no scheduler can change: counts, order, no stamp before the server's, and a stall as long as it was.
How late stamps are is compared with how late the event loop of this process was in the same run.
"""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import gevent
import pytest

from loadgen.protocols.answer import Answer
from loadgen.protocols.detect import Model
from loadgen.protocols.endpoint import Endpoint
from loadgen.protocols.wire.exchange import Exchange
from loadgen.scenario.settings import WireProtocol
from support.servers.null_server import MODEL, PLAIN_MODEL, TOKEN_BYTES, NoCompilerError, NullServer, null_server

STREAMS = Model(name=MODEL, family="trtllm", batched=True, decoupled=True, streams=True, counts_tokens=True)
SINGLE = Model(name=PLAIN_MODEL, family="trtllm", batched=True, decoupled=False, streams=False, counts_tokens=True)
TOKENS, ITL_S = 20, 0.02
_CLOCK = re.compile(rb"(\d{16}) ")


@pytest.fixture(scope="module")
def server() -> Iterator[NullServer]:
    try:
        with null_server(first_ms=10, itl_ms=1000 * ITL_S) as running:
            yield running
    except NoCompilerError as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> WireProtocol:
    name: WireProtocol = request.param
    return name


class LoopDelay:
    """How late the event loop of this process was, at most and mostly, seconds."""

    def __init__(self) -> None:
        self.delays_s: list[float] = []

    @contextmanager
    def measured(self) -> Iterator[None]:
        greenlet = gevent.spawn(self._measure)
        try:
            yield
        finally:
            greenlet.kill()

    def _measure(self) -> None:
        while True:
            due = time.monotonic() + 0.002
            gevent.sleep(0.002)
            self.delays_s.append(time.monotonic() - due)

    def quantile_s(self, share: float) -> float:
        return sorted(self.delays_s)[int(share * (len(self.delays_s) - 1))]


def send(
    server: NullServer, protocol: WireProtocol, requests: int, tokens: int, model: Model = STREAMS
) -> list[tuple[Exchange, Answer]]:
    """Send requests at once over one channel and wait for all."""
    endpoint = Endpoint(address=f"127.0.0.1:{getattr(server, protocol)}", protocol=protocol)
    client = endpoint.open(model, stream=tokens > 1)
    ended: list[Exchange] = []
    for _ in range(requests):
        client.channel.submit(Exchange(client.codec.encode("x", tokens), 30.0, ended.append))
    with gevent.Timeout(60):
        while len(ended) < requests:
            gevent.sleep(0.005)
    answers = [(exchange, client.answer(exchange)) for exchange in ended]
    client.close()
    return answers


@pytest.mark.parametrize("streams", [1, 50])
def test_every_token_has_its_time(server: NullServer, protocol: WireProtocol, streams: int) -> None:
    """Every token arrives once and in order, is stamped after the server sent it, and mostly at once."""
    delay = LoopDelay()
    with delay.measured():
        answers = send(server, protocol, streams, TOKENS)
    late_s = []
    for exchange, answer in answers:
        assert (answer.outcome, answer.output_tokens, len(answer.token_times)) == ("ok", TOKENS, TOKENS)
        sent = [int(ns) / 1e9 for ns in _CLOCK.findall(bytes(exchange.data))]
        assert len(sent) == TOKENS
        assert answer.token_times == sorted(answer.token_times)
        late_s += [at - by for at, by in zip(answer.token_times, sent, strict=True)]
        assert answer.on_wire is not None
        assert exchange.submitted_at <= answer.on_wire <= sent[0]
    assert min(late_s) >= 0
    # a token can wait for one turn of the loop, in which all other streams are read; 2 ms is for the kernel
    bound_s = 0.002 + 3 * delay.quantile_s(0.99)
    assert sum(late <= bound_s for late in late_s) >= 0.95 * len(late_s), (bound_s, sorted(late_s)[-20:])


def test_a_stall_of_the_server_is_seen_whole(protocol: WireProtocol) -> None:
    """A server that is stopped for half a second: the gap between two tokens is as long as by its own clock."""
    try:
        with null_server(first_ms=0, itl_ms=1000 * ITL_S) as stalling:
            gevent.spawn_later(0.1, os.kill, stalling.pid, signal.SIGSTOP)
            gevent.spawn_later(0.6, os.kill, stalling.pid, signal.SIGCONT)
            answers = send(stalling, protocol, 5, TOKENS)
    except NoCompilerError as reason:
        pytest.skip(str(reason))
    for exchange, answer in answers:
        sent = [int(ns) / 1e9 for ns in _CLOCK.findall(bytes(exchange.data))]
        longest = max(range(1, TOKENS), key=lambda k: sent[k] - sent[k - 1])
        assert sent[longest] - sent[longest - 1] >= 0.45
        # the token before the stall arrived before it ended, or the gap would be shorter
        assert max(b - a for a, b in pairwise(answer.token_times)) >= 0.4


@pytest.mark.parametrize("requests", [1, 50])
def test_single_answers(server: NullServer, protocol: WireProtocol, requests: int) -> None:
    """Without streaming, each request has one answer whose time is not before the server's."""
    for exchange, answer in send(server, protocol, requests, 1, SINGLE):
        assert (answer.outcome, answer.received_bytes, answer.token_times) == ("ok", TOKEN_BYTES, [])
        (sent,) = [int(ns) / 1e9 for ns in _CLOCK.findall(bytes(exchange.data))]
        assert answer.last is not None
        assert answer.last >= sent


def test_requests_leave_while_the_server_is_stopped(protocol: WireProtocol) -> None:
    """While the server does not read, the kernel takes the last byte of every small request before it goes on."""
    try:
        with null_server() as stopped:
            endpoint = Endpoint(address=f"127.0.0.1:{getattr(stopped, protocol)}", protocol=protocol)
            client = endpoint.open(SINGLE, stream=False)
            ended: list[Exchange] = []
            body = client.codec.encode("x", 1)
            client.channel.submit(Exchange(body, 30.0, ended.append))  # opens a connection
            with gevent.Timeout(20):
                while not ended:
                    gevent.sleep(0.001)
            os.kill(stopped.pid, signal.SIGSTOP)
            try:
                waiting = [Exchange(body, 30.0, ended.append) for _ in range(200)]
                for exchange in waiting:
                    client.channel.submit(exchange)
                gevent.sleep(0.2)
                continued_at = time.monotonic()
            finally:
                os.kill(stopped.pid, signal.SIGCONT)
            with gevent.Timeout(20):
                while len(ended) < 201:
                    gevent.sleep(0.001)
            client.close()
    except NoCompilerError as reason:
        pytest.skip(str(reason))
    left = [each for each in waiting if each.on_wire_at is not None and each.on_wire_at < continued_at]
    assert len(left) == 200
    assert all(client.answer(exchange).outcome == "ok" for exchange in waiting)
