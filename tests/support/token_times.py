"""Sends requests to the null server, and compares the time stamps of their tokens with the server's own."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import gevent

from loadgen.protocols.answer import Answer
from loadgen.protocols.detect import Model
from loadgen.protocols.endpoint import Endpoint
from loadgen.protocols.wire.exchange import Exchange
from loadgen.scenario.settings import WireProtocol
from support.servers.null_server import MODEL, PLAIN_MODEL, NullServer

STREAMS = Model(name=MODEL, family="trtllm", batched=True, decoupled=True, streams=True, counts_tokens=True)
SINGLE = Model(name=PLAIN_MODEL, family="trtllm", batched=True, decoupled=False, streams=False, counts_tokens=True)
CLOCK = re.compile(rb"(\d{16}) ")


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


def check_token_times(server: NullServer, protocol: WireProtocol, streams: int, tokens: int) -> None:
    """Every token arrives once and in order, is stamped after the server sent it, and mostly at once."""
    delay = LoopDelay()
    with delay.measured():
        answers = send(server, protocol, streams, tokens)
    late_s = []
    for exchange, answer in answers:
        assert (answer.outcome, answer.output_tokens, len(answer.token_times)) == ("ok", tokens, tokens)
        sent = [int(ns) / 1e9 for ns in CLOCK.findall(bytes(exchange.data))]
        assert len(sent) == tokens
        assert answer.token_times == sorted(answer.token_times)
        late_s += [at - by for at, by in zip(answer.token_times, sent, strict=True)]
        assert answer.on_wire is not None
        assert exchange.submitted_at <= answer.on_wire <= sent[0]
    assert len(answers) == streams
    assert min(late_s) >= 0
    # a token can wait for one turn of the loop, in which all other streams are read; 2 ms is for the kernel
    bound_s = 0.002 + 3 * delay.quantile_s(0.99)
    assert sum(late <= bound_s for late in late_s) >= 0.95 * len(late_s), (bound_s, sorted(late_s)[-20:])
