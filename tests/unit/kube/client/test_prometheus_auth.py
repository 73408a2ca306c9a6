"""A Prometheus that requires a token, a tenant header or a private CA, read through a real relay process."""

import json
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests

from loadgen.base.errors import StackError, TargetError
from loadgen.dataset.folder import RunFolder
from loadgen.kube.client.prometheus_auth import HEADERS
from loadgen.kube.discover import prometheus
from loadgen.sandbox.plane.pki import Authority
from support.servers.http import serving
from support.servers.kubernetes_api import Server, files_containing

TOKEN = "a-secret-token"


class Prometheus:
    """A Prometheus that requires a bearer token."""

    def __init__(self) -> None:
        self.token, self.status, self.page = TOKEN, 200, b""
        self.headers: list[dict[str, str]] = []

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.headers.append(dict(self.headers))
                status, page = server.status, server.page
                if self.headers.get("Authorization") != f"Bearer {server.token}":
                    status, page = 401, b"<html>\nUnauthorized"
                elif not page:
                    page = json.dumps({"status": "success", "data": {"result": [0, "1"]}}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def behind() -> Prometheus:
    return Prometheus()


@pytest.fixture
def behind_url(behind: Prometheus) -> Iterator[str]:
    with serving(behind.handler()) as url:
        yield url


def test_the_relay_authenticates_to_prometheus(
    behind: Prometheus,
    behind_url: str,
    sources_of: Any,
    run_dir: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a token from a file that may be replaced and a tenant from the environment; neither is in the run folder."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    monkeypatch.setenv(HEADERS, "X-Scope-OrgID: my-tenant\n\n")
    sources = sources_of(None, prometheus=behind_url, prometheus_token_file=file)
    assert prometheus.query(sources.prometheus.value, "/api/v1/query", query="1") == {"result": [0, "1"]}
    assert behind.headers[-1]["X-Scope-OrgID"] == "my-tenant"
    behind.token = "another"
    with pytest.raises(StackError, match=r"Prometheus answers /api/v1/query with status 401: <html>$"):
        prometheus.query(sources.prometheus.value, "/api/v1/query", query="1")
    file.write_text("another")
    prometheus.query(sources.prometheus.value, "/api/v1/query", query="1")
    file.unlink()
    with pytest.raises(StackError, match=r"with status 502: cannot read the token file .*/token: No such file"):
        prometheus.query(sources.prometheus.value, "/api/v1/query", query="1")
    asked = f"{sources.prometheus.value}/api/v1/query"
    for url in (asked.replace("/v1/query", "/v1/%2e%2e/admin"), asked.replace("/direct/0", "/direct/1")):
        assert requests.get(url, timeout=5).status_code == 403
    for secret in (TOKEN, "another", "my-tenant"):
        assert files_containing(run_dir.path, secret) == []


def test_redirects_to_a_login_page_are_not_followed(
    behind: Prometheus, behind_url: str, sources_of: Any, tmp_path: Path
) -> None:
    """The token is not sent anywhere else, and the error quotes the page."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    behind.status, behind.page = 302, b"<a href=x>Found</a>\nand more"
    with pytest.raises(TargetError, match=r"cannot be queried from here: .* with status 302: <a href=x>Found</a>$"):
        sources_of(None, prometheus=behind_url, prometheus_token_file=file)


@pytest.mark.parametrize(
    ("text", "reason"), [("", "exactly one token"), ("two words", "exactly one token"), (None, "No such file")]
)
def test_an_invalid_token_file_is_an_error_before_the_load(
    sources_of: Any, tmp_path: Path, text: str | None, reason: str
) -> None:
    """The message names the file and does not quote it."""
    if text is not None:
        (tmp_path / "token").write_text(text)
    with pytest.raises(TargetError, match=reason) as error:
        sources_of(None, prometheus_token_file=tmp_path / "token")
    assert "two words" not in str(error.value)


def test_an_invalid_header_is_an_error_that_does_not_quote_it(sources_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may contain a secret."""
    monkeypatch.setenv(HEADERS, "X-Key: ok\nwords-without-a-colon")
    with pytest.raises(TargetError, match=f"{HEADERS} has an invalid line") as error:
        sources_of(None)
    assert "words" not in str(error.value)


def test_a_service_with_https_is_read_through_the_api_server(
    played: Server, sources_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `https:NAME:PORT`, with the tenant header, but always with the API server's own Authorization header."""
    monkeypatch.setenv(HEADERS, "X-Scope-OrgID: mine\nAuthorization: Basic x")
    proxy = "/api/v1/namespaces/mon/services/https:prometheus:443/proxy"
    played.pages[f"{proxy}/api/v1/query"] = {"status": "success", "data": {}}
    ports = [{"name": "web", "port": 443}]
    played.pages["/api/v1/services"] = {
        "items": [
            {"metadata": {"namespace": "mon", "name": "prometheus"}, "spec": {"ports": ports, "clusterIP": "None"}}
        ]
    }
    sources = sources_of(None)
    assert sources.prometheus.value is not None
    assert sources.prometheus.value.endswith(proxy)
    assert played.headers[-1]["X-Scope-OrgID"] == "mine"
    assert {name.lower(): value for name, value in played.headers[-1].items()}["authorization"] == "Bearer first"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki", "ca")


@pytest.fixture
def secure_url(behind: Prometheus, authority: Authority) -> Iterator[str]:
    pair = authority.issue("prometheus", user="prometheus", addresses=("127.0.0.1",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    with serving(behind.handler(), context) as url:
        yield url


@pytest.mark.parametrize("trusted", [True, False])
def test_a_private_ca_is_trusted_by_the_configured_file(
    secure_url: str, authority: Authority, sources_of: Any, tmp_path: Path, trusted: bool
) -> None:
    """Without that file the run does not start."""
    (tmp_path / "token").write_text(TOKEN)
    files = {"prometheus_ca_file": authority.pair.cert} if trusted else {}
    settings = {"prometheus": secure_url, "prometheus_token_file": tmp_path / "token", **files}
    if trusted:
        assert prometheus.query(sources_of(None, **settings).prometheus.value, "/api/v1/query", query="1") == {
            "result": [0, "1"]
        }
    else:
        with pytest.raises(TargetError, match="certificate verify failed"):
            sources_of(None, **settings)
