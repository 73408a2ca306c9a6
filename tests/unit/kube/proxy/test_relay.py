"""The relay forwards GET requests for configured paths, and nothing else."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from loadgen.base import urls
from loadgen.kube.client.api import Api
from loadgen.kube.proxy.relay import RelayConfig, handler
from support.servers.http import serving
from support.servers.kubernetes_api import Server


@pytest.fixture
def relay(played: Server, tmp_path: Path) -> Iterator[str]:
    played.pages["/apis/custom/pods/*/ratio"] = {"items": []}
    config = RelayConfig(
        context=None, secret="s3", paths=[r"/apis/custom/pods/\*/\w+", "/gone"], port_file=tmp_path / "port"
    )
    with serving(handler(config, Api())) as url:
        yield url


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def test_the_relay_forwards_configured_paths(played: Server, relay: str) -> None:
    """With the credentials of the kubeconfig and the query; the status is that of the API."""
    with urllib.request.urlopen(f"{relay}/s3/apis/custom/pods/*/ratio?labelSelector=a%3Db", timeout=5) as answer:
        assert json.load(answer) == {"items": []}
    assert played.requests[-1] == "/apis/custom/pods/*/ratio?labelSelector=a%3Db"
    assert status(f"{relay}/s3/gone") == 404


def test_a_token_that_the_api_repeats_does_not_reach_the_collector(
    played: Server, relay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector would log the message."""
    monkeypatch.setattr(urls, "_secrets", {"a-token-of-a-cluster"})
    played.pages["/apis/custom/pods/*/ratio"] = {"message": "invalid: Bearer a-token-of-a-cluster"}
    with urllib.request.urlopen(f"{relay}/s3/apis/custom/pods/*/ratio", timeout=5) as answer:
        assert json.load(answer) == {"message": "invalid: Bearer ..."}


@pytest.mark.parametrize(
    "path", ["/s3/api/v1/secrets", "/s3/apis/custom/pods/*/ratio/../../secrets", "/other/gone", "/gone", "/", "//gone"]
)
def test_the_relay_refuses_everything_else(played: Server, relay: str, path: str) -> None:
    """Other paths and requests without the secret do not reach the API."""
    requests = len(played.requests)
    assert status(f"{relay}{path}") == 403
    assert len(played.requests) == requests
