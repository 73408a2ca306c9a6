"""What a server can do to a load client, over both protocols: each script with the row that follows, by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tritonclient.grpc import service_pb2 as pb

from support.servers.reference import BLS
from support.servers.scripted import (
    CHUNKED,
    CONTINUATION,
    DATA,
    GOAWAY,
    GRPC,
    HEADERS,
    PING,
    READY,
    RST,
    SETTINGS,
    Step,
    chunk,
    data,
    drip,
    event,
    forever,
    frame,
    grpc_message,
    grpc_request,
    half_close,
    header,
    http_request,
    message,
    page,
    preface,
    reset,
    silence,
    trailer,
    trailers_only,
)  # fmt: skip

PLAIN = replace(BLS, decoupled=False)
"""Whose answers over ModelInfer are single messages."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a server does, and the row that follows.

    Attributes:
        protocol: Protocol of the client.
        steps: What the server does on every connection.
        outcome: Outcome of the row.
        cause: Text in its cause; None for none.
        tokens: Its output tokens; None for unknown.
        size: Bytes of its output text; None to leave them open.
        stream: Whether the request asks for a stream.
        timeout_s: Time-out of the request.
    """

    protocol: Literal["http", "grpc"]
    steps: Sequence[Step]
    outcome: str
    cause: str | None
    tokens: int | None
    size: int | None = None
    stream: bool = True
    timeout_s: float = 20.0


def http(
    *steps: Step, outcome: str = "ok", cause: str | None = None, tokens: int | None = 0, read: bool = True, **more: Any
) -> Script:
    return Script(
        protocol="http", steps=(*((http_request,) if read else ()), *steps), outcome=outcome, cause=cause,
        tokens=tokens, **more,
    )  # fmt: skip


def whole(*steps: Step, outcome: str = "error", cause: str | None = None, **more: Any) -> Script:
    return http(*steps, outcome=outcome, cause=cause, tokens=None, stream=False, **more)


def rpc(*steps: Step, outcome: str = "ok", cause: str | None = None, tokens: int | None = 0, **more: Any) -> Script:
    """A server that reads the request after its settings."""
    return Script(
        protocol="grpc", steps=(READY, grpc_request, *steps), outcome=outcome, cause=cause, tokens=tokens, **more
    )


def unary(*steps: Step, outcome: str = "error", cause: str | None = None, **more: Any) -> Script:
    return rpc(*steps, outcome=outcome, cause=cause, tokens=None, stream=False, **more)


def raw_rpc(*steps: Step, outcome: str = "error", cause: str | None = None, **more: Any) -> Script:
    """A server that does not follow HTTP/2 from its first byte."""
    return Script(protocol="grpc", steps=steps, outcome=outcome, cause=cause, tokens=0, **more)


def result(text: bytes) -> bytes:
    response = pb.ModelInferResponse(raw_output_contents=[len(text).to_bytes(4, "little") + text])
    response.outputs.add(name="text_output", datatype="BYTES", shape=[1])
    return grpc_message(response.SerializeToString())


HTML = b"<html>\n<title>Sign in</title>\n</html>"
CLOSED = "connection closed before an answer"
RESET = "connection closed before an answer (Connection reset by peer)"
FINAL = message(None, final=True)
EMOJI = "\N{GRINNING FACE}".encode()
STATUS = (b":status", b"200")

SCRIPTS: dict[str, Script] = {
    # -- nothing wrong, though unusual
    "http-stream": http(CHUNKED, chunk(event(), event(), b""), tokens=2, size=2),
    "http-interim": http(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        CHUNKED,
        chunk(event(), b""),
        tokens=1,
    ),
    "http-close": http(page(b"200 OK", event(), b"text/event-stream", b"Connection: close"), tokens=1),
    "http-answer-first": http(CHUNKED, chunk(event(), b""), silence, tokens=1, read=False),
    "http-two-answers": http(page(b"200 OK", event()) * 2, tokens=1),
    "http-chunks-of-a-byte": http(CHUNKED, chunk(*(bytes((byte,)) for byte in event() * 20), b""), tokens=20, size=20),
    "http-half-close": http(CHUNKED, chunk(event(), b""), half_close, tokens=1),
    "http-length-and-chunks": http(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(event(), b""), tokens=1
    ),
    "http-equal-lengths": http(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Length: %d\r\n\r\n" % (len(event()), len(event())),
        event(),
        tokens=1,
    ),
    "http-line-feeds": http(b"HTTP/1.1 200 OK\nContent-Length: %d\n\n" % len(event()), event(), tokens=1),
    "http-trailers": http(CHUNKED, chunk(event()), b"0\r\nX-Sum: 1\r\n\r\n", tokens=1),
    "http-10": http(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(event()), event(), tokens=1),
    "http-unary-until-close": whole(b"HTTP/1.1 200 OK\r\n\r\n", b'{"text_output": "abc"}', outcome="ok", size=3),
    "grpc-stream": rpc(GRPC, data(message(), message(), FINAL), trailer(), silence, tokens=2, size=2),
    "grpc-unary": unary(GRPC, data(result(b"abc")), trailer(), silence, outcome="ok", size=3),
    "grpc-interim": rpc(
        header(0, (b":status", b"100")),
        header(0, (b":status", b"103")),
        GRPC,
        data(message(), FINAL),
        trailer(),
        tokens=1,
    ),
    "grpc-empty-frames": rpc(GRPC, data() * 500, data(message(), FINAL), data() * 500, trailer(), tokens=1),
    "grpc-message-in-bytes": rpc(
        GRPC, *(frame(DATA, 0, 1, bytes((byte,))) for byte in message() + message() + FINAL), trailer(), tokens=2
    ),
    "grpc-closed-after-final": rpc(GRPC, data(message(), FINAL), tokens=1),
    "grpc-reset-after-final": rpc(GRPC, data(message(), FINAL), silence, tokens=1, timeout_s=0.5),
    # -- bytes that are no text
    "http-emoji": http(CHUNKED, chunk(event(EMOJI[:2]), event(EMOJI[2:]), b""), tokens=2, size=4),
    "grpc-emoji": rpc(GRPC, data(message(EMOJI[:2]), message(EMOJI[2:]), FINAL), trailer(), tokens=2, size=4),
    "http-invalid-utf8": http(CHUNKED, chunk(event(b"\xff\xfe\x80"), b""), tokens=1, size=3),
    "grpc-invalid-utf8": rpc(GRPC, data(message(b"\xff\xfe\x80"), FINAL), trailer(), tokens=1, size=3),
    "http-unary-invalid-utf8": whole(page(b"200 OK", b'{"text_output": "\xff\xfe"}'), outcome="ok", size=2),
    "grpc-unary-invalid-utf8": unary(GRPC, data(result(b"\xff\xfe")), trailer(), outcome="ok", size=2),
    # -- large, and many
    "http-huge-token": http(CHUNKED, chunk(event(b"x" * 900_000), b""), tokens=1, size=900_000),
    "http-token-over-the-limit": http(
        CHUNKED,
        chunk(event(), event(b"x" * 2_000_000), b""),
        outcome="cut_off",
        cause="an answer of more than N KiB",
        tokens=1,
    ),
    "grpc-huge-token": rpc(GRPC, data(message(b"x" * 3_000_000), FINAL), trailer(), tokens=1, size=3_000_000),
    "http-thousands": http(CHUNKED, chunk(event() * 5000, b""), tokens=5000, size=5000),
    "grpc-thousands": rpc(GRPC, data(message() * 5000, FINAL), trailer(), tokens=5000, size=5000),
    "http-error-of-20-MB": http(
        page(b"500 No", b"1a2b3c4d5e " * 2_000_000), outcome="error", cause="500: ID ID", tokens=0
    ),
    "grpc-error-of-20-MB": rpc(
        header(0, (b":status", b"500"), (b"content-type", b"text/plain")),
        data(b"1a2b3c4d5e " * 2_000_000),
        silence,
        outcome="error",
        cause="500: ID ID",
    ),
    # -- without end
    "http-endless-interim": http(
        forever(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), outcome="error", cause="a header of more than N KiB"
    ),
    "http-endless-header": http(
        b"HTTP/1.1 200 OK\r\n", forever(b"X-Field: value\r\n"), outcome="error", cause="a header of more than N KiB"
    ),
    "http-endless-header-line": http(
        b"HTTP/1.1 200 OK\r\nX-Field: ", forever(b"x"), outcome="error", cause="a header of more than N KiB"
    ),
    "http-endless-status": http(b"HTTP/1.1 200 ", forever(b"x"), outcome="error", cause="a header of more than N KiB"),
    "http-endless-trailer": http(
        CHUNKED,
        chunk(event()),
        b"0\r\n",
        forever(b"X: 1\r\n"),
        outcome="cut_off",
        cause="a header of more than N KiB",
        tokens=1,
    ),
    "http-endless-chunk-size": http(CHUNKED, forever(b"0"), outcome="error", cause="a chunk has no valid size"),
    "http-endless-line": http(
        CHUNKED, chunk(b"data: "), forever(chunk(b"x" * 60_000)), outcome="error", cause="an answer of more than N KiB"
    ),
    "http-endless-empty-lines": http(
        CHUNKED, forever(chunk(b"\n" * 60_000)), outcome="error", cause="an answer of more than N KiB"
    ),
    "grpc-endless-interim": rpc(
        forever(header(0, (b":status", b"103"))), outcome="error", cause="the server sends interim answers only"
    ),
    "grpc-endless-continuation": rpc(
        frame(HEADERS, 0, 1, b"\x88"),
        forever(frame(CONTINUATION, 0, 1, b"\0\1a\1b" * 100)),
        outcome="error",
        cause="a header of more than N KiB",
    ),
    "grpc-endless-empty-continuation": rpc(
        frame(HEADERS, 0, 1, b"\x88"),
        forever(frame(CONTINUATION, 0, 1)),
        outcome="error",
        cause="a header block is continued by nothing",
    ),
    "grpc-endless-message": rpc(
        GRPC,
        frame(DATA, 0, 1, b"\0\xff\xff\xff\xff"),
        forever(frame(DATA, 0, 1, b"x" * 16_000)),
        outcome="error",
        cause="an answer of more than N KiB",
    ),
    "grpc-endless-empty-data": rpc(
        GRPC,
        data(message()),
        forever(frame(DATA, 0, 1)),
        outcome="timeout",
        cause="no last token",
        tokens=1,
        timeout_s=0.5,
    ),
    "grpc-endless-pings": rpc(
        forever(frame(PING, 0, 0, b"12345678")), outcome="error", cause="does not read", timeout_s=60.0
    ),
    "grpc-endless-unknown": rpc(
        forever(frame(0xBB, 0, 0, b"x" * 100)), outcome="timeout", cause="no last token", timeout_s=0.5
    ),
    # -- slow
    "http-silent": http(silence, outcome="timeout", cause="no last token", timeout_s=0.3),
    "http-slow-header": http(
        drip(b"HTTP/1.1 200 OK\r\n" + b"A: 1\r\n"), outcome="timeout", cause="no last token", timeout_s=0.4
    ),
    "http-drip": http(
        CHUNKED,
        chunk(event()),
        b"ffff\r\n",
        drip(b"x"),
        outcome="timeout",
        cause="no last token",
        tokens=1,
        timeout_s=0.4,
    ),
    "http-does-not-accept": http(silence, outcome="timeout", cause="no last token", timeout_s=0.3, read=False),
    "grpc-silent": raw_rpc(silence, outcome="timeout", cause="no last token", timeout_s=0.3),
    "grpc-silent-after-settings": rpc(silence, outcome="timeout", cause="no last token", timeout_s=0.3),
    "grpc-slow-settings": raw_rpc(drip(READY, 0.1), outcome="timeout", cause="no last token", timeout_s=0.4),
    "grpc-drip": rpc(
        GRPC,
        data(message()),
        frame(DATA, 0, 1, b"x" * 16_000)[:9],
        drip(b"x"),
        outcome="timeout",
        cause="no last token",
        tokens=1,
        timeout_s=0.4,
    ),
    "grpc-no-streams": raw_rpc(
        frame(SETTINGS, 0, 0, b"\0\3\0\0\0\0"), silence, outcome="timeout", cause="no last token", timeout_s=0.3
    ),
    "grpc-no-window": raw_rpc(
        frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0"), silence, outcome="timeout", cause="no last token", timeout_s=0.3
    ),
    # -- broken at every stage
    "http-interim-alone": http(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        silence,
        outcome="timeout",
        cause="no last token",
        timeout_s=0.3,
    ),
    "http-reset-at-once": http(reset, outcome="error", cause="", read=False),
    "http-reset-after-request": http(reset, outcome="error", cause=RESET),
    "http-closed-after-request": http(outcome="error", cause=CLOSED),
    "http-half-closed-without-answer": http(half_close, outcome="error", cause=CLOSED),
    "http-reset-in-header": http(
        b"HTTP/1.1 200 OK\r\nConte", preface, outcome="timeout", cause="no last token", timeout_s=0.3
    ),
    "http-closed-in-header": http(b"HTTP/1.1 200 OK\r\nConte", outcome="error", cause=CLOSED),
    "http-closed-after-header": http(CHUNKED, outcome="error", cause="Incomplete response"),
    "http-closed-in-event": http(
        CHUNKED, chunk(event() + event()[:10]), outcome="cut_off", cause="Incomplete response", tokens=1
    ),
    "http-closed-in-chunk": http(
        CHUNKED, chunk(event(), event())[:-9], outcome="cut_off", cause="Incomplete response", tokens=1
    ),
    "http-closed-before-last-chunk": http(
        CHUNKED, chunk(event(), event()), outcome="cut_off", cause="Incomplete response", tokens=2
    ),
    "http-closed-in-trailer": http(
        CHUNKED, chunk(event()), b"0\r\n", outcome="cut_off", cause="Incomplete response", tokens=1
    ),
    "http-short": http(
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + event(),
        outcome="cut_off",
        cause="Incomplete response",
        tokens=1,
    ),
    "http-short-error": http(
        b"HTTP/1.1 503 No\r\nContent-Length: 500\r\n\r\nbusy", outcome="rejected", cause="503: busy"
    ),
    "http-long": http(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(event()) + event() * 2, tokens=1),
    "http-until-close": http(
        b"HTTP/1.1 200 OK\r\n\r\n", event(), outcome="cut_off", cause="nothing says that the answer was whole", tokens=1
    ),
    "http-unary-short": whole(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"text_out', cause="Incomplete response"),
    "grpc-reset-at-once": raw_rpc(reset, cause=""),
    "grpc-closed-before-settings": raw_rpc(preface, cause=CLOSED),
    "grpc-reset-after-request": rpc(reset, outcome="error", cause="connection closed before an answer"),
    "grpc-closed-after-request": rpc(outcome="error", cause=CLOSED),
    "grpc-half-closed": rpc(half_close, outcome="error", cause=CLOSED),
    "grpc-closed-in-frame": rpc(GRPC[:-5], outcome="error", cause=CLOSED),
    "grpc-closed-after-header": rpc(GRPC, outcome="error", cause="connection closed before the end of the answer"),
    "grpc-closed-in-message": rpc(
        GRPC, data(message(), message()[:9]), outcome="cut_off", cause="before the end of the answer", tokens=1
    ),
    "grpc-closed-in-data": rpc(
        GRPC, data(message()), data(message())[:20], outcome="cut_off", cause="before the end of the answer", tokens=1
    ),
    "grpc-closed-before-final": rpc(
        GRPC, data(message(), message()), outcome="cut_off", cause="before the end of the answer", tokens=2
    ),
    "grpc-no-trailer": rpc(
        GRPC, data(message(), flags=1), outcome="cut_off", cause="the stream ended without a status", tokens=1
    ),
    "grpc-no-final": rpc(
        GRPC, data(message()), trailer(), outcome="cut_off", cause="the stream ended without a final answer", tokens=1
    ),
    "grpc-nothing": rpc(GRPC, trailer(), outcome="error", cause="empty answer"),
    "grpc-unary-nothing": unary(GRPC, trailer(), cause="empty answer"),
    "grpc-unary-no-trailer": unary(GRPC, data(result(b"abc"), flags=1), outcome="cut_off", cause="without a status"),
    "grpc-rst": rpc(frame(RST, 0, 1, b"\0\0\0\2"), silence, outcome="error", cause="error code INTERNAL_ERROR"),
    "grpc-rst-after-token": rpc(
        GRPC,
        data(message()),
        frame(RST, 0, 1, b"\0\0\0\x08"),
        silence,
        outcome="cut_off",
        cause="error code CANCEL",
        tokens=1,
    ),
    "grpc-refused-always": rpc(
        frame(RST, 0, 1, b"\0\0\0\7"), frame(RST, 0, 3, b"\0\0\0\7"), silence, outcome="error", cause="REFUSED_STREAM"
    ),
    "grpc-goaway-always": rpc(
        frame(GOAWAY, 0, 0, b"\0" * 8), silence, outcome="error", cause="GOAWAY with error code NO_ERROR"
    ),
    "grpc-goaway-and-answer": rpc(
        frame(GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\0"), GRPC, data(message(), FINAL), trailer(), silence, tokens=1
    ),
    # -- refusals
    **{
        f"http-{status.decode()[:3]}": http(page(status, b'{"error": "what it says"}'), outcome=outcome, cause=cause)
        for status, outcome, cause in (
            (b"301 Moved Permanently", "error", "301: what it says"),
            (b"400 Bad Request", "error", "400: what it says"),
            (b"401 Unauthorized", "error", "401: what it says"),
            (b"404 Not Found", "rejected", "404: what it says"),
            (b"429 Too Many Requests", "rejected", "429: what it says"),
            (b"500 No", "error", "500: what it says"),
            (b"503 Service Unavailable", "rejected", "503: what it says"),
        )
    },
    "http-204": http(b"HTTP/1.1 204 No Content\r\n\r\n", outcome="error", cause="204: an empty body"),
    "http-empty": http(page(b"200 OK", b""), outcome="error", cause="empty answer"),
    "http-502-page": http(
        page(b"502 Bad Gateway", HTML.replace(b"Sign in", b"502 Bad Gateway"), b"text/html"),
        outcome="error",
        cause="502: N Bad Gateway",
    ),
    "http-200-page": http(
        page(b"200 OK", HTML, b"text/html; charset=utf-8"),
        outcome="error",
        cause="an answer that is not a stream of events (text/html): Sign in",
    ),
    "http-unary-200-page": whole(
        page(b"200 OK", HTML, b"text/html"), cause="an answer that is not JSON (text/html): Sign in"
    ),
    "http-200-error": http(
        page(b"200 OK", b'{"error": "the engine failed"}'), outcome="error", cause="the engine failed"
    ),
    "http-200-queue-full": http(
        page(b"200 OK", b'{"error": "Exceeds maximum queue size"}'),
        outcome="rejected",
        cause="Exceeds maximum queue size",
    ),
    "http-event-error": http(
        CHUNKED,
        chunk(event(), b'data: {"error": "the engine failed"}\n\n', b""),
        outcome="cut_off",
        cause="the engine failed",
        tokens=1,
    ),
    "http-event-not-json": http(
        CHUNKED, chunk(b"data: {\n\n", b""), outcome="error", cause="an answer that is not JSON"
    ),
    "grpc-queue-full": rpc(
        trailers_only(b"14", b"Exceeds%20maximum%20queue%20size"),
        silence,
        outcome="rejected",
        cause="UNAVAILABLE: Exceeds maximum queue size",
    ),
    "grpc-exhausted": rpc(trailers_only(b"8", b"no"), outcome="rejected", cause="RESOURCE_EXHAUSTED: no"),
    "grpc-unauthenticated": rpc(trailers_only(b"16", b"no"), outcome="error", cause="UNAUTHENTICATED: no"),
    "grpc-deadline": rpc(trailers_only(b"4", b"late"), outcome="timeout", cause="no last token"),
    "grpc-percent": rpc(
        trailers_only(b"13", b"caf%C3%A9 100% %zz %ff"),
        outcome="error",
        cause="INTERNAL: caf\N{LATIN SMALL LETTER E WITH ACUTE} N% %zz \N{REPLACEMENT CHARACTER}",
    ),
    "grpc-unknown-status": rpc(trailers_only(b"99", b"x"), outcome="error", cause="UNKNOWN: x"),
    "grpc-status-of-digits": rpc(trailers_only(b"00099" * 2000, b"x"), outcome="error", cause="UNKNOWN: x"),
    "grpc-status-of-text": rpc(trailers_only(b"OK", b"x"), outcome="error", cause="UNKNOWN: x"),
    "grpc-error-in-stream": rpc(
        GRPC,
        data(message(), message(None, error="the engine failed")),
        trailer(),
        outcome="cut_off",
        cause="the engine failed",
        tokens=1,
    ),
    "grpc-failed-after-token": rpc(
        GRPC, data(message()), trailer(b"13", b"lost"), outcome="cut_off", cause="INTERNAL: lost", tokens=1
    ),
    "grpc-502-page": rpc(
        header(0, (b":status", b"502"), (b"content-type", b"text/html")),
        data(HTML.replace(b"Sign in", b"502 Bad Gateway"), flags=1),
        outcome="error",
        cause="502: N Bad Gateway",
    ),
    "grpc-503": rpc(header(1, (b":status", b"503")), outcome="rejected", cause="503: an empty body"),
    "grpc-200-page": rpc(
        header(0, STATUS, (b"content-type", b"text/html")),
        data(HTML, flags=1),
        outcome="error",
        cause="an answer that is not gRPC (text/html): Sign in",
    ),
    "grpc-200-error": rpc(
        header(0, STATUS, (b"content-type", b"application/json")),
        data(b'{"error": "no route"}', flags=1),
        outcome="error",
        cause="no route",
    ),
    # -- malformed
    "http-chunk-negative": http(CHUNKED, b"-5\r\n", outcome="error", cause="a chunk has no valid size"),
    "http-chunk-huge": http(CHUNKED, b"f" * 16 + b"\r\n", outcome="error", cause="a chunk has no valid size"),
    "http-chunk-too-long": http(CHUNKED, b"2\r\nabcdef\r\n", outcome="error", cause="a chunk is longer than its size"),
    "http-chunk-promised": http(
        CHUNKED, b"7fffffff\r\n", event(), outcome="cut_off", cause="Incomplete response", tokens=1
    ),
    "http-lengths": http(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        outcome="error",
        cause="the answer has no valid Content-Length",
    ),
    "http-length-negative": http(
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        outcome="error",
        cause="the answer has no valid Content-Length",
    ),
    "http-101": http(b"HTTP/1.1 101 Switching\r\n\r\n", outcome="error", cause="switches to another protocol"),
    "http-garbage": http(b"SSH-2.0-OpenSSH_9.6\r\n", silence, outcome="error", cause="the answer is not HTTP"),
    "http-2": http(READY, silence, outcome="error", cause="the answer is not HTTP"),
    "grpc-http-11": raw_rpc(
        preface, page(b"400 Bad Request", HTML), cause="the server does not speak gRPC: HTTP/1.1 400 Bad Request"
    ),
    "grpc-http-11-503": raw_rpc(
        preface,
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
        outcome="rejected",
        cause="the server does not speak gRPC: HTTP/1.1 503 Service Unavailable",
    ),
    "grpc-garbage": raw_rpc(b"SSH-2.0-OpenSSH_9.6\r\n", silence, cause="the server does not speak gRPC: SSH-2"),
    "grpc-compressed": rpc(
        GRPC,
        data(message(), grpc_message(b"x", 1)),
        trailer(),
        outcome="cut_off",
        cause="INTERNAL: a compressed message, which was not requested",
        tokens=1,
    ),
    "grpc-not-triton": rpc(
        GRPC,
        data(grpc_message(b"\xff\xff")),
        trailer(),
        outcome="error",
        cause="INTERNAL: an answer that is not a message of Triton",
    ),
    "grpc-large-frame": rpc(
        b"\x01\0\0" + frame(DATA, 0, 1)[3:], silence, outcome="error", cause="a frame of more than N KiB"
    ),
    "grpc-dynamic-table": rpc(
        frame(HEADERS, 4, 1, b"\xbe"), silence, outcome="error", cause="the HPACK table, which was announced as empty"
    ),
    "grpc-data-first": rpc(
        data(message()), silence, outcome="error", cause="data arrived before the header of the answer"
    ),
}
