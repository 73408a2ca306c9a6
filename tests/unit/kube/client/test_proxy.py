"""Proxies and logins in front of the API server, as kubectl treats the former and never meets the latter unnamed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes.client import rest

from loadgen.base.errors import StackError
from loadgen.kube.client.api import Api
from support.servers.http import ResponseHandler, serving
from support.servers.kubernetes_api import Server, write_contexts
from support.servers.proxy import Proxy, proxy_to

DEAD = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    with proxy_to(int(url.rpartition(":")[2])) as running:
        yield running


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    file = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(file))

    def write(server: str, **cluster: str) -> Path:
        write_contexts(file, server, "first")
        config = yaml.safe_load(file.read_text())
        for each in config["clusters"]:
            each["cluster"] |= {name.replace("_", "-"): value for name, value in cluster.items()}
        file.write_text(yaml.safe_dump(config))
        return file

    return write


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_an_api_server_on_loopback_has_no_proxy(
    url: str, kubeconfig: Callable[..., Path], host: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As kubectl, with a dead proxy in the environment and another host in NO_PROXY."""
    monkeypatch.setenv(variable, DEAD)
    monkeypatch.setenv("NO_PROXY", "corp.example")
    kubeconfig(url.replace("127.0.0.1", host))
    api = Api()
    assert api.get("/version") == {"gitVersion": "v1.37.1"}
    # what the library's WebSocket client goes by for a port-forward
    assert api.configuration.no_proxy == f"corp.example,{host}"


def test_another_api_server_is_reached_through_the_proxy(
    proxy: Proxy, kubeconfig: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless NO_PROXY lists it."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    kubeconfig("http://api.example:6443")
    assert Api().get("/version") == {"gitVersion": "v1.37.1"}
    assert proxy.requests == ["GET http://api.example:6443/version HTTP/1.1"]
    monkeypatch.setenv("NO_PROXY", ".example")
    configuration = Api().configuration
    assert configuration.no_proxy == ".example,api.example"
    assert rest.should_bypass_proxies(configuration.host, configuration.no_proxy)


def test_the_proxy_url_of_a_cluster_goes_before_the_environment(
    proxy: Proxy, kubeconfig: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the address, and whatever NO_PROXY says: it was written for this cluster."""
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    monkeypatch.setenv("NO_PROXY", "*")
    kubeconfig("http://127.0.0.1:6443", proxy_url=proxy.url)
    assert Api().get("/version") == {"gitVersion": "v1.37.1"}
    assert proxy.requests == ["GET http://127.0.0.1:6443/version HTTP/1.1"]


def test_a_dead_proxy_is_named(kubeconfig: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the password in its URL."""
    monkeypatch.setenv("HTTP_PROXY", "http://user:pa55word@127.0.0.1:1")
    kubeconfig("http://api.example:6443")
    with pytest.raises(
        StackError, match=r"cannot reach .*api\.example:6443 through the proxy http://127\.0\.0\.1:1: "
    ) as caught:
        Api().get("/version")
    assert "pa55word" not in str(caught.value)


PAGE = b"<!DOCTYPE html>\n<html><title>Log in</title></html>"


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (200, PAGE, "200 with a web page"),
        (200, b"", "200 with no object of Kubernetes"),
        (200, b"[1]", "200 with no object of Kubernetes"),
        (200, b"null", "200 with no object of Kubernetes"),
        (200, b"[" * 100_000, "200 with no object of Kubernetes"),
        (302, b"", "302 with no object of Kubernetes"),
        (401, PAGE, "401 with a web page"),
        (503, PAGE, "503 with a web page"),
    ],
    ids=["page", "empty", "list", "null", "nested", "redirect", "401", "503"],
)
def test_a_login_in_front_of_the_api_server(
    server: Server, url: str, kubeconfig: Callable[..., Path], status: int, body: bytes, what: str
) -> None:
    """One sentence with what to do, from every kind of request."""
    kubeconfig(url)
    server.raw["/version"] = (status, body)
    api = Api()
    for request in (api.get, api.items):
        with pytest.raises(
            StackError, match=rf"{what}: a login or a proxy answers .*HTTPS_PROXY and NO_PROXY"
        ) as caught:
            request("/version")
        assert "\n" not in str(caught.value)


def reviewed(body: bytes, kubeconfig: Callable[..., Path]) -> bool:
    """Ask for a review of a permission where a page answers each POST with 201."""

    class Login(ResponseHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.respond(201, body)

    with serving(Login) as url:
        kubeconfig(url)
        return Api().allowed("list", "pods", namespace="llm")


def test_a_login_in_place_of_a_review(kubeconfig: Callable[..., Path]) -> None:
    """It grants nothing, and a web page is named as such."""
    assert [reviewed(body, kubeconfig) for body in (b"{}", b'{"status": "x"}', b'{"status": {}}')] == [False] * 3
    with pytest.raises(StackError, match="201 with a web page: a login or a proxy answers"):
        reviewed(PAGE, kubeconfig)
