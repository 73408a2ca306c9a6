"""Tokens that one read returned together are counted: their own arrival is not known."""

from collections.abc import Sequence

import pytest

from loadgen.base.connection import DIRECT
from loadgen.protocols.answer import Answer
from loadgen.protocols.detect import Model
from loadgen.protocols.wire.exchange import Exchange
from loadgen.protocols.wire.generate_codec import GenerateCodec
from loadgen.protocols.wire.grpc_codec import GrpcCodec
from support.servers.scripted import event, message

MODEL = Model(name="m", family="trtllm", batched=True, decoupled=True, streams=True, counts_tokens=False)


def answer_of_reads(protocol: str, reads: Sequence[bytes]) -> Answer:
    """Return the answer of a stream that arrived in these reads, at 1, 2, … seconds."""
    exchange = Exchange(b"", 60.0, lambda _: None)
    exchange.status = 200
    exchange.headers = {"grpc-status": "0", "content-type": "application/grpc"}
    for number, data in enumerate(reads, 1):
        exchange.add(data, float(number))
    exchange.complete = True
    exchange.end(100.0)
    codec = GrpcCodec if protocol == "grpc" else GenerateCodec
    return codec(MODEL, stream=True, connection=DIRECT).decode(exchange)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize(
    ("tokens", "coalesced", "times"),
    [
        ([1, 1, 1], 0, [1.0, 2.0, 3.0]),
        ([3], 2, [1.0, 1.0, 1.0]),
        ([1, 2, 1, 3], 3, [1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 4.0]),
    ],
)
def test_tokens_of_one_read(protocol: str, tokens: list[int], coalesced: int, times: list[float]) -> None:
    """All but the last token of a read are coalesced; the final response, which has no token, is none."""
    token = message() if protocol == "grpc" else event()
    reads = [token * number for number in tokens]
    if protocol == "grpc":
        reads[-1] += message(None, final=True)
    answer = answer_of_reads(protocol, reads)
    assert (answer.outcome, answer.token_times, answer.coalesced) == ("ok", times, coalesced)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_token_that_is_cut_by_a_read_arrived_with_its_end(protocol: str) -> None:
    """Its first half says nothing: the stamp is that of the read that made it whole."""
    token, last = (message(), message(None, final=True)) if protocol == "grpc" else (event(), b"")
    answer = answer_of_reads(protocol, [token + token[:8], token[8:], token[:3], token[3:] + token, last or b":\n"])
    assert (answer.token_times, answer.coalesced) == ([1.0, 2.0, 4.0, 4.0], 1)
