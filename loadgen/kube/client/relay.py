"""Reads of a cluster's API on a port of this machine's loopback, with the credentials of the kubeconfig.

    python -m loadgen.kube.client.relay RELAY_JSON      (standard input: a lifeline, if it is a pipe)

The collector reads Prometheus, /metrics and the custom-metrics API by plain URLs. Where they are behind the API server
or a login the URLs are those of this process. It passes on nothing but GET, only below the paths that it was given, and
only for who knows its secret, as every user of a machine reaches its loopback.
"""

import json
import logging
import re
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel

from loadgen.base.errors import ExitCode, StackError
from loadgen.base.files import write_whole
from loadgen.base.stop import Stop
from loadgen.base.urls import redacted
from loadgen.kube.client.api import Api
from loadgen.kube.client.prometheus_auth import Access, Reader

_POLL_S = 0.2
_TIMEOUT_S = 5.0
_DIRECT = r"/direct/(\d+)(/api/v1/\w+(?:/\w+)*)"
_log = logging.getLogger("loadgen.kube.client.relay")


class RelayConfig(BaseModel):
    """What is passed on.

    Attributes:
        context: Context of the kubeconfig.
        secret: First part of every path.
        paths: Regular expressions, one of which a whole path of the API must match.
        proxied: The one of them that leads to Prometheus, which gets the headers of the environment.
        direct: Base URLs at which Prometheus is asked without the API server; `/direct/0/api/…` is below the first.
        access: What Prometheus wants beside its URL.
        port_file: Where to write the port.
    """

    context: str | None
    secret: str
    paths: list[str]
    proxied: str | None = None
    direct: list[str] = []
    access: Access = Access()
    port_file: Path


class Page(NamedTuple):
    """What is answered."""

    status: int
    kind: str
    body: bytes


def handler(config: RelayConfig, api: Api) -> type[BaseHTTPRequestHandler]:
    """The class that answers the requests of one relay."""
    allowed = [re.compile(path) for path in [*config.paths, *([config.proxied] if config.proxied else [])]]
    reader = Reader(config.access)

    def page(path: str, query: dict[str, str]) -> Page:
        """What a path leads to.

        Raises:
            StackError: what it leads to does not answer.
        """
        direct = re.fullmatch(_DIRECT, path)
        if direct is not None and int(direct[1]) < len(config.direct):
            said = reader.get(f"{config.direct[int(direct[1])]}{direct[2]}", query)
            return Page(said.status_code, said.headers.get("content-type", "text/plain"), said.content)
        if not any(each.fullmatch(path) for each in allowed):
            return Page(HTTPStatus.FORBIDDEN, "text/plain", b"not passed on\n")
        to_prometheus = config.proxied is not None and re.fullmatch(config.proxied, path)
        headers = config.access.tenant() if to_prometheus else {}
        # the API server's own login is in that header
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        answer = api.ask("GET", path, query, headers=headers, timeout_s=_TIMEOUT_S)
        return Page(answer.status, answer.headers.get("content-type", "text/plain"), answer.body)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30.0

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            secret, _, rest = parts.path.lstrip("/").partition("/")
            if secret != config.secret:
                self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"not passed on\n")
                return
            try:
                self._answer(*page(f"/{rest}", dict(parse_qsl(parts.query))))
            except StackError as error:
                self._answer(HTTPStatus.BAD_GATEWAY, "text/plain", f"{error}\n".encode())

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            if len(args) > 1 and str(args[1]) != "200":
                _log.info("%s", redacted(format % args))

    return Handler


def main(file: str) -> int:
    """Pass on until SIGTERM, SIGINT or the end of the lifeline."""
    stop = Stop()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    config = RelayConfig.model_validate_json(Path(file).read_bytes())
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(config, Api(config.context))) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _POLL_S}, daemon=True).start()
        write_whole(config.port_file, json.dumps(server.server_address[1]).encode())
        while stop.wait(time.monotonic() + _POLL_S) is None:
            pass
        server.shutdown()
    return int(ExitCode.PASS)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
