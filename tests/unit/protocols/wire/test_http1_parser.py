"""The HTTP/1.1 parser against h11, whole and cut anywhere, and with damage."""

import gc
import random
from collections.abc import Sequence
from itertools import pairwise

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadgen.protocols.wire.exchange import Exchange
from loadgen.protocols.wire.http1_parser import MAX_HEADER_BYTES, Http1Parser, MalformedAnswerError

FIXED = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
Result = tuple[int, bytes, bool, bool]
"""Status, body, whether the answer is whole, whether the connection can be used again."""


def exchange() -> Exchange:
    return Exchange(b"", 1.0, lambda _: None)


def parsed(parts: Sequence[bytes], *, closed: bool) -> Result:
    answer = exchange()
    parser = Http1Parser(answer)
    for number, part in enumerate(parts):
        parser.feed(part, float(number))
    if closed and not parser.done:
        parser.closed()
    return answer.status, bytes(answer.data), answer.complete, parser.keep_alive and not parser.rest and not closed


def by_h11(data: bytes, *, closed: bool) -> Result:
    """Return the same by h11."""
    connection = h11.Connection(h11.CLIENT)
    head = h11.Request(method="POST", target="/", headers=[("Host", "a"), ("Content-Length", "0")])
    connection.send(head)
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    if closed:
        connection.receive_data(b"")
    status, body, whole = 0, b"", False
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            break  # closed too early
        if event in (h11.NEED_DATA, h11.PAUSED):
            break
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            whole = True
            break
        elif isinstance(event, h11.ConnectionClosed):
            break
    reusable = whole and connection.their_state is h11.DONE and not connection.trailing_data[0]
    if whole and b"HTTP/1.0 " in data and b": keep-alive" in data.lower():
        reusable = status in (204, 304) or b"content-length" in data.lower()  # h11 never keeps one of HTTP/1.0
    return status, body, whole, reusable and not closed


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bool]:
    """A valid answer, and whether the server closes the connection after it."""
    parts = []
    for _ in range(draw(st.integers(0, 2))):
        code = draw(st.sampled_from((b"100 Continue", b"103 Early Hints", b"102 ")))
        parts.append(b"HTTP/1.1 %s\r\nLink: </a>\r\n\r\n" % code)
    version = draw(st.sampled_from((b"1.1", b"1.1", b"1.0")))
    status = draw(st.sampled_from((200, 200, 404, 503, 204, 304, 201)))
    lines = [b"HTTP/%s %d Some reason" % (version, status), b"Content-Type: text/event-stream"]
    option = draw(st.sampled_from((b"", b"close", b"keep-alive", b"Close, x", b"Keep-Alive", b"x-close")))
    if option:
        lines.append(b"Connection: " + option)
    body = draw(st.binary(max_size=300))
    framing = draw(st.sampled_from(("length", "chunked", "close")))
    if version == b"1.0" and framing == "chunked":
        framing = "length"
    content = b""
    if status in (204, 304):
        pass
    elif framing == "length":
        lines.append(b"content-LENGTH:  %d " % len(body))
        content = body
    elif framing == "chunked":
        lines.append(b"Transfer-Encoding: " + draw(st.sampled_from((b"chunked", b"Chunked"))))
        cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
        for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
            if end > start:
                extension = draw(st.sampled_from((b"", b";a=b", b';a="x y"')))
                content += b"%s%s\r\n%s\r\n" % (b"%x" % (end - start), extension, body[start:end])
        trailer = draw(st.sampled_from((b"", b"X-Sum: 1\r\n", b"A: 1\r\nB: 2\r\n")))
        content += b"0\r\n" + trailer + b"\r\n"
    else:
        content = body
    closed = framing == "close" or draw(st.integers(0, 3)) == 0
    return b"".join(parts) + b"\r\n".join(lines) + b"\r\n\r\n" + content, closed


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    at = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(at) if end > start]


@FIXED
@given(answers(), st.lists(st.integers(0, 1 << 16), max_size=6))
def test_the_same_as_h11_however_the_bytes_are_cut(answer: tuple[bytes, bool], places: list[int]) -> None:
    """Content-Length, chunks with extensions and trailers, until the connection closes, interim answers, HTTP/1.0."""
    data, closed = answer
    expected = by_h11(data, closed=closed)
    assert parsed([data], closed=closed) == expected
    assert parsed(cut(data, places), closed=closed) == expected
    assert parsed([data[at : at + 1] for at in range(len(data))], closed=closed) == expected


@FIXED
@given(answers(), st.integers(0, 1 << 16))
def test_an_answer_that_is_cut_off_is_not_whole(answer: tuple[bytes, bool], place: int) -> None:
    """At any byte, the same as h11 says."""
    data, _ = answer
    start = data[: place % (len(data) + 1)]
    status, body, whole, reusable = by_h11(start, closed=False)
    assert parsed([start], closed=False)[:3] == (status, body, whole)
    if whole:
        assert parsed([start], closed=False)[3] == reusable


@FIXED
@given(answers(), st.integers(0, 1 << 30))
def test_damage_is_a_malformed_answer_or_another_answer(answer: tuple[bytes, bool], seed: int) -> None:
    """No other exception, and the same result whole and byte by byte."""
    data = bytearray(answer[0])
    chosen = random.Random(seed)
    for _ in range(chosen.randint(1, 4)):
        at = chosen.randrange(len(data))
        how = chosen.randrange(3)
        if how == 0:
            data[at] = chosen.randrange(256)
        elif how == 1:
            del data[at : at + chosen.randint(1, 9)]
            data += b" "
        else:
            data[at:at] = chosen.choice((b"\r\n", b"\n", b"-1", b"0x", b"99999999999999999999", b"\0", b":", b" "))
    results = []
    for parts in ([bytes(data)], [bytes(data[at : at + 1]) for at in range(len(data))]):
        try:
            results.append(parsed(parts, closed=True)[:3])
        except MalformedAnswerError:
            results.append((0, b"", False))
    assert results[0] == results[1]


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "another protocol"),
        (b"HTTP/2 200\r\n\r\n", "is not HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "is not HTTP"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "is not HTTP"),
        (b"HTTP/1.1 20x\r\n\r\n", "is not HTTP"),
        (b"HTTP/1.1 \xb2\xb2\xb2\r\n\r\n", "is not HTTP"),
        (b"<html>", "is not HTTP"),
        (b"\0\0\x06\4\0\0\0\0\0", "is not HTTP"),
        (b"\r\n\r\n", "is not HTTP"),
        (HEAD + b"no colon\r\n\r\n", "no name and value"),
        (HEAD + b": value\r\n\r\n", "no name and value"),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "no valid Content-Length"),
        (HEAD + b"Content-Length: -5\r\n\r\n", "no valid Content-Length"),
        (HEAD + b"Content-Length: +5\r\n\r\n", "no valid Content-Length"),
        (HEAD + b"Content-Length: 1e3\r\n\r\n", "no valid Content-Length"),
        (HEAD + b"Content-Length:\r\n\r\n", "no valid Content-Length"),
        (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", "no valid Content-Length"),
        *(
            (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + size, "no valid size")
            for size in (
                b"-1\r\n",
                b"0x10\r\n",
                b"+5\r\n",
                b"1_0\r\n",
                b"\r\n",
                b"g\r\n",
                b"f" * 16 + b"\r\n",
                b" " * 5000,
            )
        ),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "longer than its size"),
    ],
)
def test_malformed_answers(data: bytes, message: str) -> None:
    """Each is refused with its reason, also byte by byte."""
    with pytest.raises(MalformedAnswerError, match=message):
        parsed([data], closed=False)
    with pytest.raises(MalformedAnswerError, match=message):
        parsed([data[at : at + 1] for at in range(len(data))], closed=False)


@pytest.mark.parametrize(
    ("fields", "rest", "body", "reusable"),
    [
        (b"Content-Length: 2\r\nContent-Length: 2\r\n", b"ab", b"ab", True),
        (b"Content-Length: 2, 2\r\n", b"ab", b"ab", True),
        (b"Content-Length : 2\r\n", b"ab", b"ab", True),
        (b"Content-Length:\r\n 2\r\n", b"ab", b"ab", True),
        (b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", b"2\r\nab\r\n0\r\n\r\n", b"ab", False),
        (b"Content-Length: 2\r\n", b"abHTTP/1.1 200 OK\r\n\r\n", b"ab", False),
        (b"Transfer-Encoding: chunked\r\n", b"2\nab\n0\n\n", b"ab", True),
        (b"Content-Length: 4\n", b"\r\n\r\n", b"\r\n\r\n", True),
    ],
)
def test_what_others_may_read_differently(fields: bytes, rest: bytes, body: bytes, reusable: bool) -> None:
    """Repeated lengths, folded lines, lengths beside chunks, line feeds alone: no answer is mixed up with the next."""
    if fields.endswith(b"\r\n"):
        fields += b"\r\n"
    else:
        fields += b"\n"
    data = HEAD + fields + rest
    for parts in ([data], [data[at : at + 1] for at in range(len(data))]):
        assert parsed(parts, closed=False) == (200, body, True, reusable)


def feed_all(parser: Http1Parser, part: bytes) -> None:
    """Feed a part until twice the limit of a header is reached."""
    for _ in range(2 * MAX_HEADER_BYTES // len(part)):
        parser.feed(part, 0.0)


@pytest.mark.parametrize(
    "part",
    [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", HEAD + b"A: " + b"x" * 1000 + b"\r\n", b"B: 1\r\n"],
    ids=["interim", "fields", "small-fields"],
)
def test_headers_without_end(part: bytes) -> None:
    """They are refused at a stated size, whatever they consist of."""
    parser = Http1Parser(exchange())
    parser.feed(b"" if part.startswith(b"HTTP") else HEAD, 0.0)
    with pytest.raises(MalformedAnswerError, match="a header of more than 64 KiB"):
        feed_all(parser, part)


def test_a_trailer_without_end() -> None:
    """The same limit holds after the last chunk."""
    parser = Http1Parser(exchange())
    parser.feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", 0.0)
    with pytest.raises(MalformedAnswerError, match="a header of more than 64 KiB"):
        feed_all(parser, b"A: 1\r\n")


def test_nothing_of_an_answer_stays_without_the_garbage_collector() -> None:
    """The collector is paused during a run: a cycle of references would keep every answer."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for part in (b"", HEAD, HEAD + b"Content-Length: 2\r\n\r\na", HEAD + b"\r\n"):
            Http1Parser(exchange()).feed(part, 0.0)
        assert gc.collect() == 0
    finally:
        if was_enabled:
            gc.enable()


def test_one_read_is_one_stamp() -> None:
    """All chunks of a read share its stamp, which is kept once."""
    answer = exchange()
    parser = Http1Parser(answer)
    parser.feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 1000, 1.0)
    parser.feed(b"1\r\nb\r\n" * 1000, 2.0)
    assert (answer.ends, answer.stamps) == ([1000, 2000], [1.0, 2.0])
