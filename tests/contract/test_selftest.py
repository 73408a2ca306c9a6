"""The server of the self-test, and what is measured with it. Needs only loopback."""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest

from loadgen.protocols.wire.exchange import Exchange
from loadgen.selftest import measure
from loadgen.selftest.server import ITL_S, MARK


@pytest.fixture(scope="module", params=["plain", "gateway"])
def ports(request: pytest.FixtureRequest) -> Iterator[dict[str, int]]:
    command = [sys.executable, "-m", "loadgen.selftest.server"]
    command += ["--gateway"] if request.param == "gateway" else []
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    yield json.loads(process.stdout.readline())
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_stream_has_as_many_tokens_as_its_prompt(ports: dict[str, int], protocol: str) -> None:
    """Ten marks are ten tokens, each in its own interval after the first."""
    client = measure.client_of(protocol, ports[protocol])
    answer = client.infer(MARK * 10, 10, 10.0)
    client.close()
    assert (answer.outcome, answer.output_tokens, len(answer.token_times)) == ("ok", 10, 10)
    assert answer.token_times[-1] - answer.token_times[0] >= 8.5 * ITL_S
    assert all(after >= before for before, after in pairwise(answer.token_times))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_requests_and_streams_are_counted(ports: dict[str, int], protocol: str) -> None:
    """Some requests succeed in a tenth of a second, and all tokens of some streams arrive."""
    client = measure.client_of(protocol, ports[protocol])
    assert measure.requests_per_s(client, 0.1) > 0
    error_p99_s, tokens_per_s = measure._timed(client, 5, 0.2)
    client.close()
    assert error_p99_s >= 0
    assert tokens_per_s > 0


def test_handshakes_are_counted(ports: dict[str, int]) -> None:
    """A connection counts once its handshake is over and the request was sent."""
    assert measure.tls_connections_per_s(ports["tls"], 0.2) > 0


def test_lateness_of_the_schedule() -> None:
    """A timer is never early."""
    assert measure.schedule_error_s(200.0, 0.2) >= 0


def test_a_stream_that_fails_is_timed_badly(ports: dict[str, int]) -> None:
    """Streams whose answers are not whole count as an infinite error."""

    class Refused:
        codec = measure.client_of("http", ports["http"]).codec
        channel = None

        def submit(self, exchange: Exchange) -> None:
            exchange.fail("refused")

        def answer(self, exchange: Exchange) -> object:
            return self.codec.decode(exchange)

    refused = Refused()
    refused.channel = refused  # type: ignore[assignment]
    error_p99_s, _ = measure._timed(refused, 2, 0.1)  # type: ignore[arg-type]
    assert error_p99_s == float("inf")
