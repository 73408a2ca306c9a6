"""SPDY/3.1: decoding of client frames from chunks of any size, encoding of server frames."""

import zlib
from struct import pack

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from loadgen.sandbox.kubelet.streams.port_forward import parse_ports
from loadgen.sandbox.kubelet.streams.spdy import DICTIONARY, Decoder, Encoder, Frame, FrameKind, SpdyError


def control(kind: int, body: bytes, *, version: int = 3, flags: int = 0) -> bytes:
    return pack(">HHI", 0x8000 | version, kind, flags << 24 | len(body)) + body


class Client:
    """Opens streams as a client does: all header blocks share one zlib state."""

    def __init__(self) -> None:
        self._zip = zlib.compressobj(zdict=DICTIONARY)

    def block(self, headers: dict[str, str]) -> bytes:
        strings = [text.encode() for pair in headers.items() for text in pair]
        plain = pack(">I", len(headers)) + b"".join(pack(">I", len(text)) + text for text in strings)
        return self._zip.compress(plain) + self._zip.flush(zlib.Z_SYNC_FLUSH)

    def opens(self, stream: int, headers: dict[str, str]) -> bytes:
        return control(1, pack(">IIH", stream, 0, 0) + self.block(headers))


def test_the_dictionary_is_that_of_the_protocol() -> None:
    """It has 1,423 bytes and the checksum that every compressed block of the protocol begins with."""
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


@given(st.lists(st.integers(1, 40), min_size=1))
def test_frames_are_decoded_from_chunks_of_any_size(sizes: list[int]) -> None:
    """Two streams, data with and without FIN, a PING and a GO_AWAY are decoded from any split of the bytes."""
    client, encoder = Client(), Encoder()
    error_headers = {"streamtype": "error", "port": "8000", "requestid": "0"}
    data_headers = {**error_headers, "streamtype": "data"}
    whole = (
        client.opens(1, error_headers)
        + encoder.data(1, last=True)
        + client.opens(3, data_headers)
        + encoder.data(3, b"hello")
        + control(4, pack(">I", 0))  # SETTINGS, which a port-forward does not need
        + control(6, pack(">I", 1))
        + control(7, pack(">II", 3, 0))
    )
    decoder, frames, offset = Decoder(), [], 0
    for size in [*sizes, len(whole)]:
        frames += decoder.feed(whole[offset : offset + size])
        offset += size
    assert frames == [
        Frame(kind=FrameKind.OPEN, number=1, headers=error_headers),
        Frame(kind=FrameKind.DATA, number=1, last=True),
        Frame(kind=FrameKind.OPEN, number=3, headers=data_headers),
        Frame(kind=FrameKind.DATA, number=3, data=b"hello"),
        Frame(kind=FrameKind.PING, number=1, data=pack(">I", 1)),
        Frame(kind=FrameKind.GO_AWAY, number=3, data=pack(">II", 3, 0)),
    ]


def test_a_reply_is_a_block_without_headers() -> None:
    """Two replies, which share one zlib state, decode to zero headers each."""
    encoder, unzip = Encoder(), zlib.decompressobj(zdict=DICTIONARY)
    for stream in (1, 3):
        reply = encoder.reply(stream)
        assert reply[:4] == b"\x80\x03\x00\x02"
        assert int.from_bytes(reply[4:8]) == len(reply) - 8
        assert reply[8:12] == pack(">I", stream)
        assert unzip.decompress(reply[12:]) == pack(">I", 0)


def test_pings_and_refusals() -> None:
    """The answer to a PING is the same PING; a refused stream is reset."""
    ping = control(6, pack(">I", 7))
    (frame,) = Decoder().feed(ping)
    assert Encoder().pong(frame) == ping
    assert Encoder().refuse(5) == control(3, pack(">II", 5, 3))


def headers_of(plain: bytes) -> bytes:
    packer = zlib.compressobj(zdict=DICTIONARY)
    return control(1, bytes(10) + packer.compress(plain) + packer.flush(zlib.Z_SYNC_FLUSH))


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (control(1, bytes(10), version=2), "of version 2, not of version 3"),
        (control(1, bytes(9)), "a frame OPEN of 9 bytes is too short"),
        (control(6, b""), "a frame PING of 0 bytes is too short"),
        (control(1, bytes(10) + b"no zlib"), "headers cannot be read"),
        (pack(">II", 1, 2 << 20), "a frame of 2,097,152 bytes is longer than 1,048,576"),
        (headers_of(pack(">I", 1)), "headers are truncated"),
        (headers_of(pack(">II", 1, 4) + b"port" + pack(">I", 9) + b"80"), "headers are truncated"),
        (headers_of(pack(">II", 1, 200_000) + bytes(200_000)), "headers are longer than 65,536 bytes"),
    ],
)
def test_invalid_spdy_is_refused(sent: bytes, why: str) -> None:
    """Invalid frames raise an error with the reason."""
    with pytest.raises(SpdyError, match=why):
        list(Decoder().feed(sent))


def test_ports_of_a_query() -> None:
    """Ports are returned in the order of the query, from one value or several, with or without commas."""
    assert parse_ports(["8000,8001", "80"]) == [8000, 8001, 80]


@pytest.mark.parametrize("values", [[], [""], ["0"], ["65536"], ["http"], ["80,"], ["-1"], ["²"]])
def test_invalid_ports_are_refused(values: list[str]) -> None:
    """The error names the invalid port, or says that a port is required."""
    with pytest.raises(web.HTTPBadRequest) as refused:
        parse_ports(values)
    assert "invalid port" in str(refused.value.text) or "is required" in str(refused.value.text)
