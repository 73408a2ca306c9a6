"""Token times of many streams at once over one client, against a server that writes its own clock into every token."""

from collections.abc import Iterator

import pytest

from loadgen.base.limits import allow_open_files
from loadgen.load.garbage import PausedCollector
from loadgen.scenario.settings import WireProtocol
from support.servers.null_server import NoCompilerError, NullServer, null_server
from support.token_times import check_token_times

TOKENS, ITL_S = 100, 0.025


@pytest.fixture(scope="module")
def server() -> Iterator[NullServer]:
    if (limit := allow_open_files(4200)) is not None:
        pytest.skip(f"this shell may open {limit} files only: raise `ulimit -Hn`")
    try:
        with null_server(first_ms=100, itl_ms=1000 * ITL_S) as running:
            yield running
    except NoCompilerError as reason:
        pytest.skip(str(reason))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("streams", [500, 2000])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_every_token_has_its_time(server: NullServer, protocol: WireProtocol, streams: int) -> None:
    """Every token arrives once and in order, is stamped after the server sent it, and mostly at once."""
    collector = PausedCollector()  # as during a load
    try:
        check_token_times(server, protocol, streams, TOKENS)
    finally:
        collector.resume()
