"""Targets: the bytes of HTTP/1.1, HTTP/2 and HPACK that a server sends, and what they make of a request."""

from dataclasses import replace
from typing import Any

import hpack
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from loadgen.base.connection import DIRECT
from loadgen.dataset.names import Outcome
from loadgen.protocols.wire import http1_parser
from loadgen.protocols.wire import http2_frames as h2
from loadgen.protocols.wire.exchange import Exchange
from loadgen.protocols.wire.generate_codec import GenerateCodec
from loadgen.protocols.wire.grpc_codec import GrpcCodec
from loadgen.protocols.wire.hpack import WANTED, Decoder, HpackError
from loadgen.protocols.wire.http1_parser import Http1Parser, MalformedAnswerError
from loadgen.protocols.wire.http2 import Http2Connection
from loadgen.protocols.wire.transport import Receiver
from support.fuzz.damage import damaged_bytes
from support.fuzz.servers import MODEL
from support.fuzz.target import Target

_EVENT = b'data: {"text_output": "Hi", "num_output_tokens": 1}\n\n'
_HTTP1 = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(_EVENT) + _EVENT,
    b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Pod-Name: a\r\n b\r\n\r\n"
    + b"%x;a=b\r\n" % len(_EVENT)
    + _EVENT
    + b"\r\n0\r\nA: 1\r\n\r\n",
    b"HTTP/1.0 503 No\r\nConnection: keep-alive\r\n\r\nbusy",
    b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"error": "no"}',
)
_GENERATE = tuple(GenerateCodec(MODEL, stream=stream, connection=DIRECT) for stream in (True, False))
_ENDED = (Outcome.OK, Outcome.ERROR, Outcome.CUT_OFF, Outcome.REJECTED)


def _exchange() -> Exchange:
    exchange = Exchange(b"\0\0\0\0\1x", 1.0, lambda _: None)
    exchange.on_wire_at = 0.0
    return exchange


def _http1_answer(data: bytes) -> None:
    """Parse an answer whole and in two parts: both have the same body; then decode it in both ways."""
    bodies = set()
    http1_parser._known.clear()  # a header that was parsed before is not parsed again
    for cut in (len(data), len(data) // 2):
        exchange = _exchange()
        parser = Http1Parser(exchange)
        try:
            parser.feed(data[:cut], 1.0)
            if not parser.done:
                parser.feed(data[cut:], 2.0)
            if not parser.done:
                parser.closed()
        except MalformedAnswerError as error:
            exchange.message = str(error)
        bodies.add(bytes(exchange.data))
        exchange.end(3.0)
        for codec in _GENERATE:
            answer = codec.decode(exchange)
            assert answer.outcome in _ENDED
            assert len(answer.cause or "") <= 160
    assert len(bodies) == 1


class _Silent:
    """A transport that takes everything, and the channel of its connection."""

    block = b"\x83"
    max_streams = 50
    peer_max_streams = h2.MAX_STREAM_ID
    peer_window = h2.DEFAULT_WINDOW
    has_settings = False
    unsent_bytes = 0

    def __init__(self) -> None:
        self.decoder = Decoder()
        self.written = 0

    def open(self, receiver: Receiver) -> Any:
        return self

    def write(self, data: bytes, exchange: Exchange | None = None) -> None:
        self.written += len(data)

    def close(self) -> None:
        """The connection is closed."""

    def move(self, exchange: Exchange) -> None:
        exchange.fail("moved")

    def resend(self, exchange: Exchange) -> bool:
        return False

    def released(self, connection: Http2Connection) -> None:
        """A request has ended."""

    def retire(self, connection: Http2Connection) -> None:
        connection.accepts = False

    def forget(self, connection: Http2Connection) -> None:
        connection.close()


def _http2_answer(data: bytes) -> None:
    """Feed frames to a connection with two requests, then close it: both have ended, each once."""
    silent = _Silent()
    connection = Http2Connection(silent)
    ended: list[Exchange] = []
    exchanges = [Exchange(b"\0\0\0\0\1x" * 20_000, 1.0, ended.append) for _ in range(2)]
    for exchange in exchanges:
        connection.send(exchange)
    connection.opened()
    connection.received(h2.settings({}), 0.5)
    for at in range(0, len(data), 1000):
        if len(ended) < 2:
            connection.received(data[at : at + 1000], float(at))
    connection.closed("connection closed", None)
    assert sorted(map(id, ended)) == sorted(map(id, exchanges))
    assert silent.written < 300_000 + 10 * len(data)
    for exchange in exchanges:
        for stream in (True, False):
            codec = GrpcCodec(replace(MODEL, decoupled=stream), stream=stream, connection=DIRECT)  # knows no layouts
            answer = codec.decode(exchange)
            assert len(answer.cause or "") <= 160


def _block(*fields: tuple[bytes, bytes], huffman: bool = True) -> bytes:
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode(fields, huffman=huffman)


def _hpack_block(block: bytes) -> None:
    assert Decoder().decode(block).keys() <= WANTED


_HEAD = _block((b":status", b"200"), (b"content-type", b"application/grpc"), (b"x-pod-name", b"a"))
_END = _block((b"grpc-status", b"13"), (b"grpc-message", b"no%20room"), huffman=False)


def _response(text: bytes, *, final: bool) -> bytes:
    response = pb.ModelInferResponse(raw_output_contents=[len(text).to_bytes(4, "little") + text])
    response.outputs.add(name="text_output", datatype="BYTES", shape=[1])
    response.parameters["triton_final_response"].bool_param = final
    message: bytes = pb.ModelStreamInferResponse(infer_response=response).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


_MESSAGES = _response(b"Hi", final=False) + _response(b"Ho", final=True)
_WHOLE = (
    h2.frame(h2.HEADERS, h2.END_HEADERS, 1, _HEAD)
    + h2.frame(h2.DATA, 0, 1, _MESSAGES)
    + h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, _END)
)
_HTTP2 = (
    _WHOLE,
    h2.frame(h2.HEADERS, h2.PADDED | h2.WITH_PRIORITY, 1, b"\1\0\0\0\0\0" + _HEAD[:3] + b"\0")
    + h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, _HEAD[3:])
    + h2.frame(h2.DATA, h2.PADDED, 1, b"\2" + _MESSAGES + b"\0\0")
    + h2.frame(h2.RST_STREAM, 0, 1, b"\0\0\0\2"),
    h2.frame(h2.WINDOW_UPDATE, 0, 0, b"\0\1\0\0")
    + h2.frame(h2.WINDOW_UPDATE, 0, 1, b"\0\1\0\0")
    + h2.frame(h2.PING, 0, 0, b"12345678")
    + h2.settings({h2.INITIAL_WINDOW_SIZE: 10, h2.MAX_CONCURRENT_STREAMS: 1, h2.MAX_FRAME_SIZE: 2**20})
    + h2.frame(h2.GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\0"),
)
_CODECS = "loadgen.protocols.wire.grpc_codec"

TARGETS = (
    Target(
        name="wire-http1",
        valid=_HTTP1,
        inputs=damaged_bytes(*_HTTP1),
        parse=_http1_answer,
        calls=(
            "loadgen.protocols.wire.http1_parser:Http1Parser.feed",
            "loadgen.protocols.wire.http1_parser:Http1Parser._chunk_size",
            "loadgen.protocols.wire.http1_parser:Http1Parser._trailer",
            "loadgen.protocols.wire.http1_parser:_fields",
            "loadgen.protocols.wire.generate_codec:events_in",
            "loadgen.protocols.generate:unexpected_body",
        ),
    ),
    Target(
        name="wire-http2",
        valid=_HTTP2,
        inputs=damaged_bytes(*_HTTP2) | st.lists(damaged_bytes(*_HTTP2), max_size=3).map(b"".join),
        parse=_http2_answer,
        calls=(
            "loadgen.protocols.wire.http2:Http2Connection.received",
            "loadgen.protocols.wire.http2_headers:HeaderBlocks.add",
            "loadgen.protocols.wire.http2_frames:settings_in",
            "loadgen.protocols.wire.http2_frames:without_padding",
            "loadgen.protocols.wire.http2_uploads:Uploads.widen",
            f"{_CODECS}:GrpcCodec._one",
            f"{_CODECS}:GrpcCodec._stream_answer",
            f"{_CODECS}:messages",
            "loadgen.protocols.wire.grpc_scan:Scanner.response",
            "loadgen.protocols.wire.grpc_scan:Scanner._by_library",
            "loadgen.protocols.wire.grpc_scan:_layout_of",
        ),
    ),
    Target(
        name="wire-hpack",
        valid=(_HEAD, _END, b"\x20\x88"),
        inputs=damaged_bytes(_HEAD, _END, _HEAD + _END),
        parse=_hpack_block,
        calls=("loadgen.protocols.wire.hpack:Decoder.decode", "loadgen.protocols.wire.hpack:_text"),
        errors=(HpackError,),
    ),
)
