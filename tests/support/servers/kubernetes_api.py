"""A simulated Kubernetes API server, reached over real connections."""

import json
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from support.kube.kubeconfigs import write_kubeconfig
from support.servers.http import ResponseHandler

RULES = {("list", "pods", ""), ("watch", "pods", ""), ("get", "pods", "proxy")}


class Server:
    """Serves documents by path; accepts one token, and its clock may be skewed."""

    def __init__(self) -> None:
        self.token, self.ahead_s = "first", 0.0
        self.pages: dict[str, Any] = {"/version": {"gitVersion": "v1.37.1"}}
        self.raw: dict[str, tuple[int, bytes]] = {}
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.allowed = set(RULES)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(ResponseHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.requests.append(self.path)
                server.headers.append(dict(self.headers))
                path = self.path.partition("?")[0]
                if path in server.raw:
                    self._send(*server.raw[path])
                    return
                page = server.pages.get(path)
                self._respond(200 if page is not None else 404, page or {"message": "not found"})

            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                attributes = review["spec"]["resourceAttributes"]
                allowed = (attributes["verb"], attributes["resource"], attributes["subresource"]) in server.allowed
                self._respond(201, {"status": {"allowed": allowed}})

            def _respond(self, status: int, document: Any) -> None:
                if self.headers.get("Authorization") != f"Bearer {server.token}":
                    status, document = 401, {"message": "Unauthorized"}
                self._send(status, json.dumps(document).encode())

            def _send(self, status: int, body: bytes) -> None:
                self.respond(status, body, Date=formatdate(time.time() + server.ahead_s, usegmt=True))

        return Handler


def write_contexts(file: Path, url: str, token: str) -> None:
    """Write a kubeconfig with the contexts `one` (current, namespace `llm`) and `two` of one cluster."""
    write_kubeconfig(file, "one", user={"token": token}, namespaces={"one": "llm"}, one=url, two=url)


def files_containing(path: Path, text: str) -> list[Path]:
    """Return the files below a folder that contain a text."""
    return [file for file in path.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]
