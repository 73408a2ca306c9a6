"""A gateway in front of the reference server's answers: credentials, a path and TLS, over both protocols."""

import ssl
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import trustme
from tritonclient.grpc import service_pb2_grpc

from loadgen.protocols import reference


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """PEM files: a CA, and a certificate for `name` with its key in the same file."""

    ca: str
    server: str
    client: str


def make_certificates(folder: Path, name: str = "localhost") -> Certificates:
    """Make a CA, and with it certificates of a server and of a client."""
    authority = trustme.CA()
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    files = {}
    for owner, subject in (("server", name), ("client", "tester")):
        pem = folder / f"{owner}.pem"
        certificate = authority.issue_cert(subject, common_name=subject)
        certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
        files[owner] = str(pem)
    return Certificates(ca=str(ca), **files)


@dataclass(kw_only=True)
class Gateway:
    """What a gateway demands, and what it got.

    Attributes:
        secret: Value that the header `X-Key` must have; without the header the answer is 401, with another value 403.
        path: Path below which it serves.
        hosts: Host or authority of each request.
        ports: Port by protocol.
    """

    secret: str | None = None
    path: str = ""
    hosts: list[str] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)

    def status(self, key: str | None) -> int:
        if self.secret is None or key == self.secret:
            return 200
        return 401 if key is None else 403


@contextmanager
def serve_gateway(gateway: Gateway, certificates: Certificates | None = None) -> Iterator[Gateway]:
    """Serve until the end of the `with` block; with certificates over TLS, which then needs the client's."""

    class Handler(reference._Http):
        def parse_request(self) -> bool:
            if not super().parse_request():
                return False
            gateway.hosts.append(str(self.headers["Host"]))
            status = gateway.status(self.headers["X-Key"])
            if status == 200 and self.path.startswith(gateway.path):
                self.path = self.path.removeprefix(gateway.path)
                return True
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self._json(status if status != 200 else 404, {"error": f"key {self.headers['X-Key']}"})
            return False

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.daemon_threads = True
    rpc = grpc.server(futures.ThreadPoolExecutor(8), interceptors=[_Interceptor(gateway)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(reference._Grpc(decoupled=True), rpc)
    if certificates is None:
        rpc_port = rpc.add_insecure_port("127.0.0.1:0")
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server)
        context.load_verify_locations(certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        web.socket = context.wrap_socket(web.socket, server_side=True, do_handshake_on_connect=False)
        pem, ca = Path(certificates.server).read_bytes(), Path(certificates.ca).read_bytes()
        credentials = grpc.ssl_server_credentials([(pem, pem)], ca, require_client_auth=True)
        rpc_port = rpc.add_secure_port("127.0.0.1:0", credentials)
    rpc.start()
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    gateway.ports = {"http": web.server_port, "grpc": rpc_port}
    try:
        yield gateway
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
        rpc.stop(None).wait()


class _Interceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # untyped library
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def intercept_service(self, continuation: Any, call: Any) -> Any:
        metadata = dict(call.invocation_metadata)
        status = self._gateway.status(metadata.get("x-key"))
        if status != 200 or not call.method.startswith(self._gateway.path):
            codes = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED}
            return _aborting(codes.get(status, grpc.StatusCode.UNIMPLEMENTED), f"key {metadata.get('x-key')}")
        handler = continuation(_Call(call.method.removeprefix(self._gateway.path), call.invocation_metadata))
        self._gateway.hosts.append("")
        return handler


@dataclass(frozen=True)
class _Call(grpc.HandlerCallDetails):  # type: ignore[misc]  # untyped library
    method: str
    invocation_metadata: Any


def _aborting(code: Any, details: str) -> Any:
    return grpc.unary_unary_rpc_method_handler(lambda _, context: context.abort(code, details))
