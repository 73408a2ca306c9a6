"""Client and CA certificates that are replaced while a process runs."""

import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from loadgen.kube.client.api import Api
from loadgen.sandbox.plane.pki import Authority, Pair
from support.kube.kubeconfigs import ExecPlugin, write_kubeconfig
from support.servers.http import ResponseHandler, serving


class Server:
    """An API server that accepts one user by certificate; a refused connection stays open, as with the real one."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.known = folder, "one"
        self._clients = Authority(folder, "clients")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(self._clients.pair.cert)
        self.authority = self.serve_with("first")

    def serve_with(self, authority: str) -> Path:
        """Serve a certificate of this authority from now on, and return the CA file."""
        own = Authority(self._folder, authority)
        pair = own.issue(f"server of {authority}", user="server", addresses=("127.0.0.1",))
        self.context.load_cert_chain(pair.cert, pair.key)
        return own.pair.cert

    def client(self, user: str) -> Pair:
        """A client certificate of a user."""
        return self._clients.issue(user, user=user)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(ResponseHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                assert isinstance(self.connection, ssl.SSLSocket)
                known = f"'{server.known}'" in str(self.connection.getpeercert())
                body = b'{"items": []}'
                self.respond(200 if known else 401, body)

        return Handler


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "pki")


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    with serving(server.handler(), server.context) as url:
        yield url


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(file))
    return file


def user(pair: Pair) -> dict[str, Any]:
    return {"client-certificate": str(pair.cert), "client-key": str(pair.key)}


def send_requests(api: Api) -> None:
    """Send a request of ours and one of the library; neither is refused."""
    assert api.get("/version") is not None
    client.CoreV1Api(api.client).list_namespaced_pod("llm")


def test_a_new_certificate_in_the_kubeconfig(server: Server, url: str, kubeconfig: Path) -> None:
    """A client of the library that was created before uses it, too."""
    write_kubeconfig(kubeconfig, authority=server.authority, user=user(server.client("one")), a=url)
    api = Api()
    core = client.CoreV1Api(api.client)
    send_requests(api)
    server.known = "two"
    write_kubeconfig(kubeconfig, authority=server.authority, user=user(server.client("two")), a=url)
    send_requests(api)
    core.list_namespaced_pod("llm")


def test_a_certificate_file_that_is_replaced(server: Server, url: str, kubeconfig: Path, tmp_path: Path) -> None:
    """The kubeconfig stays the same; the content of the file counts."""
    pair_files = Pair(cert=tmp_path / "my.crt", key=tmp_path / "my.key")

    def issue(name: str) -> None:
        pair = server.client(name)
        pair_files.cert.write_bytes(pair.cert.read_bytes())
        pair_files.key.write_bytes(pair.key.read_bytes())

    issue("one")
    write_kubeconfig(kubeconfig, authority=server.authority, user=user(pair_files), a=url)
    api = Api()
    send_requests(api)
    server.known = "two"
    issue("two")
    send_requests(api)


def test_a_plugin_that_returns_certificates(server: Server, url: str, kubeconfig: Path, tmp_path: Path) -> None:
    """A new certificate after a refusal."""
    plugin = ExecPlugin(tmp_path)

    def issue(name: str) -> None:
        pair = server.client(name)
        plugin.set_status(clientCertificateData=pair.cert.read_text(), clientKeyData=pair.key.read_text())

    issue("one")
    write_kubeconfig(kubeconfig, authority=server.authority, user=plugin.user, a=url)
    api = Api()
    send_requests(api)
    server.known = "two"
    issue("two")
    send_requests(api)
    assert plugin.runs == 2


def test_a_new_ca_of_the_cluster(server: Server, url: str, kubeconfig: Path) -> None:
    """After a certificate error, the CA is read again from the kubeconfig."""
    write_kubeconfig(kubeconfig, authority=server.authority, user=user(server.client("one")), a=url)
    api = Api()
    second = server.serve_with("second")
    write_kubeconfig(kubeconfig, authority=second, user=user(server.client("one")), a=url)
    send_requests(api)
