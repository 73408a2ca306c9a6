"""HTTP clients: how streams end, token counts, connections and TLS. Needs only loopback."""

import os
import resource
import shutil
import ssl
import subprocess
import threading
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from geventhttpclient.connectionpool import SSLConnectionPool

from loadgen.protocols.reference import Script
from loadgen.protocols.triton_http import HttpClient, tls_context
from support.servers.raw import raw_server
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
def test_ends_of_http_streams(response: bytes, outcome: str, cause: str | None, tokens: int) -> None:
    """Every event counts, even the last one without a line feed; a stream without a declared end was cut off."""
    with raw_server(EVENTS + response) as port, closing(client_of("http", port, BLS, stream=True)) as client:
        answer = client.infer("x", 8, 5.0)
    assert (answer.outcome, answer.output_tokens) == (outcome, tokens)
    assert (cause or "") in (answer.cause or "")


@pytest.mark.parametrize(("count", "tokens"), [("7", 7), ("[5, 7]", 7), ('"7"', 7), (str(2**40), None), ("-1", None)])
def test_http_count_of_tokens(count: str, tokens: int | None) -> None:
    """A count beyond the range of the requests table is not recorded; the request still succeeds."""
    body = b'{"text_output": "x", "num_output_tokens": %s}' % count.encode()
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with raw_server(response) as port, closing(client_of("http", port, BLS, stream=False)) as client:
        answer = client.infer("x", 8, 5.0)
    assert (answer.outcome, answer.output_tokens) == ("ok", tokens)


def test_connections_are_kept_beyond_1024_open_files(ports: dict[str, int]) -> None:
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
        with closing(client_of("http", ports["http"], BLS, stream=True)) as client:
            for _ in range(3):
                assert client.infer(Script().prompt(), 8, 5.0).outcome == "ok"
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


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl program makes the test's certificate")
def test_https_clients_share_one_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates are loaded once per process rather than once per connection; every connection is verified."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer(("127.0.0.1", 0), _Secure) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        outcomes = []
        for trusted in (str(certificate), SSLConnectionPool.default_options["ca_certs"]):
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


def test_invalid_json_in_a_stream(ports: dict[str, int]) -> None:
    """Server-sent events that are not JSON are an error, not a short answer."""
    with closing(client_of("http", ports["http"], BLS, stream=True)) as client:
        answer = client.infer(Script(fault="not_json").prompt(), 8, 5.0)
    assert (answer.outcome, answer.cause) == ("error", "an answer that is not JSON")
