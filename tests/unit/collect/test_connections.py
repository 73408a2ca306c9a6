"""The collector reads the server behind a URL target as the load does: with its headers, trust and proxy."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.base.clock import Clock
from loadgen.base.connection import DIRECT, Connection
from loadgen.base.errors import CollectError, SettingsError
from loadgen.collect.connections import connection_to, from_environment, session_to, to_environment
from loadgen.collect.prometheus import PrometheusReader
from loadgen.collect.raw import fetch
from loadgen.collect.scrape_targets import UrlTargets
from loadgen.collect.signals import queried
from loadgen.dataset.folder import RunFolder
from support.runs.tables import info
from support.servers.http import ResponseHandler, serving
from support.servers.proxy import proxy_to

SECRET = "s3cret-value"
KEY = Connection(headers=(("X-Key", SECRET), ("Authorization", f"Bearer {SECRET}")))


class Handler(ResponseHandler):
    """Demands a header; `/login` answers with a web page, `/echo` repeats the header in an error."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        type(self).seen.append(dict(self.headers))
        key = self.headers["X-Key"]
        if self.path.startswith("/login"):
            self.respond(200, b"<!DOCTYPE html>\n<html>log in</html>\n", **{"Content-Type": "text/html"})
        elif self.path.startswith("/echo"):
            self.respond(500, f"key {key}".encode())
        elif self.path.startswith("/away"):
            self.respond(302, b"", Location="http://127.0.0.1:1/")
        elif key != SECRET:
            self.respond(401 if key is None else 403, b"no")
        else:
            body = {"status": "success", "data": {"resultType": "matrix", "result": []}}
            self.respond(200, json.dumps(body).encode() if "query" in self.path else b"a 1\n")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Handler.seen = []
    with serving(Handler) as url:
        yield url


def test_a_metrics_page_behind_credentials(server: str) -> None:
    """With the headers of the target; without or with wrong ones, the message names the flag."""
    assert fetch(f"{server}/metrics", 5.0, connection=KEY) == "a 1\n"
    for headers, says in (((), "status 401: give credentials with --header"), ((("X-Key", "x"),), "check --header")):
        with pytest.raises(Exception, match=says):
            fetch(f"{server}/metrics", 5.0, connection=Connection(headers=headers))


def test_a_replica_gets_no_advice_about_flags(server: str) -> None:
    """Replicas of a stack or a cluster are read without the connection of a URL target."""
    with pytest.raises(Exception, match=r"status 401$"):
        fetch(f"{server}/metrics", 5.0)


def test_a_login_page_in_place_of_metrics(server: str) -> None:
    """A web page with status 200 is named as such."""
    with pytest.raises(Exception, match="the answer is a web page, such as that of a login"):
        fetch(f"{server}/login", 5.0)


def read(url: str, connection: Connection) -> None:
    reader = PrometheusReader(queried(info()), Clock.start(), overlap_s=5.0, connection=connection)
    reader.read(url, ())


@pytest.mark.parametrize(
    ("path", "connection", "says"),
    [
        ("", DIRECT, "status 401: .*--header and --client-cert hold for a Prometheus on the same host only"),
        ("/login", KEY, "did not answer .* with JSON"),
        ("/echo", KEY, "HTTP Status Code 500 .*key …"),
        ("/away", KEY, "Exceeded 0 redirects"),
    ],
)
def test_a_prometheus_that_refuses(server: str, path: str, connection: Connection, says: str) -> None:
    """One line, without the values of the headers, which follow no redirect."""
    with pytest.raises(CollectError, match=says) as caught:
        read(server + path, connection)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_prometheus_behind_credentials(server: str) -> None:
    """Every query has the headers."""
    read(server, KEY)
    assert {each["Authorization"] for each in Handler.seen} == {f"Bearer {SECRET}"}


def test_a_proxy_for_metrics_and_prometheus(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rule as for the load: a host is reached through the proxy, with its credentials; loopback is not."""
    with proxy_to(int(server.rpartition(":")[2])) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//u:p@"))
        connection = connection_to("http://triton.example:8002", KEY)
        assert fetch("http://triton.example:8002/metrics", 5.0, connection=connection) == "a 1\n"
        assert proxy.requests == ["GET http://triton.example:8002/metrics HTTP/1.1"]
        read("http://triton.example:9090", connection)
        assert all("//triton.example:9090/" in line for line in proxy.requests[1:])
        assert set(proxy.authorizations) == {"Basic dTpw"}
        count = len(proxy.requests)
        read(server, connection_to(server, KEY))
        assert len(proxy.requests) == count
    assert not session_to(server, connection_to(server, KEY)).proxies


def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of settings, before anything is collected."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://p:1")
    with pytest.raises(SettingsError, match=r"\$HTTPS_PROXY names a proxy of the kind socks5"):
        connection_to("https://triton.example", DIRECT)


def test_credentials_stay_on_the_host_of_the_target(tmp_path: Path) -> None:
    """A Prometheus elsewhere gets the trust, but neither headers nor the client certificate."""
    connection = Connection(headers=KEY.headers, client_cert="c", insecure=True)
    for url, given in (("https://triton.example:9090/p", True), ("https://prometheus.example", False)):
        settings = {"prometheus_url": url, "metrics_url": "https://elsewhere.example:8002"}
        about = info(target="https://triton.example/path", settings=settings)
        targets = UrlTargets(RunFolder(tmp_path), about, connection)
        assert targets.to_prometheus is not None
        assert bool(targets.to_prometheus.headers) is bool(targets.to_prometheus.client_cert) is given
        assert targets.to_prometheus.insecure
        assert targets.to_metrics == connection


def test_the_connection_of_the_collector_is_in_its_environment_alone() -> None:
    """It survives the way there, and an environment without it is a direct connection."""
    assert from_environment(to_environment(KEY)) == KEY
    assert from_environment({}) == DIRECT
