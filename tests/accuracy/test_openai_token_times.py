"""Token times of OpenAI's streams against a server that writes its own clock into every token.

Asserted is what no scheduler can change: counts, order, and no stamp before the server's. How late stamps are is
compared with how late the event loop of this process was in the same run.
"""

import re
import time

import gevent
import pytest

from loadgen.protocols.endpoint import Endpoint
from loadgen.protocols.openai import OpenAiModel
from loadgen.protocols.wire.exchange import Exchange
from loadgen.scenario.settings import OpenAiCall
from support.servers.null_server import MODEL, TOKEN_BYTES, NoCompilerError, null_server

TOKENS = 20
_CLOCK = re.compile(rb"(\d{16}) ")


def delays_s(delays: list[float]) -> None:
    """Record how late this process's event loop is, until it is killed."""
    while True:
        due = time.monotonic() + 0.002
        gevent.sleep(0.002)
        delays.append(time.monotonic() - due)


@pytest.mark.parametrize("call", ["chat", "completions"])
@pytest.mark.parametrize("streams", [1, 50])
def test_every_token_has_its_time(call: OpenAiCall, streams: int) -> None:
    """Every token arrives once and in order, is stamped after the server sent it, and mostly at once."""
    delays: list[float] = []
    ended: list[Exchange] = []
    try:
        with null_server(first_ms=10, itl_ms=20, gateway=True) as server:
            endpoint = Endpoint(address=f"127.0.0.1:{server.http}", protocol="openai")
            client = endpoint.open(OpenAiModel(name=MODEL, call=call), stream=True)
            observer = gevent.spawn(delays_s, delays)
            for _ in range(streams):
                client.channel.submit(Exchange(client.codec.encode("x", TOKENS), 30.0, ended.append))
            with gevent.Timeout(60):
                while len(ended) < streams:
                    gevent.sleep(0.005)
            observer.kill()
            client.close()
    except NoCompilerError as reason:
        pytest.skip(str(reason))
    late_s = []
    for exchange in ended:
        answer = client.answer(exchange)
        assert (answer.outcome, answer.output_tokens, answer.token_source) == ("ok", TOKENS, "server")
        assert (len(answer.token_times), answer.received_bytes) == (TOKENS, TOKENS * TOKEN_BYTES)
        assert (answer.pod, answer.token_times) == ("null-0", sorted(answer.token_times))
        sent = [int(ns) / 1e9 for ns in _CLOCK.findall(bytes(exchange.data))]
        late_s += [at - by for at, by in zip(answer.token_times, sent, strict=True)]
        assert answer.on_wire is not None
        assert exchange.submitted_at <= answer.on_wire <= sent[0]
    assert min(late_s) >= 0
    # a token can wait for one turn of the loop, in which all other streams are read; 2 ms is for the kernel
    bound_s = 0.002 + 3 * sorted(delays)[int(0.99 * (len(delays) - 1))]
    assert sum(late <= bound_s for late in late_s) >= 0.95 * len(late_s), (bound_s, sorted(late_s)[-20:])
