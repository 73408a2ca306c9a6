"""HTTP/2 connections against the `h2` package as the server, in memory, and against frames that no library sends."""

import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
import pytest
from h2.settings import SettingCodes

from loadgen.protocols.wire.channel import Route
from loadgen.protocols.wire.exchange import Exchange
from loadgen.protocols.wire.hpack import encode
from loadgen.protocols.wire.http2 import Http2Connection
from loadgen.protocols.wire.http2_channel import Http2Channel
from loadgen.protocols.wire.transport import Receiver

BLOCK = [(":method", "POST"), (":scheme", "http"), (":path", "/p"), (":authority", "a"), ("te", "trailers")]
GRPC = [(b":status", b"200"), (b"content-type", b"application/grpc")]
OK = [(b"grpc-status", b"0"), (b"grpc-message", b"")]
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
MAX_WINDOW = 2**31 - 1


class Peer:
    """A connection in memory: the transport of the client, and the server behind it."""

    def __init__(self, receiver: Receiver, settings: dict[Any, int]) -> None:
        self.receiver = receiver
        self.unsent_bytes = 0
        self.is_closed = False
        self.closed_by_peer = False
        self.written = bytearray()
        self.all_written = b""
        self.events: list[h2.events.Event] = []
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.server.local_settings = h2.settings.Settings(
            client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: 100} | settings
        )
        self.server.initiate_connection()

    # the transport

    def write(self, data: bytes, exchange: Exchange | None = None) -> None:
        assert not self.is_closed
        self.written += data
        self.all_written += data
        if exchange is not None:
            exchange.on_wire_at = time.monotonic()

    def peek(self) -> bytes | None:
        return b"" if self.closed_by_peer else None

    def close(self) -> None:
        self.is_closed = True

    # the server

    def open(self) -> None:
        self.receiver.opened()
        self.pump()

    def pump(self, step: int = 1 << 20) -> None:
        """Exchange bytes until both sides are silent; the client reads `step` bytes at a time."""
        while self.written:
            data, self.written = bytes(self.written), bytearray()
            self.events += self.server.receive_data(data)
            answer = self.server.data_to_send()
            for at in range(0, len(answer), step):
                self.read(answer[at : at + step])

    def read(self, data: bytes) -> None:
        """Let the client read bytes."""
        if not self.is_closed:
            self.receiver.received(data, time.monotonic())

    def respond(self, step: int = 1 << 20) -> None:
        """Let the client read what the server has to say."""
        answer = self.server.data_to_send()
        for at in range(0, len(answer), step):
            self.read(answer[at : at + step])
        self.pump(step)

    def requests(self) -> list[int]:
        return [each.stream_id for each in self.events if isinstance(each, h2.events.RequestReceived)]

    def body(self, stream_id: int) -> bytes:
        parts = [e for e in self.events if isinstance(e, h2.events.DataReceived) and e.stream_id == stream_id]
        return b"".join(cast(bytes, part.data) for part in parts)

    def answer(self, stream_id: int, *content: bytes, step: int = 1 << 20) -> None:
        self.server.send_headers(stream_id, GRPC)
        for part in content:
            self.server.send_data(stream_id, part)
        self.server.send_headers(stream_id, OK, end_stream=True)
        self.respond(step)


class Net(Route):
    """A route whose connections are peers in memory."""

    peers: list[Peer]
    settings: dict[Any, int]

    def open(self, receiver: Receiver) -> Any:
        peer = Peer(receiver, self.settings)
        self.peers.append(peer)
        return peer


class World:
    """A channel and its connections."""

    def __init__(self) -> None:
        self.net = Net(addresses=cast(Any, None))
        object.__setattr__(self.net, "peers", [])
        object.__setattr__(self.net, "settings", {})
        self.channel = Http2Channel(self.net, encode(BLOCK))
        self.ended: list[Exchange] = []

    @property
    def peers(self) -> list[Peer]:
        return self.net.peers

    def submit(self, body: bytes = b"\0\0\0\0\1x", timeout_s: float = 60.0) -> Exchange:
        exchange = Exchange(body, timeout_s, self.ended.append)
        self.channel.submit(exchange)
        return exchange

    def connected(self, body: bytes = b"\0\0\0\0\1x", **settings: int) -> tuple[Peer, Exchange]:
        """Submit a request and open its connection."""
        self.net.settings.update({SettingCodes[name]: value for name, value in settings.items()})
        exchange = self.submit(body)
        self.peers[-1].open()
        return self.peers[-1], exchange


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.channel.close()
    assert made.channel.in_flight == 0
    assert len(made.ended) == len({id(each) for each in made.ended})
    assert all(peer.is_closed for peer in made.peers)


def raw(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream_id) + payload


def block(*fields: tuple[bytes, bytes]) -> bytes:
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode(fields)


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Return kind, flags, stream and payload of each frame that the client wrote."""
    found = []
    at = 24 if data.startswith(b"PRI") else 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "big")
        kind, flags, stream_id = struct.unpack_from(">BBI", data, at + 3)
        found.append((kind, flags, stream_id, data[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


HEAD = raw(HEADERS, 4, 1, block(*GRPC))
END = raw(HEADERS, 5, 1, block(*OK))


@pytest.mark.parametrize("step", [1 << 20, 1, 7])
def test_a_request_and_its_answer(world: World, step: int) -> None:
    """Header, body, messages and trailer, also when every read returns a byte."""
    peer, exchange = world.connected(b"\0\0\0\0\3abc")
    assert peer.requests() == [1]
    assert peer.body(1) == b"\0\0\0\0\3abc"
    peer.answer(1, b"\0\0\0\0\1a", b"\0\0\0\0\1b", step=step)
    assert (exchange.status, bytes(exchange.data), exchange.complete) == (200, b"\0\0\0\0\1a\0\0\0\0\1b", True)
    assert exchange.headers["grpc-status"] == "0"
    assert world.ended == [exchange]
    assert exchange.arrival(6) <= exchange.arrival(12)


def test_requests_wait_for_the_limits_of_the_server(world: World) -> None:
    """Nothing but the preface is sent before the server's settings: they say how many streams it takes."""
    exchanges = [world.submit() for _ in range(5)]
    peer = world.peers[0]
    peer.receiver.opened()
    assert [kind for kind, *_ in frames(bytes(peer.written))] == [SETTINGS, WINDOW]
    peer.pump()
    assert peer.requests() == [1, 3, 5, 7, 9]
    assert len(world.peers) == 1
    assert not any(each.resent for each in exchanges)


@pytest.mark.parametrize("limit", [1, 2])
def test_more_requests_than_streams(world: World, limit: int) -> None:
    """Requests beyond MAX_CONCURRENT_STREAMS go to other connections, and do not count as sent twice."""
    world.net.settings[SettingCodes.MAX_CONCURRENT_STREAMS] = limit
    exchanges = [world.submit() for _ in range(6)]
    for peer in world.peers:  # grows while it is read
        peer.open()
        assert len(peer.requests()) <= limit
    assert len(world.peers) == 6 // limit
    for peer in world.peers:
        for stream_id in peer.requests():
            peer.answer(stream_id, b"\0\0\0\0\1a")
    assert all(each.complete and not each.resent for each in exchanges)


def test_fewer_streams_in_the_middle_of_a_connection(world: World) -> None:
    """A lower limit stops new requests; those in flight go on, and a higher one allows new ones."""
    peer, first = world.connected()
    peer.server.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    peer.respond()
    second = world.submit()
    assert len(world.peers) == 2
    peer.answer(1, b"\0\0\0\0\1a")
    third = world.submit()
    peer.pump()
    assert (first.complete, second.complete, third.connection) == (True, False, peer.receiver)


def test_no_streams_at_all(world: World) -> None:
    """A server that allows none has the request wait, until it allows some; the connection is not given up."""
    peer, exchange = world.connected(MAX_CONCURRENT_STREAMS=0)
    assert peer.requests() == []
    peer.server.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    peer.respond()
    assert peer.requests() == [1]
    peer.answer(1, b"\0\0\0\0\1a")
    assert exchange.complete


@pytest.mark.parametrize("window", [0, 1, 1000, 65_535])
def test_bodies_within_windows(world: World, window: int) -> None:
    """`h2` refuses any byte beyond a window; the body arrives as windows open, also after one of no size."""
    body = bytes(range(256)) * 800
    peer, exchange = world.connected(body, INITIAL_WINDOW_SIZE=window)
    other = world.submit(b"x" * 100_000)
    for each in world.peers[1:]:
        each.open()
    carrier = other.connection
    assert exchange.on_wire_at is None
    for _ in range(40):
        for each in world.peers:
            for stream_id in each.requests():
                if len(each.body(stream_id)) < 204_800 and each.server.streams[stream_id].open:
                    each.server.increment_flow_control_window(20_000, stream_id)
            each.server.increment_flow_control_window(20_000)
            each.respond()
    assert peer.body(1) == body
    assert exchange.on_wire_at is not None
    assert other.on_wire_at is not None
    assert carrier is not peer.receiver  # one that waits for a window does not delay another request


def test_a_window_that_shrinks_below_nothing(world: World) -> None:
    """A lower INITIAL_WINDOW_SIZE makes windows negative; nothing is sent until they are positive again."""
    body = b"x" * 100_000
    peer, exchange = world.connected(body)
    assert len(peer.body(1)) == 65_535
    peer.server.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    peer.server.increment_flow_control_window(60_000)
    peer.respond()
    peer.server.increment_flow_control_window(60_000, 1)  # still negative by 4,535
    peer.respond()
    assert len(peer.body(1)) == 65_535
    peer.server.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 50_000})
    peer.respond()
    assert peer.body(1) == body
    assert exchange.on_wire_at is not None


def test_larger_frames_after_a_setting(world: World) -> None:
    """No frame is larger than the server takes; with a larger limit frames grow."""
    peer, _ = world.connected(b"x" * 60_000)
    assert max(len(payload) for *_, payload in frames(peer.all_written)) == 16_384
    peer.server.update_settings({SettingCodes.MAX_FRAME_SIZE: 40_000})
    peer.server.increment_flow_control_window(60_000)
    peer.respond()
    peer.answer(1, b"\0\0\0\0\1a")
    before = len(peer.all_written)
    world.submit(b"y" * 60_000)
    assert max(len(payload) for *_, payload in frames(peer.all_written[before:])) == 40_000
    peer.pump()
    assert peer.body(3) == b"y" * 60_000


def test_a_large_header_is_continued() -> None:
    """A block beyond the frame size goes out as HEADERS and CONTINUATION."""
    world = World()
    world.channel.block = encode([*BLOCK, ("x-long", "v" * 50_000)])
    peer, exchange = world.connected()
    (request,) = (each for each in peer.events if isinstance(each, h2.events.RequestReceived))
    assert dict(request.headers)[b"x-long"] == b"v" * 50_000
    peer.answer(1, b"\0\0\0\0\1a")
    assert exchange.complete
    world.channel.close()


def test_windows_for_answers_beyond_two_gibibytes(world: World) -> None:
    """After each GiB of answers the connection's window is renewed by exactly what was received, padding included."""
    peer, _ = world.connected()
    connection = cast(Http2Connection, peer.receiver)
    connection._received_bytes = 2**30 - 20
    before = len(peer.all_written)
    peer.read(HEAD + raw(DATA, 0, 1, b"x" * 10))
    assert frames(peer.all_written[before:]) == []
    peer.read(raw(DATA, 8, 1, b"\x04" + b"x" * 3 + b"\0" * 4) + raw(DATA, 0, 1, b"y" * 5))
    assert frames(peer.all_written[before:]) == [(WINDOW, 0, 0, (2**30 + 3).to_bytes(4, "big"))]
    assert connection._received_bytes == 0


def test_data_of_requests_that_were_given_up_counts_for_the_window(world: World) -> None:
    """Otherwise a connection with cancelled streams would stand still after 2 GiB."""
    peer, exchange = world.connected()
    world.submit()
    world.channel.cancel(exchange)
    peer.read(HEAD + raw(DATA, 0, 1, b"x" * 1000))
    assert cast(Http2Connection, peer.receiver)._received_bytes == 1000


@pytest.mark.parametrize("step", [1, 1 << 20])
@pytest.mark.parametrize(
    "parts",
    [
        [HEAD, raw(DATA, 0, 1, b"abc"), END],
        [raw(HEADERS, 0x2C, 1, b"\x05" + b"\0\0\0\0\7" + block(*GRPC) + b"\0" * 5), raw(DATA, 0, 1, b"abc"), END],
        [raw(HEADERS, 0x24, 1, b"\x80\0\0\1\7" + block(*GRPC)), raw(DATA, 0, 1, b"abc"), END],
        [HEAD, raw(DATA, 8, 1, b"\x02abc\0\0"), raw(DATA, 8, 1, b"\xff" + b"\0" * 255), END],
        [HEAD, raw(DATA, 8, 1, b"\0abc"), END],
        [
            raw(HEADERS, 0, 1, block(*GRPC)[:3]),
            *(raw(CONTINUATION, 0, 1, block(*GRPC)[at : at + 1]) for at in range(3, len(block(*GRPC)))),
            raw(CONTINUATION, 4, 1),
            raw(DATA, 0, 1, b"abc"),
            raw(HEADERS, 1, 1, block(*OK)[:2]),
            raw(CONTINUATION, 4, 1, block(*OK)[2:]),
        ],
        [HEAD, raw(DATA, 0, 1), raw(DATA, 0, 1, b"abc"), raw(DATA, 0, 1), END],
        [raw(PRIORITY, 0, 1, b"\0\0\0\0\7"), raw(0xB7, 0xFF, 1, b"unknown"), HEAD, raw(DATA, 0, 1, b"abc"), END],
        [raw(PRIORITY, 0, 7, b"\0\0\0\0\7"), raw(0xA, 0, 0, b"\0\0"), HEAD, raw(DATA, 0, 1, b"abc"), END],
        [
            raw(HEADERS, 4, 1, block((b":status", b"100"))),
            raw(HEADERS, 4, 1, block((b":status", b"103"), (b"link", b"</a>"))),
            HEAD,
            raw(DATA, 0, 1, b"abc"),
            END,
        ],
        [raw(WINDOW, 0, 1, b"\0\0\0\1"), raw(WINDOW, 0, 0, b"\x80\0\0\1"), HEAD, raw(DATA, 0, 1, b"abc"), END],
        [HEAD, raw(DATA, 0, 1, b"abc"), END, raw(RST, 0, 1, b"\0\0\0\0"), raw(WINDOW, 0, 1, b"\0\0\0\1")],
        [raw(SETTINGS, 1, 0), raw(PING, 1, 0, b"12345678"), HEAD, raw(DATA, 0, 1, b"abc"), END],
    ],
    ids=[
        "plain", "padding-and-priority", "priority", "padding", "no-padding", "continuation", "empty-data", "unknown",
        "extensions", "interim", "windows", "after-the-end", "acknowledgements",
    ],
)  # fmt: skip
def test_what_a_server_may_send(world: World, parts: Sequence[bytes], step: int) -> None:
    """All of it makes the same answer, however it is cut, and the connection stays usable."""
    peer, exchange = world.connected()
    data = b"".join(parts)
    for at in range(0, len(data), step):
        peer.read(data[at : at + step])
    assert (exchange.status, bytes(exchange.data), exchange.complete) == (200, b"abc", True)
    assert exchange.headers["grpc-status"] == "0"
    assert not peer.is_closed


def test_trailers_only(world: World) -> None:
    """An error without a body is one block that ends the stream."""
    peer, exchange = world.connected()
    peer.read(raw(HEADERS, 5, 1, block(*GRPC, (b"grpc-status", b"14"), (b"grpc-message", b"no%20room"))))
    assert (exchange.complete, exchange.headers["grpc-message"]) == (True, "no%20room")


@pytest.mark.parametrize(
    "bad",
    [
        raw(DATA, 0, 1, b"abc"),
        raw(HEADERS, 4, 1, block((b"content-type", b"application/grpc"))),
        raw(HEADERS, 4, 1, block((b":status", b"2000"))),
        raw(HEADERS, 4, 1, block((b":status", b"abc"))),
        raw(HEADERS, 5, 1, block((b":status", b"100"))),
        HEAD + raw(HEADERS, 4, 1, block(*OK)),
    ],
    ids=["data-first", "no-status", "long-status", "text-status", "interim-end", "trailer-without-end"],
)
def test_a_malformed_answer_ends_its_own_request(world: World, bad: bytes) -> None:
    """The other requests of the connection go on (RFC 9113, section 8.1.1)."""
    peer, exchange = world.connected()
    other = world.submit()
    peer.pump()
    before = len(peer.all_written)
    peer.read(bad)
    assert exchange.ended_at is not None
    assert exchange.message
    assert frames(peer.all_written[before:]) == [(RST, 0, 1, b"\0\0\0\1")]
    peer.read(raw(HEADERS, 4, 3, block(*GRPC)) + raw(HEADERS, 5, 3, block(*OK)))
    assert other.complete


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (raw(SETTINGS, 0, 0, b"\0" * 5), 6),
        (raw(SETTINGS, 0, 1), 1),
        (raw(SETTINGS, 0, 0, b"\0\4\x80\0\0\0"), 3),
        (raw(SETTINGS, 0, 0, b"\0\5\0\0\0\1"), 1),
        (raw(PING, 0, 0, b"123"), 6),
        (raw(PING, 0, 1, b"12345678"), 1),
        (raw(GOAWAY, 0, 0, b"\0"), 6),
        (raw(GOAWAY, 0, 1, b"\0" * 8), 1),
        (raw(RST, 0, 1, b"\0"), 6),
        (raw(RST, 0, 0, b"\0\0\0\1"), 1),
        (raw(WINDOW, 0, 0, b"\0"), 6),
        (raw(WINDOW, 0, 0, b"\0\0\0\0"), 1),
        (raw(WINDOW, 0, 0, b"\x7f\xff\xff\xff"), 3),
        (raw(DATA, 0, 0, b"x"), 1),
        (raw(DATA, 0, 2, b"x"), 1),
        (raw(DATA, 0, 99, b"x"), 1),
        (raw(HEADERS, 4, 0, block(*GRPC)), 1),
        (raw(HEADERS, 4, 99, block(*GRPC)), 1),
        (HEAD + raw(DATA, 8, 1, b"\x05abc"), 6),
        (HEAD + raw(DATA, 8, 1), 6),
        (raw(HEADERS, 0x24, 1, b"\0\0"), 6),
        (raw(HEADERS, 4, 1, b"\xbe"), 9),
        (raw(HEADERS, 4, 1, b"\x3f\xe1\x1f\x88"), 9),
        (raw(HEADERS, 0, 1, b"\x88") + raw(DATA, 0, 1, b"x"), 1),
        (raw(HEADERS, 0, 1, b"\x88") + raw(PING, 0, 0, b"12345678"), 1),
        (raw(HEADERS, 0, 1, b"\x88") + raw(CONTINUATION, 4, 3, b""), 1),
        (raw(HEADERS, 0, 1, b"\x88") + raw(CONTINUATION, 0, 1, b""), 11),
        (raw(CONTINUATION, 4, 1, b"\x88"), 1),
        (raw(HEADERS, 0, 1, b"\x88" * 16_000) + raw(CONTINUATION, 0, 1, b"\x88" * 16_000) * 4, 11),
        (raw(PUSH, 4, 1, b"\0\0\0\2" + b"\x88"), 1),
        (b"\0\x40\1" + raw(DATA, 0, 1)[3:], 6),
        (raw(HEADERS, 4, 1, b"\x08\x03100") * 10_000, 11),
    ],
)
def test_a_server_that_breaks_the_rules(world: World, bad: bytes, code: int) -> None:
    """The connection ends with the error code of RFC 9113 and all its requests with a message; the next one is new."""
    peer, exchange = world.connected()
    before = len(peer.all_written)
    for at in range(0, len(bad), 60_000):
        peer.read(bad[at : at + 60_000])
    assert peer.is_closed
    assert (GOAWAY, 0, 0, b"\0\0\0\0" + code.to_bytes(4, "big")) in frames(peer.all_written[before:])
    assert exchange.message
    assert not exchange.complete
    world.submit()
    assert len(world.peers) == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n<html>", "does not speak gRPC: HTTP/1.1 400 Bad Request"),
        (b"HTTP/1.1 503 Service Unavailable\r\n", "does not speak gRPC: HTTP/1.1 503 Service Unavailable"),
        (b"<html><title>no</title>\n", "does not speak gRPC: <html>"),
        (raw(HEADERS, 4, 1, block(*GRPC)), "sends no settings"),
        (raw(GOAWAY, 0, 0, b"\0" * 8), "sends no settings"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak gRPC: SSH-2.0"),
        (b"HTTP/1.1 " + b"x" * 2000, "does not speak gRPC: HTTP/1.1 xxx"),
    ],
)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_a_server_without_http2(world: World, data: bytes, message: str, step: int) -> None:
    """The message has what it says instead, also when it arrives byte by byte."""
    exchange = world.submit()
    peer = world.peers[0]
    peer.receiver.opened()
    for at in range(0, len(data), step):
        peer.read(data[at : at + step])
    if step > 1 or data.startswith((b"HTTP", b"\0")):
        assert message in exchange.message
    else:
        assert "does not speak gRPC" in exchange.message


def test_pings_are_answered_in_one_write(world: World) -> None:
    """As many as one read holds; each with its own payload."""
    peer, _ = world.connected()
    before = len(peer.all_written)
    payloads = [number.to_bytes(8, "big") for number in range(1000)]
    peer.read(b"".join(raw(PING, 0, 0, each) for each in payloads))
    assert frames(peer.all_written[before:]) == [(PING, 1, 0, each) for each in payloads]


def test_a_server_that_pings_and_does_not_read(world: World) -> None:
    """Acknowledgements that it does not take are not piled up."""
    peer, exchange = world.connected()
    peer.unsent_bytes = 2**21
    peer.read(raw(PING, 0, 0, b"12345678"))
    assert peer.is_closed
    assert "does not read" in exchange.message


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0, "NO_ERROR"),
        (1, "PROTOCOL_ERROR"),
        (2, "INTERNAL_ERROR"),
        (8, "CANCEL"),
        (11, "ENHANCE_YOUR_CALM"),
        (99, "99"),
    ],
)
def test_a_stream_that_the_server_resets(world: World, code: int, name: str) -> None:
    """The cause names the code; the connection carries the next request."""
    peer, exchange = world.connected()
    peer.server.reset_stream(1, error_code=code)
    peer.respond()
    assert exchange.message == f"Received RST_STREAM with error code {name}"
    assert not exchange.resent
    world.submit()
    assert len(world.peers) == 1


def test_a_refused_stream_is_sent_again_once(world: World) -> None:
    """REFUSED_STREAM says that the server did not look at the request; the second time it fails."""
    peer, exchange = world.connected()
    peer.server.reset_stream(1, error_code=7)
    peer.respond()
    assert (exchange.resent, exchange.ended_at) == (True, None)
    assert peer.requests() == [1, 3]
    peer.server.reset_stream(3, error_code=7)
    peer.respond()
    assert exchange.message.endswith("REFUSED_STREAM")


def test_a_stream_that_is_refused_after_its_answer_began(world: World) -> None:
    """Then the server did take it."""
    peer, exchange = world.connected()
    peer.server.send_headers(1, GRPC)
    peer.server.reset_stream(1, error_code=7)
    peer.respond()
    assert not exchange.resent
    assert exchange.message.endswith("REFUSED_STREAM")


def test_a_graceful_shutdown_in_two_steps(world: World) -> None:
    """The first GOAWAY stops new requests only; the second one names the last stream, and the rest goes elsewhere."""
    peer, first = world.connected()
    second = world.submit()
    peer.pump()
    peer.read(raw(GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0"))
    assert [first.ended_at, second.ended_at] == [None, None]
    third = world.submit()
    assert len(world.peers) == 2
    peer.read(raw(GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\0debug"))
    assert (first.resent, second.resent, third.resent) == (False, True, False)
    peer.read(HEAD + END)
    assert first.complete
    assert peer.is_closed
    world.peers[1].open()
    assert len(world.peers[1].requests()) == 2


def test_a_goaway_that_took_nothing(world: World) -> None:
    """The request is sent again once; a second GOAWAY fails it with the code."""
    peer, exchange = world.connected()
    peer.read(raw(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x0b"))
    assert peer.is_closed
    world.peers[1].open()
    assert world.peers[1].requests() == [1]
    world.peers[1].read(raw(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x0b"))
    assert exchange.message == "GOAWAY with error code ENHANCE_YOUR_CALM"
    assert exchange.resent


def test_a_connection_that_breaks(world: World) -> None:
    """A request that was sent fails; one that was not, as the settings did not come, is sent again elsewhere."""
    unsent = world.submit()
    world.peers[0].receiver.opened()
    world.peers[0].receiver.closed("connection closed", None)
    assert (unsent.resent, unsent.ended_at) == (True, None)
    world.peers[1].receiver.opened()
    world.peers[1].receiver.closed("connection closed", None)
    assert unsent.message == "connection closed before an answer"


def test_a_connection_that_breaks_under_a_request(world: World) -> None:
    """A request that was sent fails with the reason and is not sent again: the peer may have taken it."""
    peer, sent = world.connected()
    peer.receiver.closed("Connection reset by peer", ConnectionResetError(104, "Connection reset by peer"))
    assert sent.message == "connection closed before an answer (Connection reset by peer)"
    assert not sent.resent


def test_a_later_connection_assumes_the_limits_of_the_first(world: World) -> None:
    """Once a server has announced its limits, a new connection sends before it has: it may be stopped just then."""
    world.connected(MAX_CONCURRENT_STREAMS=1, INITIAL_WINDOW_SIZE=1000)
    exchange = world.submit(b"x" * 2000)
    world.peers[1].receiver.opened()
    assert exchange.stream_id == 1
    assert exchange.on_wire_at is None  # 1,000 bytes were sent, and the rest waits for a window


def test_a_later_connection_with_the_limits_of_the_protocol(world: World) -> None:
    """A server that names no limits in its first settings has the defaults, whatever another one said."""
    world.connected(MAX_CONCURRENT_STREAMS=1, INITIAL_WINDOW_SIZE=1000)
    exchange = world.submit(b"x" * 2000)
    peer = world.peers[1]
    peer.receiver.opened()
    peer.read(raw(SETTINGS, 0, 0))
    assert exchange.on_wire_at is not None
    assert world.submit().connection is peer.receiver


def test_an_answer_that_is_cut(world: World) -> None:
    """After its header the message says so, and what arrived stays."""
    peer, exchange = world.connected()
    peer.read(HEAD + raw(DATA, 0, 1, b"\0\0\0\0\1a"))
    peer.receiver.closed("connection closed", None)
    assert exchange.message == "connection closed before the end of the answer"
    assert bytes(exchange.data) == b"\0\0\0\0\1a"


def test_an_answer_before_the_end_of_the_request(world: World) -> None:
    """A server may refuse a large body early: the rest of it is not sent, and the stream is cancelled."""
    peer, exchange = world.connected(b"x" * 200_000)
    before = len(peer.all_written)
    peer.read(raw(HEADERS, 5, 1, block(*GRPC, (b"grpc-status", b"8"))))
    assert exchange.complete
    assert frames(peer.all_written[before:]) == [(RST, 0, 1, b"\0\0\0\x08")]
    peer.read(raw(WINDOW, 0, 0, b"\0\1\0\0"))
    assert len(frames(peer.all_written[before:])) == 1


def test_numbers_of_streams_run_out(world: World) -> None:
    """The last number is used, the next request opens a connection, and the old one closes when it is idle."""
    peer, first = world.connected()
    connection = cast(Http2Connection, peer.receiver)
    connection._next_id = MAX_WINDOW
    last = world.submit()
    assert last.stream_id == MAX_WINDOW
    world.submit()
    assert len(world.peers) == 2
    peer.read(HEAD + END)
    assert first.complete
    assert not peer.is_closed
    peer.read(raw(HEADERS, 5, MAX_WINDOW, block(*GRPC, *OK)))
    assert last.complete
    assert peer.is_closed


def test_a_connection_without_a_word_is_not_used_again(world: World) -> None:
    """After a time-out in which nothing arrived, as from a replica that vanished, the next request avoids it."""
    peer, _ = world.connected()
    exchange = world.submit(timeout_s=0.0)
    world.channel._tick()
    assert exchange.code == "TIMEOUT"
    world.submit()
    assert len(world.peers) == 2
    assert not peer.is_closed  # the first request may still be answered


def test_a_time_out_of_a_slow_server_keeps_the_connection(world: World) -> None:
    """A server that sends other answers is there."""
    peer, _ = world.connected()
    exchange = world.submit(timeout_s=0.0)
    peer.pump()
    peer.read(HEAD)
    world.channel._tick()
    assert exchange.code == "TIMEOUT"
    world.submit()
    assert len(world.peers) == 1


def test_a_server_that_closed_an_idle_connection(world: World) -> None:
    """Its end is noticed before the next request is written, which is not counted as sent twice."""
    peer, exchange = world.connected()
    peer.read(HEAD + END)
    assert exchange.complete
    peer.closed_by_peer = True
    following = world.submit()
    assert len(world.peers) == 2
    assert not following.resent


def test_errors_of_megabytes_are_cut(world: World) -> None:
    """Of a page of a proxy only the start is read, with any status."""
    for status in (b"502", b"200"):
        peer, exchange = world.connected()
        stream_id = exchange.stream_id
        peer.read(raw(HEADERS, 4, stream_id, block((b":status", status), (b"content-type", b"text/html"))))
        for _ in range(1000):
            peer.read(raw(DATA, 0, stream_id, b"x" * 16_000))
        assert exchange.complete
        assert len(exchange.data) < 100_000
        peer.close()
        world.channel.forget(cast(Http2Connection, peer.receiver))


def test_requests_that_are_submitted_at_an_end(world: World) -> None:
    """A closed loop submits from within the end of a request, also at a time-out, and at a close of the connection."""
    submitted: list[Exchange] = []

    def again(_: Exchange) -> None:
        if len(submitted) < 3:
            submitted.append(Exchange(b"\0\0\0\0\1x", 10.0 + len(submitted), again))
            world.channel.submit(submitted[-1])

    world.channel.submit(Exchange(b"\0\0\0\0\1x", 0.0, again))
    world.channel._tick()
    assert len(submitted) == 1
    peer = world.peers[-1]
    peer.open()
    peer.receiver.closed("connection closed", None)
    assert len(submitted) == 2
    world.channel.close()
    assert len(submitted) == 3
    world.channel.close()


def test_time_outs_of_all_lengths_leave_nothing(world: World) -> None:
    """Each request may have its own time-out."""
    for number in range(100):
        world.submit(timeout_s=number / 1e9)
    world.channel._tick()
    assert world.channel._by_timeout == {}
    assert len(world.ended) == 100
