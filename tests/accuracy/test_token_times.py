"""Token times of the built-in client against a server that writes its own clock into every token.

Asserted is what no scheduler can change: counts, order, no stamp before the server's, and a stall as long as it was.
How late stamps are is compared with how late the event loop of this process was in the same run.
"""

import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise

import gevent
import pytest

from loadgen.protocols.endpoint import Endpoint
from loadgen.protocols.wire.exchange import Exchange
from loadgen.scenario.settings import WireProtocol
from support.servers.null_server import TOKEN_BYTES, NoCompilerError, NullServer, null_server
from support.token_times import CLOCK, SINGLE, check_token_times, send

TOKENS, ITL_S = 20, 0.02


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


@pytest.mark.parametrize("streams", [1, 50])
def test_every_token_has_its_time(server: NullServer, protocol: WireProtocol, streams: int) -> None:
    """Every token arrives once and in order, is stamped after the server sent it, and mostly at once."""
    check_token_times(server, protocol, streams, TOKENS)


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
        sent = [int(ns) / 1e9 for ns in CLOCK.findall(bytes(exchange.data))]
        longest = max(range(1, TOKENS), key=lambda k: sent[k] - sent[k - 1])
        assert sent[longest] - sent[longest - 1] >= 0.45
        # the token before the stall arrived before it ended, or the gap would be shorter
        assert max(b - a for a, b in pairwise(answer.token_times)) >= 0.4


@pytest.mark.parametrize("requests", [1, 50])
def test_single_answers(server: NullServer, protocol: WireProtocol, requests: int) -> None:
    """Without streaming, each request has one answer whose time is not before the server's."""
    for exchange, answer in send(server, protocol, requests, 1, SINGLE):
        assert (answer.outcome, answer.received_bytes, answer.token_times) == ("ok", TOKEN_BYTES, [])
        (sent,) = [int(ns) / 1e9 for ns in CLOCK.findall(bytes(exchange.data))]
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
