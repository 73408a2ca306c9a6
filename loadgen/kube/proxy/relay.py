"""Relays GET requests from a port on the loopback interface to the Kubernetes API and to Prometheus.

    python -m loadgen.kube.proxy.relay RELAY_JSON      (standard input: a lifeline, if it is a pipe)

The collector reads Prometheus, /metrics and the custom-metrics API by plain URLs. Where those need credentials, the
collector reads them through this process, which adds the credentials of the kubeconfig or of Prometheus. The relay
forwards only GET requests, only below the configured paths, and only with its secret in the path, since every user of
the machine can reach the loopback interface.
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
from loadgen.base.urls import redacted, redacted_bytes
from loadgen.kube.client.api import Api
from loadgen.kube.client.prometheus_auth import PrometheusAuth, PrometheusSession

_POLL_S = 0.2
_TIMEOUT_S = 5.0
_DIRECT = r"/direct/(\d+)(/api/v1/\w+(?:/\w+)*)"
_log = logging.getLogger("loadgen.kube.proxy.relay")


class RelayConfig(BaseModel):
    """The paths and URLs to relay.

    Attributes:
        context: Context of the kubeconfig.
        secret: First segment of every path.
        paths: Regular expressions for paths of the Kubernetes API; one of them must match the whole path.
        prometheus_path: Another one, for Prometheus behind the API server's proxy; its requests get the extra headers
            of `auth`.
        prometheus_urls: Base URLs of Prometheus outside of the API server; `/direct/0/api/…` is below the first.
        auth: Authentication to Prometheus.
        port_file: Where to write the port.
    """

    context: str | None
    secret: str
    paths: list[str]
    prometheus_path: str | None = None
    prometheus_urls: list[str] = []
    auth: PrometheusAuth = PrometheusAuth()
    port_file: Path


class Response(NamedTuple):
    """A response of the relay."""

    status: int
    content_type: str
    body: bytes


_FORBIDDEN = Response(HTTPStatus.FORBIDDEN, "text/plain", b"path not relayed\n")


def handler(config: RelayConfig, api: Api) -> type[BaseHTTPRequestHandler]:
    """Return the request handler class of a relay."""
    paths = [*config.paths, *([config.prometheus_path] if config.prometheus_path else [])]
    allowed = [re.compile(path) for path in paths]
    session = PrometheusSession(config.auth)

    def respond(path: str, query: dict[str, str]) -> Response:
        """Forward a request.

        Raises:
            StackError: the API or Prometheus does not respond.
        """
        direct = re.fullmatch(_DIRECT, path)
        if direct is not None and int(direct[1]) < len(config.prometheus_urls):
            page = session.get(f"{config.prometheus_urls[int(direct[1])]}{direct[2]}", query)
            return Response(page.status_code, page.headers.get("content-type", "text/plain"), page.content)
        if not any(each.fullmatch(path) for each in allowed):
            return _FORBIDDEN
        to_prometheus = config.prometheus_path is not None and re.fullmatch(config.prometheus_path, path)
        headers = config.auth.extra_headers() if to_prometheus else {}
        # the Authorization header is for the API server
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        response = api.request("GET", path, query, headers=headers, timeout_s=_TIMEOUT_S)
        return Response(response.status, response.headers.get("content-type", "text/plain"), response.body)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30.0

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            secret, _, rest = parts.path.lstrip("/").partition("/")
            if secret != config.secret:
                self._send(_FORBIDDEN)
                return
            try:
                self._send(respond(f"/{rest}", dict(parse_qsl(parts.query))))
            except StackError as error:
                self._send(Response(HTTPStatus.BAD_GATEWAY, "text/plain", f"{error}\n".encode()))

        def _send(self, response: Response) -> None:
            body = redacted_bytes(response.body)  # a server may repeat the credentials in its message
            self.send_response(response.status)
            self.send_header("Content-Type", response.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            if len(args) > 1 and str(args[1]) != "200":
                _log.info("%s", redacted(format % args))

    return Handler


def main(file: str) -> int:
    """Relay until SIGTERM, SIGINT or the end of the lifeline."""
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
