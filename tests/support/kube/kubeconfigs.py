"""Kubeconfigs for tests, an exec plugin, and simulated API servers on the loopback interface."""

import json
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PLUGIN = f"""#!{sys.executable}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "runs").open("a") as runs:
    runs.write("x")
if not (here / "status.json").exists():
    sys.exit("the session has expired")
status = json.loads((here / "status.json").read_text())
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""


class ExecPlugin:
    """An exec credential plugin that returns a configured status and counts its runs."""

    def __init__(self, folder: Path) -> None:
        self.file, self._folder = folder / "plugin", folder
        self.file.write_text(PLUGIN)
        self.file.chmod(0o755)

    def set_status(self, **status: Any) -> None:
        """Set the status that it returns; without one it fails like an expired session."""
        if status:
            (self._folder / "status.json").write_text(json.dumps(status))
        else:
            (self._folder / "status.json").unlink(missing_ok=True)

    @property
    def user(self) -> dict[str, Any]:
        """A user of a kubeconfig with this plugin."""
        version = "client.authentication.k8s.io/v1"
        return {"exec": {"apiVersion": version, "command": str(self.file), "interactiveMode": "Never"}}

    @property
    def runs(self) -> int:
        """How often it was run."""
        file = self._folder / "runs"
        return len(file.read_text()) if file.exists() else 0


class ResponseHandler(BaseHTTPRequestHandler):
    """A request handler that sends whole responses and does not log."""

    def respond(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(kind: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def write(
    file: Path,
    current: str | None = "a",
    *,
    user: dict[str, Any] | None = None,
    authority: Path | None = None,
    **servers: str,
) -> None:
    """Write a kubeconfig with one context per server."""
    trust = {"certificate-authority": str(authority)} if authority else {}
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url, **trust}} for name, url in servers.items()],
        "users": [{"name": "u", "user": user or {"token": "first"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "u"}} for name in servers],
    }
    if current is not None:
        document["current-context"] = current
    file.write_text(json.dumps(document))
