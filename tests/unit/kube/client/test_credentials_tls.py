"""Certificates of a cluster's client and authority that are replaced while a process runs."""

import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from loadgen.kube.client.api import Api
from loadgen.sandbox.plane.pki import Authority, Pair
from support.kube.kubeconfigs import Answering, Plugin, serving, write


class Server:
    """An API server that knows one user by the certificate; a refused connection stays open, as the real one's."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.known = folder, "one"
        self._clients = Authority(folder, "clients")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(self._clients.pair.cert)
        self.authority = self.served_by("first")

    def served_by(self, authority: str) -> Path:
        """Serve by a certificate of this authority from now on; its file."""
        own = Authority(self._folder, authority)
        pair = own.issue(f"server of {authority}", user="server", addresses=("127.0.0.1",))
        self.context.load_cert_chain(pair.cert, pair.key)
        return own.pair.cert

    def client(self, user: str) -> Pair:
        """A certificate of a user."""
        return self._clients.issue(user, user=user)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(Answering):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                assert isinstance(self.connection, ssl.SSLSocket)
                known = f"'{server.known}'" in str(self.connection.getpeercert())
                body = b'{"items": []}'
                self.answer(200 if known else 401, body)

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


def ask(api: Api) -> None:
    """By our own question and by the library's: neither is refused."""
    assert api.get("/version") is not None
    client.CoreV1Api(api.client).list_namespaced_pod("llm")


def test_another_certificate_in_the_kubeconfig(server: Server, url: str, kubeconfig: Path) -> None:
    """Also for who holds the library's client since before."""
    write(kubeconfig, authority=server.authority, user=user(server.client("one")), a=url)
    api = Api()
    held = client.CoreV1Api(api.client)
    ask(api)
    server.known = "two"
    write(kubeconfig, authority=server.authority, user=user(server.client("two")), a=url)
    ask(api)
    held.list_namespaced_pod("llm")


def test_a_certificate_that_is_replaced_under_its_name(
    server: Server, url: str, kubeconfig: Path, tmp_path: Path
) -> None:
    """The kubeconfig is the same: what is in the file counts."""
    mine = Pair(cert=tmp_path / "my.crt", key=tmp_path / "my.key")

    def become(name: str) -> None:
        pair = server.client(name)
        mine.cert.write_bytes(pair.cert.read_bytes())
        mine.key.write_bytes(pair.key.read_bytes())

    become("one")
    write(kubeconfig, authority=server.authority, user=user(mine), a=url)
    api = Api()
    ask(api)
    server.known = "two"
    become("two")
    ask(api)


def test_a_plugin_that_gives_certificates(server: Server, url: str, kubeconfig: Path, tmp_path: Path) -> None:
    """Another one each time."""
    plugin = Plugin(tmp_path)

    def become(name: str) -> None:
        pair = server.client(name)
        plugin.gives(clientCertificateData=pair.cert.read_text(), clientKeyData=pair.key.read_text())

    become("one")
    write(kubeconfig, authority=server.authority, user=plugin.user, a=url)
    api = Api()
    ask(api)
    server.known = "two"
    become("two")
    ask(api)
    assert plugin.runs == 2


def test_another_authority_of_the_cluster(server: Server, url: str, kubeconfig: Path) -> None:
    """A server that is not trusted any more may be one of a new authority, which the kubeconfig has by now."""
    write(kubeconfig, authority=server.authority, user=user(server.client("one")), a=url)
    api = Api()
    second = server.served_by("second")
    write(kubeconfig, authority=second, user=user(server.client("one")), a=url)
    ask(api)
