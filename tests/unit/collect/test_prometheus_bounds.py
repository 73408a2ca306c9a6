"""A Prometheus that misbehaves costs its own samples: not the run, not memory, and not other series."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler

import pytest
import requests

from loadgen.base.clock import Clock
from loadgen.base.errors import CollectError
from loadgen.collect import prometheus
from loadgen.collect.bounds import bound
from loadgen.collect.prometheus import PrometheusReader
from loadgen.collect.signals import QUERIED
from support.servers.http import ResponseHandler, serving

Respond = Callable[[ResponseHandler], None]
RATIO = QUERIED[:1]


@contextmanager
def answering(respond: Respond) -> Iterator[str]:
    class Handler(ResponseHandler):
        def do_GET(self) -> None:
            with suppress(OSError):
                respond(self)

    with serving(Handler) as url:
        yield url


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response_only(200)
    handler.end_headers()
    for _ in range(10_000):
        handler.wfile.write(b" " * (1 << 20))


def slow_body(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response_only(200)
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b" ")
        time.sleep(0.02)


def slow_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(1000):
        handler.wfile.write(b"a")
        time.sleep(0.02)


@pytest.mark.parametrize("respond", [endless, slow_body, slow_headers])
def test_an_answer_has_a_largest_size_and_a_longest_time(respond: Respond) -> None:
    """Also where every single read succeeds in time; the error says so, and the next read is possible."""
    with answering(respond) as url, requests.Session() as session:
        bound(session, url, 0.3, max_bytes=8 << 20)
        for _ in range(2):
            with pytest.raises(requests.RequestException):
                session.get(url, timeout=5)


def test_a_whole_answer_is_read_as_before() -> None:
    """Plain and compressed."""
    with answering(lambda handler: handler.respond(200, b'{"a": 1}')) as url, requests.Session() as session:
        bound(session, url, 5)
        assert session.get(url, timeout=5).json() == {"a": 1}


def matrix(series: list[object]) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": series}}).encode()


def read(body: bytes) -> list[tuple[str | None, float]]:
    clock = Clock(anchor_unix_s=0.0, anchor_monotonic_s=time.monotonic() - 100)
    with answering(lambda handler: handler.respond(200, body)) as url:
        return [(row.pod, row.value) for row in PrometheusReader(RATIO, clock, 5.0).read(url, ())]


GOOD = {"metric": {"pod": "a"}, "values": [[1, "0.5"]]}


@pytest.mark.parametrize(
    "bad",
    [
        None,
        7,
        {"metric": {"pod": ["a"]}, "values": [[1, "1"]]},
        {"metric": {"pod": "b"}, "values": [["never", "1"]]},
        {"metric": {"pod": "b"}, "values": [[1, "1", 2]]},
        {"metric": {"pod": "b"}, "values": [[1, {}]]},
    ],
)
def test_one_bad_series_costs_itself(bad: object) -> None:
    """The others are recorded."""
    assert read(matrix([bad, GOOD])) == [("a", 0.5)]
    with pytest.raises(CollectError, match="did not answer triton:queue_compute:ratio"):
        read(matrix([bad]))


def test_labels_are_made_safe() -> None:
    """Half of a surrogate pair could not be written, and a terminal would obey an escape sequence."""
    series = [{"metric": {"pod": pod}, "values": [[n, "1"]]} for n, pod in enumerate(("a\ud83d", "b\x1b[2J"), 1)]
    assert read(matrix(list(series))) == [("a\ufffd", 1.0), ("b\ufffd[2J", 1.0)]


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"data": ' * 100_000, b'{"data": {"result": ' + b"[" * 100_000, b"[]", b"7", b"\xff", b""],
)
def test_json_that_is_no_answer_is_an_error(body: bytes) -> None:
    """However deep it is nested."""
    with pytest.raises(CollectError, match="Prometheus at"):
        read(body)


def test_a_long_error_message_is_cut() -> None:
    """As a page of a login proxy."""
    handler = itertools.repeat(b"<html>" * 100_000)
    with answering(lambda each: each.respond(503, next(handler))) as url, pytest.raises(CollectError) as raised:
        PrometheusReader(RATIO, Clock.start(), 5.0).read(url, ())
    assert len(str(raised.value)) < 600


def test_the_reader_uses_these_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own time limit holds for the whole answer."""
    monkeypatch.setattr(prometheus, "TIMEOUT_S", 0.3)
    with answering(slow_body) as url, pytest.raises(CollectError, match=r"incomplete after 0\.3 s"):
        PrometheusReader(RATIO, Clock.start(), 5.0).read(url, ())
