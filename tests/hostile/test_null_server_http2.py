"""HTTP/2 of the null server, against `h2` and `hpack` and the examples of RFC 7541."""

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
import pytest
from hpack.struct import NeverIndexedHeaderTuple
from tritonclient.grpc import service_pb2 as pb

from support.servers.null_requests import infer_request, text_of
from support.servers.null_server import NoCompilerError, decode_blocks, times_ns

STREAM, UNARY = "ModelStreamInfer", "ModelInfer"
TIMEOUT_S = 30.0
HEADERS, GOAWAY, END_STREAM = 1, 7, 1

pytestmark = pytest.mark.timeout(300)  # the first test compiles the server with sanitizers


def decoded(*lines: str) -> list[list[tuple[bytes, bytes]] | None]:
    try:
        return decode_blocks(lines)
    except NoCompilerError as error:
        pytest.skip(str(error))


def fields(text: str) -> list[tuple[bytes, bytes]]:
    return [tuple(line.strip().encode().split(b" ", 1)) for line in text.strip().splitlines()]  # type: ignore[misc]


REQUESTS = [
    ":method GET\n:scheme http\n:path /\n:authority www.example.com",
    ":method GET\n:scheme http\n:path /\n:authority www.example.com\ncache-control no-cache",
    ":method GET\n:scheme https\n:path /index.html\n:authority www.example.com\ncustom-key custom-value",
]
COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
RESPONSES = [
    ":status 302\ncache-control private\ndate Mon, 21 Oct 2013 20:13:21 GMT\nlocation https://www.example.com",
    ":status 307\ncache-control private\ndate Mon, 21 Oct 2013 20:13:21 GMT\nlocation https://www.example.com",
    ":status 200\ncache-control private\ndate Mon, 21 Oct 2013 20:13:22 GMT\nlocation https://www.example.com\n"
    f"content-encoding gzip\nset-cookie {COOKIE}",
]


@pytest.mark.parametrize(
    ("limit", "blocks", "expected"),
    [
        (4096, ["400a637573746f6d2d6b65790d637573746f6d2d686561646572"], ["custom-key custom-header"]),  # C.2.1
        (4096, ["040c2f73616d706c652f70617468"], [":path /sample/path"]),  # C.2.2
        (4096, ["100870617373776f726406736563726574"], ["password secret"]),  # C.2.3
        (4096, ["82"], [":method GET"]),  # C.2.4
        (  # C.3: requests without Huffman code
            4096,
            [
                "828684410f7777772e6578616d706c652e636f6d",
                "828684be58086e6f2d6361636865",
                "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            ],
            REQUESTS,
        ),
        (  # C.4: requests with Huffman code
            4096,
            [
                "828684418cf1e3c2e5f23a6ba0ab90f4ff",
                "828684be5886a8eb10649cbf",
                "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            ],
            REQUESTS,
        ),
        (  # C.5: responses without Huffman code, from a table of 256 bytes with evictions
            256,
            [
                "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e17"
                "68747470733a2f2f7777772e6578616d706c652e636f6d",
                "4803333037c1c0bf",
                "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d41"
                "53444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
            ],
            RESPONSES,
        ),
        (  # C.6: responses with Huffman code
            256,
            [
                "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
                "4883640effc1c0bf",
                "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b39"
                "60d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
            ],
            RESPONSES,
        ),
    ],
)
def test_hpack_examples(limit, blocks, expected):
    """The examples of appendix C, byte for byte."""
    assert decoded(f"limit {limit}", *blocks) == [fields(text) for text in expected]


def test_hpack_decodes_what_another_encoder_writes():
    """Random octets, sensitive fields, and tables that change their size, on 100 connections of ten blocks each."""
    chance = random.Random(20)
    names = [b":path", b"content-type", b"x-a", b"x-b"]
    lines, expected = [], []
    for _ in range(100):
        encoder = hpack.Encoder()
        lines.append("new")
        for _ in range(10):
            if chance.random() < 0.3:
                encoder.header_table_size = chance.choice([0, 60, 200, 4096])
            block = [
                (
                    chance.choice([*names, chance.randbytes(chance.randint(1, 20))]),
                    chance.randbytes(chance.choice([0, 3, 80])),
                )
                for _ in range(chance.randint(0, 8))
            ]
            headers = [NeverIndexedHeaderTuple(*field) if chance.random() < 0.1 else field for field in block]
            lines.append(encoder.encode(headers, huffman=chance.random() < 0.5).hex())
            expected.append(block)
    assert decoded(*lines) == expected


@pytest.mark.parametrize(
    "block",
    [
        "ff",  # an integer that ends early
        "ffffffffff7f",  # an integer beyond 28 bits
        "80",  # index 0
        "be",  # an entry that the empty table does not have
        "400a63",  # a string that ends early
        "0081ff0161",  # a Huffman code that is all padding, of more than seven bits
        "00840000000000",  # a string that ends within a code
        "0084ffffffff00",  # the code of the end
        "823fe11f",  # a new size after a field
        "3fe21f",  # a table of 4,097 bytes
    ],
)
def test_hpack_refuses_malformed_blocks(block):
    """Each of them is an error of the connection."""
    assert decoded(block) == [None]


class Peer:
    """A connection of `h2`, which checks everything that the server sends."""

    def __init__(self, port: int, settings: dict[int, int] | None = None) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        if settings:
            self.h2.local_settings = h2.settings.Settings(
                client=True, initial_values={**self.h2.local_settings, **settings}
            )
        self.h2.initiate_connection()
        self.events: list[Any] = []
        self.send()

    def send(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def begin(self, call: str, *headers: tuple[str, str]) -> int:
        stream = self.h2.get_next_available_stream_id()
        path = f"/inference.GRPCInferenceService/{call}"
        head = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "null"), *headers]
        self.h2.send_headers(stream, [*head, ("content-type", "application/grpc"), ("te", "trailers")])
        return stream

    def request(self, call: str, message: bytes, headers: tuple[tuple[str, str], ...] = ()) -> int:
        stream = self.begin(call, *headers)
        data = b"\0" + len(message).to_bytes(4, "big") + message
        while data:
            size = min(len(data), self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if size:
                self.h2.send_data(stream, data[:size])
                data = data[size:]
                self.send()
            else:
                self.receive()
        self.h2.end_stream(stream)
        self.send()
        return stream

    def receive(self) -> list[Any]:
        data = self.sock.recv(65536)
        new = self.h2.receive_data(data) if data else [None]
        self.events.extend(new)
        self.send()
        return new

    def until(self, kind: type, count: int = 1) -> list[Any]:
        while len(found := [event for event in self.events if isinstance(event, kind)]) < count:
            assert None not in self.receive(), "the connection closed"
        return found

    def body(self, stream: int) -> bytes:
        return b"".join(e.data for e in self.events if isinstance(e, h2.events.DataReceived) and e.stream_id == stream)


@contextmanager
def connected(port: int, settings: dict[int, int] | None = None) -> Iterator[Peer]:
    peer = Peer(port, settings)
    try:
        yield peer
    finally:
        peer.sock.close()


def frames_in(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    while data:
        size = int.from_bytes(data[:3], "big")
        yield data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]
        data = data[9 + size :]


def messages(body: bytes) -> list[bytes]:
    found = []
    while body:
        size = int.from_bytes(body[1:5], "big")
        found.append(body[5 : 5 + size])
        body = body[5 + size :]
    return found


def test_small_windows_in_both_directions(start_null_server):
    """The server takes 5,000 bytes through a window of 100, and sends tokens through one of 10."""
    server = start_null_server(window=100, sanitize=True)
    settings = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10}
    request = infer_request(3)
    request.raw_input_contents[0] = (5_000).to_bytes(4, "little") + b"x" * 5_000
    with connected(server.grpc, settings) as peer:
        peer.until(h2.events.RemoteSettingsChanged)
        stream = peer.request(STREAM, request.SerializeToString())
        while not any(isinstance(event, h2.events.StreamEnded) for event in peer.events):
            for event in peer.receive():
                if isinstance(event, h2.events.DataReceived):
                    assert len(event.data) <= 10
                    peer.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                    peer.send()
        answers = [pb.ModelStreamInferResponse.FromString(message) for message in messages(peer.body(stream))]
    assert [len(times_ns(text_of(answer.infer_response))) for answer in answers] == [1, 1, 1, 0]
    counters = server.counters()
    assert (counters["flow_control_violations"], counters["answers"], counters["tokens"]) == (0, 1, 3)


def test_a_peer_that_sends_more_than_its_window_is_refused(start_null_server):
    """The connection ends with FLOW_CONTROL_ERROR, and the server counts it."""
    server = start_null_server(window=100)
    with connected(server.grpc) as peer:
        peer.until(h2.events.RemoteSettingsChanged)
        stream = peer.begin(STREAM)
        peer.send()
        frame = (200).to_bytes(3, "big") + b"\0\0" + stream.to_bytes(4, "big") + b"x" * 200
        peer.sock.sendall(frame)
        (ended,) = peer.until(h2.events.ConnectionTerminated)
    assert ended.error_code == 3
    assert server.counters()["flow_control_violations"] == 1


def test_streams_beyond_the_limit_are_refused(start_null_server):
    """SETTINGS name the limit; a peer that ignores it gets REFUSED_STREAM, and the others their answers."""
    server = start_null_server(max_streams=2, first_ms=50)
    with connected(server.grpc) as peer:
        (settings,) = peer.until(h2.events.RemoteSettingsChanged)
        limit = settings.changed_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS]
        peer.h2.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 100
        peer.h2.remote_settings.acknowledge()
        first = infer_request(1).SerializeToString()
        streams = [peer.request(STREAM, first) for _ in range(3)]
        (refused,) = peer.until(h2.events.StreamReset)
        ended = peer.until(h2.events.StreamEnded, 2)
    assert limit.new_value == 2
    assert (refused.stream_id, refused.error_code) == (streams[2], 7)
    assert [event.stream_id for event in ended] == streams[:2]
    assert server.counters()["refused_streams"] == 1


def test_a_connection_goes_away_after_its_streams(start_null_server):
    """GOAWAY names the last stream that is answered; the answer still comes, then the connection closes."""
    server = start_null_server(goaway_every=3)
    with connected(server.grpc) as peer:
        streams = [peer.request(UNARY, infer_request(1, stream=False).SerializeToString()) for _ in range(3)]
        received = b""
        while data := peer.sock.recv(65536):  # h2 itself reads nothing after a GOAWAY
            received += data
    frames = list(frames_in(received))
    assert [payload for kind, _, _, payload in frames if kind == GOAWAY] == [bytes([0, 0, 0, streams[2], 0, 0, 0, 0])]
    assert [stream for kind, flags, stream, _ in frames if kind == HEADERS and flags & END_STREAM] == streams
    assert server.counters()["goaways"] == 1


@pytest.mark.parametrize("table", [0, 100, 4096])
def test_header_blocks_of_a_gateway(start_null_server, table):
    """Every answer has other fields, which `hpack` decodes with a table of any size; the pod stays the same."""
    server = start_null_server(gateway=True, pod="pod-7")
    with connected(server.grpc, {h2.settings.SettingCodes.HEADER_TABLE_SIZE: table}) as peer:
        for _ in range(50):
            peer.request(UNARY, infer_request(1, stream=False).SerializeToString())
        heads = [dict(event.headers) for event in peer.until(h2.events.ResponseReceived, 50)]
        trailers = [dict(event.headers) for event in peer.until(h2.events.TrailersReceived, 50)]
    assert {head["x-pod-name"] for head in heads} == {"pod-7"}
    assert len({head["x-request-id"] for head in heads}) == 50
    assert {(head[":status"], head["content-type"], head["server"]) for head in heads} == {
        ("200", "application/grpc", "envoy")
    }
    assert trailers == [{"grpc-status": "0"}] * 50


def test_large_and_padded_headers_and_pings(start_null_server):
    """Header blocks that continue in other frames, padding, and a PING with its answer."""
    server = start_null_server(sanitize=True)
    with connected(server.grpc) as peer:
        message = infer_request(1, stream=False).SerializeToString()
        peer.request(UNARY, message, headers=(("x-large", "y" * 40_000), ("x-request-id", "mine")))
        stream = peer.begin(UNARY)
        data = b"\0" + len(message).to_bytes(4, "big") + message
        peer.h2.send_data(stream, data, pad_length=7, end_stream=True)
        peer.h2.ping(b"12345678")
        peer.send()
        assert peer.until(h2.events.PingAckReceived)[0].ping_data == b"12345678"
        peer.until(h2.events.StreamEnded, 2)
        assert [len(messages(peer.body(number))) for number in (1, stream)] == [1, 1]
    assert [arrival.request_id for arrival in server.arrivals()] == ["mine", ""]


@pytest.mark.parametrize(
    ("call", "request_of", "status"),
    [
        ("ModelInfer", infer_request(1), "12"),  # a decoupled model
        ("ModelStreamInfer", pb.ModelInferRequest(model_name="other"), "5"),
        ("ModelStatistics", pb.ModelInferRequest(), "12"),
    ],
)
def test_refused_calls(start_null_server, call, request_of, status):
    """Trailers alone, with Triton's status."""
    with connected(start_null_server().grpc) as peer:
        peer.request(call, request_of.SerializeToString())
        (head,) = peer.until(h2.events.ResponseReceived)
        peer.until(h2.events.StreamEnded)
    assert dict(head.headers)["grpc-status"] == status


def test_answers_wait_for_a_peer_that_does_not_read(start_null_server):
    """Tokens whose window is closed are sent, and stamped, when it opens."""
    server = start_null_server()
    with connected(server.grpc, {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}) as peer:
        stream = peer.request(STREAM, infer_request(5).SerializeToString())
        peer.until(h2.events.SettingsAcknowledged)
        assert server.wait_for("requests", 1)["tokens"] == 0
        opened_ns = server.arrivals()[0].whole_ns
        peer.h2.increment_flow_control_window(100_000, stream)
        peer.send()
        peer.until(h2.events.StreamEnded)
        answers = [pb.ModelStreamInferResponse.FromString(message) for message in messages(peer.body(stream))]
    stamps = [ns for answer in answers for ns in times_ns(text_of(answer.infer_response))]
    assert len(stamps) == 5
    assert stamps[0] > opened_ns
    counters = server.counters()
    assert (counters["tokens"], counters["tokens_blocked"], counters["late_max_ns"]) == (5, 5, 0)
