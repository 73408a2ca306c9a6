"""The HPACK decoder and encoder against the `hpack` package."""

import contextlib
import random
from collections.abc import Sequence

import hpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadgen.protocols.wire.hpack import WANTED, Decoder, HpackError, encode

FIXED = settings(
    max_examples=80, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
NAMES = (*sorted(WANTED), "date", "x-request-id", "server", "content-length", "grpc-encoding", "accept-encoding")
FIELDS = st.lists(
    st.tuples(
        st.sampled_from(NAMES) | st.text("abc-", min_size=1, max_size=200),
        st.sampled_from(("200", "0", "application/grpc", "gzip, deflate", "")) | st.text(max_size=300),
    ),
    max_size=12,
)


def encoder() -> hpack.Encoder:
    """Return an encoder that was told that the other side has no table, as a server's is."""
    made = hpack.Encoder()
    made.header_table_size = 0
    return made


def wanted(fields: Sequence[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in fields if name in WANTED}


@FIXED
@given(st.lists(FIELDS, min_size=1, max_size=4), st.booleans())
def test_blocks_of_another_encoder(blocks: list[list[tuple[str, str]]], huffman: bool) -> None:
    """Indexed, literal with and without indexing, with Huffman codes or not; the first block resizes the table."""
    ours, theirs = Decoder(), encoder()
    for fields in blocks:
        block = theirs.encode([(name.encode(), value.encode()) for name, value in fields], huffman=huffman)
        for _ in range(2):  # the second time from memory
            assert ours.decode(block) == wanted(fields)


@FIXED
@given(FIELDS)
def test_our_blocks_are_decoded_by_another_decoder(fields: list[tuple[str, str]]) -> None:
    """Every field arrives, in order."""
    assert hpack.Decoder(max_header_list_size=2**20).decode(encode(fields)) == fields


@FIXED
@given(FIELDS, st.integers(0, 1 << 30), st.booleans())
def test_damaged_blocks(fields: list[tuple[str, str]], seed: int, huffman: bool) -> None:
    """They are decoded or an HpackError, never another exception."""
    data = [(name.encode(), value.encode()) for name, value in (*fields, ("grpc-status", "0"))]
    block = bytearray(encoder().encode(data, huffman=huffman))
    chosen = random.Random(seed)
    for _ in range(chosen.randint(1, 4)):
        at = chosen.randrange(len(block))
        if chosen.random() < 0.5:
            block[at] = chosen.randrange(256)
        else:
            del block[at : at + chosen.randint(1, 5)]
            block += bytes((chosen.randrange(256),))
    with contextlib.suppress(HpackError):
        assert Decoder().decode(bytes(block)).keys() <= WANTED


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (b"\xbe", "announced as empty"),  # the first entry of a dynamic table
        (b"\x80", "announced as empty"),  # index 0
        (b"\x7e\x01a", "announced as empty"),  # the name of a dynamic entry
        (b"\x3f\xe1\x1f", "enlarges"),  # a table of 4096 bytes
        (b"\xff\xff\xff\xff\xff\xff\x0f", "too large"),
        (b"\x00\x7f\xff\xff\xff\xff\xff\x0f", "too large"),
        (b"\x00", "too early"),
        (b"\x00\x01", "too early"),
        (b"\x00\x01a\x05b", "too early"),
        (b"\x00\x0bgrpc-status", "too early"),
        (b"\x00\x0bgrpc-status\x02\x30", "too early"),
        (b"\xff", "too early"),
        (b"\x08\x82\xff\xff", "Huffman"),  # :status with padding longer than a byte
    ],
)
def test_malformed_blocks(block: bytes, message: str) -> None:
    """Each is refused with its reason."""
    with pytest.raises(HpackError, match=message):
        Decoder().decode(block)


def test_a_table_of_no_size_may_be_announced() -> None:
    """Servers do so in their first block, as RFC 7541 demands."""
    assert Decoder().decode(b"\x20\x88") == {":status": "200"}


def test_literals_that_a_table_would_remember() -> None:
    """A literal with incremental indexing is legal for a table of size 0, and adds nothing to it."""
    decoder = Decoder()
    assert decoder.decode(b"\x40\x0bgrpc-status\x010") == {"grpc-status": "0"}
    with pytest.raises(HpackError):
        decoder.decode(b"\xbe")


def test_memory_of_blocks_is_bounded() -> None:
    """Gateways send another request id with every answer, and servers another date and names."""
    decoder = Decoder()
    for number in range(5000):
        fields = [(":status", "200"), ("x-request-id", f"{number:040}"), (f"x-{number}", "1")]
        assert decoder.decode(encode(fields)) == {":status": "200"}
    long = encode([("grpc-message", "x" * 5000)])
    assert decoder.decode(long)["grpc-message"] == "x" * 5000
    assert len(decoder._blocks) <= 1024
    assert len(decoder._names) <= 1024
    assert long not in decoder._blocks


def test_long_names_are_not_decoded() -> None:
    """Huffman codes of 64 KiB would take 20 ms in the event loop; no name that is read is that long."""
    name, theirs = b"n" * 60_000, encoder()
    decoder = Decoder()
    assert decoder.decode(theirs.encode([(b":status", b"200"), (name, b"1")])) == {":status": "200"}
    assert all(len(raw) <= 64 for raw in decoder._names)
