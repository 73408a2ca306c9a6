"""A server that answers as a cluster's API, over a real connection."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.kube.kubeconfigs import Answering

RULES = {("list", "pods", ""), ("watch", "pods", ""), ("get", "pods", "proxy")}


class Server:
    """Answers paths with documents; knows one token, and may have a clock of its own."""

    def __init__(self) -> None:
        self.token, self.ahead_s = "first", 0.0
        self.pages: dict[str, Any] = {"/version": {"gitVersion": "v1.37.1"}}
        self.raw: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.allowed = set(RULES)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(Answering):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.headers.append(dict(self.headers))
                path = self.path.partition("?")[0]
                if path in server.raw:
                    self._send(*server.raw[path])
                    return
                page = server.pages.get(path)
                self._say(200 if page is not None else 404, page or {"message": "not there"})

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                wanted = asked["spec"]["resourceAttributes"]
                allowed = (wanted["verb"], wanted["resource"], wanted["subresource"]) in server.allowed
                self._say(201, {"status": {"allowed": allowed}})

            def _say(self, status: int, document: Any) -> None:
                if self.headers.get("Authorization") != f"Bearer {server.token}":
                    status, document = 401, {"message": "Unauthorized"}
                self._send(status, json.dumps(document).encode())

            def _send(self, status: int, body: bytes) -> None:
                self.answer(status, body, Date=formatdate(time.time() + server.ahead_s, usegmt=True))

        return Handler


def serving(kind: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def write(file: Path, url: str, token: str) -> None:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "llm"}},
            {"name": "two", "context": {"cluster": "c", "user": "u"}},
        ],
        "current-context": "one",
    }
    file.write_text(json.dumps(document))


def holding(path: Path, word: str) -> list[Path]:
    """The files below a folder that have a word in them."""
    return [file for file in path.rglob("*") if file.is_file() and word.encode() in file.read_bytes()]
