"""HTTP clients: how streams end, token counts, connections and TLS. Needs only loopback."""

import os
import resource
import ssl
import threading
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from geventhttpclient.connectionpool import SSLConnectionPool

from loadgen.base.errors import TargetError
from loadgen.protocols import http_control
from loadgen.protocols.endpoint import ClientName
from loadgen.protocols.http_connection import tls_context
from loadgen.protocols.reference import Script
from loadgen.protocols.triton_http import HttpClient, HttpControlPlane
from support.servers.gateway import make_certificates
from support.servers.raw import dripping_server, raw_server
from support.servers.reference import BLS, client_of

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
EVENT = b'data: {"text_output": "x"}\n\n'


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


@pytest.mark.parametrize(
    ("response", "outcome", "cause", "tokens"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n" + chunks(EVENT, EVENT.strip()), "ok", None, 2),
        (b"Content-Length: %d\r\n\r\n" % len(EVENT) + EVENT, "ok", None, 1),
        (
            b"Transfer-Encoding: chunked\r\n\r\n" + chunks(b'data: {"text_output": "x", "error": null}\n\n'),
            "ok",
            None,
            1,
        ),
        (b"Connection: close\r\n\r\n" + EVENT, "cut_off", "nothing says that the answer was whole", 1),
        (b"Connection: close\r\n\r\n", "error", "nothing says that the answer was whole", 0),
        (b"Content-Length: 500\r\n\r\n" + EVENT, "cut_off", "Incomplete", 1),
        (b"Transfer-Encoding: chunked\r\n\r\n" + chunks(EVENT)[:-5], "cut_off", "Incomplete", 1),
    ],
    ids=["no-newline", "length", "error-null", "until-close", "until-close-empty", "short", "no-last-chunk"],
)
def test_ends_of_http_streams(
    client: ClientName, response: bytes, outcome: str, cause: str | None, tokens: int
) -> None:
    """Every event counts, even the last one without a line feed; a stream without a declared end was cut off."""
    with (
        raw_server(EVENTS + response) as port,
        closing(client_of("http", port, BLS, stream=True, client=client)) as opened,
    ):
        answer = opened.infer("x", 8, 5.0)
    assert (answer.outcome, answer.output_tokens) == (outcome, tokens)
    assert (cause or "") in (answer.cause or "")


@pytest.mark.parametrize(("count", "tokens"), [("7", 7), ("[5, 7]", 7), ('"7"', 7), (str(2**40), None), ("-1", None)])
def test_http_count_of_tokens(client: ClientName, count: str, tokens: int | None) -> None:
    """A count beyond the range of the requests table is not recorded; the request still succeeds."""
    body = b'{"text_output": "x", "num_output_tokens": %s}' % count.encode()
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with raw_server(response) as port, closing(client_of("http", port, BLS, stream=False, client=client)) as opened:
        answer = opened.infer("x", 8, 5.0)
    assert (answer.outcome, answer.output_tokens) == ("ok", tokens)


def test_connections_are_kept_beyond_1024_open_files(client: ClientName, ports: dict[str, int]) -> None:
    """A connection with a file descriptor beyond the range of select() is reused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip(f"this shell may open {hard} files only: raise `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    with ExitStack() as files:
        while (descriptor := os.open("/dev/null", os.O_RDONLY)) < 1100:
            files.callback(os.close, descriptor)
        os.close(descriptor)
        connections: set[str] = set()
        with closing(client_of("http", ports["http"], BLS, stream=True, client=client)) as opened:
            for _ in range(3):
                assert opened.infer(Script().prompt(), 8, 5.0).outcome == "ok"
                connections.update(str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if _high(path))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(connections) == 1


def _high(path: Path) -> bool:
    """Whether this is an open socket beyond the range of select()."""
    return int(path.name) > 1024 and path.is_symlink() and str(path.readlink()).startswith("socket:")


class _Secure(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(EVENT)))
        self.end_headers()
        self.wfile.write(EVENT)
        self.close_connection = True


def test_https_clients_share_one_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates are loaded once per process rather than once per connection; every connection is verified."""
    certificates = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    with HTTPServer(("127.0.0.1", 0), _Secure) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        outcomes = []
        for trusted in (certificates.ca, SSLConnectionPool.default_options["ca_certs"]):
            with monkeypatch.context() as patch:
                patch.setitem(SSLConnectionPool.default_options, "ca_certs", trusted)
                tls_context.cache_clear()
                for _ in range(2):
                    with closing(HttpClient(f"localhost:{server.server_port}", BLS, stream=True, tls=True)) as client:
                        outcomes.append(client.infer("x", 8, 5.0).outcome)
                assert tls_context.cache_info().misses == 1
        server.shutdown()
    tls_context.cache_clear()
    assert outcomes == ["ok", "ok", "error", "error"]


def http_response(status: str, body: bytes, kind: bytes = b"application/json") -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status.encode(), kind, len(body))
    return head + body


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (rb'{"error": "half \ud83d of a pair"}', "500: half \N{REPLACEMENT CHARACTER} of a pair"),
        (b"\n<html>\n<b>502</b>\n" + b"more\n" * 5, "500: <html>"),
        (b"\x1b[31mred\xff\x9b", "500: [31mred\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"),
        (b"[" * 50_000, "500: " + "[" * 155),
        (b'{"error": "' + b"1a2b3c4d5e " * 2_000_000 + b'"}', '500: {"error": "ID'),
        (b"x" * (20 * 2**20), "500: " + "x" * 155),
    ],
    ids=["surrogate", "html", "escape", "nested", "20-MB", "20-MB-of-text"],
)
def test_bodies_of_errors(client: ClientName, body: bytes, cause: str) -> None:
    """The cause is one short line that can be written, whatever the body holds; at most its start is read."""
    with (
        raw_server(http_response("500 x", body)) as port,
        closing(client_of("http", port, BLS, stream=True, client=client)) as opened,
    ):
        answer = opened.infer("x", 8, 20.0)
    assert answer.outcome == "error"
    assert answer.cause is not None
    assert answer.cause.startswith(cause)
    assert len(answer.cause) <= 160


def test_an_error_of_megabytes_in_a_stream(client: ClientName) -> None:
    """A line of 20 MB in a stream is an error that says so, and is not parsed."""
    events = http_response("200 OK", EVENT + b"data: {" + b"x" * (20 * 2**20), b"text/event-stream")
    with raw_server(events) as port, closing(client_of("http", port, BLS, stream=True, client=client)) as opened:
        answer = opened.infer("x", 8, 20.0)
    assert (answer.outcome, answer.cause) == ("cut_off", "an answer of more than N KiB")


@pytest.mark.parametrize("stream", [True, False])
def test_tokens_that_are_halves_of_pairs(client: ClientName, stream: bool) -> None:
    """Text of a token that UTF-8 cannot encode is output like any other."""
    event = rb'{"text_output": "\ud83d"}'
    response = http_response("200 OK", b"data: " + event + b"\n\n" if stream else event)
    with raw_server(response) as port, closing(client_of("http", port, BLS, stream=stream, client=client)) as opened:
        answer = opened.infer("half \ud83d", 8, 5.0)
    assert (answer.outcome, answer.received_bytes) == ("ok", 3)


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (http_response("200 OK", b"[" * 50_000), "is not JSON"),
        (http_response("200 OK", rb'["\ud83d"]'), "is not Triton"),
        (http_response("200 OK", b"x" * (20 * 2**20)), "answers /v2 with an answer of more than 16384 KiB"),
        (http_response("404 x", b"\n<html>\n<b>Sign in</b>" + b" " * 2**20), "answers /v2 with 404: <html>; is it"),
        (http_response("404 x", b'{"detail": "Not Found"}'), "404: Not Found; is it .* set --protocol openai"),
    ],
    ids=["nested", "surrogate", "20-MB", "html", "openai"],
)
def test_a_control_plane_that_is_not_triton(response: bytes, message: str) -> None:
    """The message is one sentence of bounded length."""
    with raw_server(response) as port, pytest.raises(TargetError, match=message) as caught:
        HttpControlPlane(f"127.0.0.1:{port}")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_control_plane_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is on the whole answer, so a server that sends a byte now and then does not hang the start."""
    monkeypatch.setattr(http_control, "_TIMEOUT_S", 0.5)
    with dripping_server() as port, pytest.raises(TargetError, match=r"no whole answer within 0\.5 s"):
        HttpControlPlane(f"127.0.0.1:{port}")


def test_invalid_json_in_a_stream(client: ClientName, ports: dict[str, int]) -> None:
    """Server-sent events that are not JSON are an error, not a short answer."""
    with closing(client_of("http", ports["http"], BLS, stream=True, client=client)) as opened:
        answer = opened.infer(Script(fault="not_json").prompt(), 8, 5.0)
    assert (answer.outcome, answer.cause) == ("error", "an answer that is not JSON")
