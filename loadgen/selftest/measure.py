"""Measures the ceilings of the load generator: one process of it against the server of the self-test."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import gevent
import numpy as np
from gevent.event import Event

from loadgen.base.connection import Connection
from loadgen.dataset.names import Outcome
from loadgen.load.timer import Timer
from loadgen.protocols.detect import Model
from loadgen.protocols.endpoint import Endpoint
from loadgen.protocols.wire.client import WireClient
from loadgen.protocols.wire.exchange import Exchange
from loadgen.selftest.server import ITL_S, MARK

MODEL: Final = Model(name="null", family="trtllm", batched=True, decoupled=True, streams=True, counts_tokens=False)
STREAMS: Final = (100, 200, 500, 1000, 2000, 3000)
"""Numbers of streams that are tried, in this order, until one is timed badly."""
LIMIT_S: Final = 1e-3
"""Largest error of the time between two tokens that 99 of 100 may have."""
_IN_FLIGHT = 16
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The largest number of streams whose tokens are timed well.

    Attributes:
        streams: Their number; 0 if even the smallest is timed badly.
        tokens_per_s: Tokens that arrived each second.
        error_p99_s: 99th percentile of the error of the time between two tokens.
    """

    streams: int
    tokens_per_s: float
    error_p99_s: float


def client_of(protocol: str, port: int) -> WireClient:
    """Return a client of the self-test's server."""
    endpoint = Endpoint(address=f"127.0.0.1:{port}", protocol="grpc" if protocol == "grpc" else "http")
    return endpoint.open(MODEL, stream=True)


def requests_per_s(client: WireClient, duration_s: float) -> float:
    """Return how many requests with a single token end each second, sixteen in flight; answers are decoded, too."""
    return _closed_loop(client, duration_s, lambda exchange: client.answer(exchange).outcome == Outcome.OK)


def _closed_loop(client: WireClient, duration_s: float, succeeded: Callable[[Exchange], bool]) -> float:
    """Return how many requests succeed each second, of which sixteen are in flight at any time."""
    body = client.codec.encode(MARK, 1)
    ended: deque[Exchange] = deque()
    some_ended = Event()
    count = 0

    def end(exchange: Exchange) -> None:
        ended.append(exchange)
        some_ended.set()

    start = time.monotonic()
    for _ in range(_IN_FLIGHT):
        client.channel.submit(Exchange(body, _TIMEOUT_S, end))
    while time.monotonic() - start < duration_s:
        some_ended.wait()
        some_ended.clear()
        for _ in range(len(ended)):
            count += succeeded(ended.popleft())
            client.channel.submit(Exchange(body, _TIMEOUT_S, end))
    return count / (time.monotonic() - start)


def streams(client: WireClient, duration_s: float, numbers: tuple[int, ...] = STREAMS) -> Streams:
    """Return the largest of some numbers of streams of 40 tokens per second that is timed well."""
    best = Streams(streams=0, tokens_per_s=0.0, error_p99_s=0.0)
    for number in numbers:
        error_p99_s, tokens_per_s = _timed(client, number, duration_s)
        if error_p99_s > LIMIT_S:
            break
        best = Streams(streams=number, tokens_per_s=tokens_per_s, error_p99_s=error_p99_s)
    return best


def _timed(client: WireClient, number: int, duration_s: float) -> tuple[float, float]:
    """Return the error of gaps at the 99th percentile, and tokens per second, of so many streams at a time."""
    tokens = max(2, round(duration_s / ITL_S))
    body = client.codec.encode(MARK * tokens, tokens)
    ended: list[Exchange] = []
    start = time.monotonic()
    # spread over one interval, as the streams of real users are
    for sent in range(number):
        client.channel.submit(Exchange(body, duration_s + _TIMEOUT_S, ended.append))
        if sent % 10 == 9:
            gevent.sleep(max(0.0, start + 4 * ITL_S * sent / number - time.monotonic()))
    while len(ended) < number:
        gevent.sleep(0.01)
    took_s = time.monotonic() - start
    answers = [client.answer(exchange) for exchange in ended]
    gaps = [np.diff(answer.token_times) for answer in answers if answer.outcome == Outcome.OK]
    received = sum(len(answer.token_times) for answer in answers)
    if len(gaps) < number:
        return float("inf"), received / took_s
    return float(np.quantile(np.abs(np.concatenate(gaps) - ITL_S), 0.99)), received / took_s


def tls_connections_per_s(port: int, duration_s: float) -> float:
    """Return how many connections with TLS are made each second, sixteen at a time; each fails after its handshake."""
    endpoint = Endpoint(address=f"127.0.0.1:{port}", protocol="http", tls=True, connection=Connection(insecure=True))
    client = endpoint.open(MODEL, stream=True)
    rate = _closed_loop(client, duration_s, lambda exchange: exchange.on_wire_at is not None)
    client.close()
    return rate


def schedule_error_s(rate_per_s: float, duration_s: float) -> float:
    """Return the 99th percentile of how late a timer calls at the due times of Poisson arrivals."""
    random = np.random.default_rng(0)
    due = time.monotonic() + 0.1 + np.cumsum(random.exponential(1 / rate_per_s, int(rate_per_s * duration_s)))
    late: list[float] = []

    def called() -> None:
        now = time.monotonic()
        while len(late) < len(due) and due[len(late)] <= now:
            late.append(now - due[len(late)])
        if len(late) < len(due):
            timer.start(due[len(late)])

    timer = Timer(called)
    timer.start(due[0])
    while len(late) < len(due):
        gevent.sleep(0.01)
    timer.close()
    return float(np.quantile(late, 0.99))
