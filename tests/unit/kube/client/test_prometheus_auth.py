"""A Prometheus behind a login, a tenant or a certificate of its own, read through the relay, a real process."""

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
from support.servers.kubernetes_api import Server, holding, serving

TOKEN = "a-token-that-nobody-may-see"


class Prometheus:
    """A Prometheus behind a login."""

    def __init__(self) -> None:
        self.token, self.status, self.page = TOKEN, 200, b""
        self.headers: list[dict[str, str]] = []

    def handler(self) -> type[BaseHTTPRequestHandler]:
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                own.headers.append(dict(self.headers))
                status, page = own.status, own.page
                if self.headers.get("Authorization") != f"Bearer {own.token}":
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
    yield from serving(behind.handler())


def test_a_login_of_prometheus_is_passed_by_the_relay(
    behind: Prometheus,
    behind_url: str,
    sources_of: Any,
    run_dir: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Token of a file that may be replaced, tenant of the environment; neither is anywhere in the run folder."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    monkeypatch.setenv(HEADERS, "X-Scope-OrgID: tenant-of-mine\n\n")
    sources = sources_of(None, prometheus=behind_url, prometheus_token_file=file)
    assert prometheus.query(sources.prometheus.value, "/api/v1/query", query="1") == {"result": [0, "1"]}
    assert behind.headers[-1]["X-Scope-OrgID"] == "tenant-of-mine"
    behind.token = "another"
    with pytest.raises(StackError, match=r"Prometheus answers /api/v1/query with status 401: <html>$"):
        prometheus.query(sources.prometheus.value, "/api/v1/query", query="1")
    file.write_text("another")
    prometheus.query(sources.prometheus.value, "/api/v1/query", query="1")
    file.unlink()
    with pytest.raises(StackError, match=r"with status 502: the token file .*/token cannot be read: No such file"):
        prometheus.query(sources.prometheus.value, "/api/v1/query", query="1")
    asked = f"{sources.prometheus.value}/api/v1/query"
    for url in (asked.replace("/v1/query", "/v1/%2e%2e/admin"), asked.replace("/direct/0", "/direct/1")):
        assert requests.get(url, timeout=5).status_code == 403
    for word in (TOKEN, "another", "tenant-of-mine"):
        assert holding(run_dir.path, word) == []


def test_a_redirection_to_a_login_is_not_followed(
    behind: Prometheus, behind_url: str, sources_of: Any, tmp_path: Path
) -> None:
    """The token goes nowhere else, and what came is told."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    behind.status, behind.page = 302, b"<a href=x>Found</a>\nand more"
    with pytest.raises(TargetError, match=r"cannot be queried from here: .* with status 302: <a href=x>Found</a>$"):
        sources_of(None, prometheus=behind_url, prometheus_token_file=file)


@pytest.mark.parametrize(
    ("text", "why"), [("", "has no token"), ("two words", "more than one"), (None, "No such file")]
)
def test_a_token_that_is_not_there_is_told_before_the_load(
    sources_of: Any, tmp_path: Path, text: str | None, why: str
) -> None:
    """By the file's name; what is in it is not repeated."""
    if text is not None:
        (tmp_path / "token").write_text(text)
    with pytest.raises(TargetError, match=why) as error:
        sources_of(None, prometheus_token_file=tmp_path / "token")
    assert "two words" not in str(error.value)


def test_a_header_that_is_none_is_told_without_its_words(sources_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a secret."""
    monkeypatch.setenv(HEADERS, "X-Key: ok\nwords-without-a-colon")
    with pytest.raises(TargetError, match=f"{HEADERS} has a line that is no header") as error:
        sources_of(None)
    assert "words" not in str(error.value)


def test_https_of_a_service_goes_through_the_api_server(
    played: Server, sources_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `https:NAME:PORT`, with the tenant's header but never with another login than the API server's."""
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
    for url in serving(behind.handler(), context):
        yield url.replace("http:", "https:")


@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_of_its_own_is_trusted_by_the_file_that_was_named(
    secure_url: str, authority: Authority, sources_of: Any, tmp_path: Path, trusted: bool
) -> None:
    """And by no other: without it the run does not begin."""
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
