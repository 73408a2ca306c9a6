"""The relay forwards GET requests for configured paths, and nothing else."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from loadgen.kube.client.api import Api
from loadgen.kube.proxy.relay import RelayConfig, handler
from support.servers.kubernetes_api import Server, serving, write


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    yield from serving(server.handler())


@pytest.fixture
def kubeconfig(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(file))
    write(file, url, "first")
    return file


@pytest.fixture
def relay(server: Server, kubeconfig: Path, tmp_path: Path) -> Iterator[str]:
    server.pages["/apis/custom/pods/*/ratio"] = {"items": []}
    config = RelayConfig(
        context=None, secret="s3", paths=[r"/apis/custom/pods/\*/\w+", "/gone"], port_file=tmp_path / "port"
    )
    yield from serving(handler(config, Api()))


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def test_the_relay_forwards_configured_paths(server: Server, relay: str) -> None:
    """With the credentials of the kubeconfig and the query; the status is that of the API."""
    with urllib.request.urlopen(f"{relay}/s3/apis/custom/pods/*/ratio?labelSelector=a%3Db", timeout=5) as answer:
        assert json.load(answer) == {"items": []}
    assert server.requests[-1] == "/apis/custom/pods/*/ratio?labelSelector=a%3Db"
    assert status(f"{relay}/s3/gone") == 404


@pytest.mark.parametrize(
    "path", ["/s3/api/v1/secrets", "/s3/apis/custom/pods/*/ratio/../../secrets", "/other/gone", "/gone", "/", "//gone"]
)
def test_the_relay_refuses_everything_else(server: Server, relay: str, path: str) -> None:
    """Other paths and requests without the secret do not reach the API."""
    requests = len(server.requests)
    assert status(f"{relay}{path}") == 403
    assert len(server.requests) == requests
