"""Answers of proxies to CONNECT, for the load client over gRPC."""

import socket
from contextlib import closing
from dataclasses import replace

import pytest

from loadgen.base.connection import DIRECT
from loadgen.protocols.answer import Answer
from loadgen.protocols.endpoint import Endpoint
from support.servers.reference import BLS
from support.servers.scripted import (
    GRPC,
    READY,
    Step,
    data,
    drip,
    forever,
    grpc_request,
    message,
    scripted,
    silence,
    trailer,
)

ANSWER: tuple[Step, ...] = (grpc_request, GRPC, data(message(), message(None, final=True)), trailer(), silence)
OPEN = b"HTTP/1.1 200 Connection established\r\nVia: a\r\n\r\n"


def connect(sock: socket.socket) -> None:
    """Read the request for a tunnel."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.startswith(b"CONNECT triton.example:8001 HTTP/1.1\r\n")


def answer_through(*steps: Step, timeout_s: float = 20.0) -> Answer:
    with scripted(steps) as port:
        connection = replace(DIRECT, proxy=f"http://127.0.0.1:{port}")
        target = Endpoint(address="triton.example:8001", protocol="grpc", connection=connection)
        with closing(target.open(BLS, stream=True)) as client:
            return client.infer("x", 8, timeout_s)


def test_what_the_server_says_first() -> None:
    """Its settings may arrive together with the proxy's answer."""
    answer = answer_through(connect, OPEN + READY, *ANSWER)
    assert (answer.outcome, answer.output_tokens) == ("ok", 1)


def test_an_answer_in_pieces() -> None:
    """The tunnel opens at the end of the header."""
    answer = answer_through(connect, OPEN[:9], OPEN[9:-1], OPEN[-1:], READY, *ANSWER)
    assert (answer.outcome, answer.output_tokens) == ("ok", 1)


@pytest.mark.parametrize(
    ("steps", "cause"),
    [
        ((b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", silence), "answers CONNECT with status 407 Proxy"),
        ((b"HTTP/1.1 502 Bad Gateway\r\n\r\n", silence), "answers CONNECT with status 502 Bad Gateway"),
        ((b"SSH-2.0-OpenSSH 200\r\n\r\n", silence), "answers CONNECT with"),
        ((forever(b"X: 1\r\n"),), "answers CONNECT with an endless header"),
        ((), "connection closed"),
    ],
)
def test_a_proxy_that_opens_no_tunnel(steps: tuple[Step, ...], cause: str) -> None:
    """The request is an error that says what the proxy said."""
    answer = answer_through(connect, *steps)
    assert answer.outcome == "error"
    assert cause in (answer.cause or "")


def test_a_slow_proxy() -> None:
    """The time-out is that of the whole request."""
    assert answer_through(connect, drip(b"HTTP/1.1 200 OK\r\n"), timeout_s=0.3).outcome == "timeout"
