"""Credentials of a cluster over its life: which one is meant, plugins, files that change."""

import datetime
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import pytest
from kubernetes import client

from loadgen.base.errors import StackError, TargetError
from loadgen.kube.client import api as api_module
from loadgen.kube.client import credentials
from loadgen.kube.client.api import Api
from support.kube.kubeconfigs import Answering, Plugin, serving, write


class Server:
    """An API server that knows one token and counts its refusals."""

    def __init__(self) -> None:
        self.token, self.refused = "first", 0

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(Answering):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                known = self.headers.get("Authorization") == f"Bearer {server.token}"
                server.refused += not known
                body = b'{"gitVersion": "v1", "items": []}' if known else b'{"message": "Unauthorized"}'
                self.answer(200 if known else 401, body)

        return Handler


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    with serving(server.handler()) as url:
        yield url


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(file))
    return file


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


def test_a_cluster_stays_the_same_when_the_current_context_changes(kubeconfig: Path) -> None:
    """At a renewal, and in another process that is given the context's name."""
    write(kubeconfig, "a", a="http://a:1", b="http://b:1")
    api = Api()
    write(kubeconfig, "b", a="http://a:2", b="http://b:1")
    assert api.renew()
    assert (api.context, api.configuration.host) == ("a", "http://a:2")
    assert Api(api.context).configuration.host == "http://a:2"
    assert Api().configuration.host == "http://b:1"


@pytest.mark.parametrize("current", [None, "gone"])
def test_a_named_context_needs_no_current_one(kubeconfig: Path, current: str | None) -> None:
    """Which there may not be, or may not be any more."""
    write(kubeconfig, current, a="http://a:1", b="http://b:1")
    assert Api("b").configuration.host == "http://b:1"
    with pytest.raises(TargetError, match=r"no way to a cluster: .*: a, b \(kubeconfig .*config\); set KUBECONFIG or"):
        Api()


def test_of_several_files_the_first_has_the_current_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As kubectl and helm take it."""
    for name in "ab":
        write(tmp_path / name, name, **{name: f"http://{name}:1"})
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert Api().context == "a"
    assert Api("b").configuration.host == "http://b:1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", r"config is no YAML"),
        ("", r"file is empty"),
        ("contexts", r"is no kubeconfig"),
        ("[1]", r"is no kubeconfig"),
        ("contexts: [{}]", r"is no kubeconfig"),
        ("current-context: a\ncontexts: [{name: a, context: {cluster: a}}]", r"config\); set KUBECONFIG"),
    ],
)
def test_a_kubeconfig_that_is_half_written_is_told(kubeconfig: Path, text: str, says: str) -> None:
    """With its name at the start; later the credentials stay as they were."""
    write(kubeconfig, a="http://a:1")
    api = Api()
    kubeconfig.write_text(text)
    assert not api.renew()
    assert api.configuration.api_key == {"BearerToken": "Bearer first"}
    with pytest.raises(TargetError, match=f"no way to a cluster: .*{says}"):
        Api("a")


def test_no_error_quotes_a_secret(kubeconfig: Path) -> None:
    """The library's words do."""
    provider = {"name": "oidc", "config": {"client-secret": "s3cret"}}
    write(kubeconfig, user={"auth-provider": provider}, a="http://a:1")
    with pytest.raises(TargetError, match="Expected key id-token in ") as raised:
        Api("a")
    assert "s3cret" not in str(raised.value)


@pytest.fixture
def pod(tmp_path: Path, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a service account."""
    folder = tmp_path / "account"
    folder.mkdir()
    for name, text in (("token", "first"), ("namespace", "llm"), ("ca.crt", "x")):
        (folder / name).write_text(text)
    monkeypatch.setattr(credentials, "_ACCOUNT", folder)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return folder


def test_a_pod_is_its_service_account_whatever_kubeconfig_comes(pod: Path, kubeconfig: Path) -> None:
    """Named `in-cluster`, also for another process; a context of that name goes before it."""
    found = credentials.find_credentials(None)
    assert (found.context, found.namespace) == ("in-cluster", "llm")
    write(kubeconfig, a="http://a:1")
    (pod / "token").write_text("second")
    for other in (found.again(), credentials.find_credentials("in-cluster")):
        assert other.configuration.host == "https://10.0.0.1:443"
        assert other.configuration.api_key == {"BearerToken": "bearer second"}
    assert credentials.find_credentials(None).context == "a"
    write(kubeconfig, "in-cluster", **{"in-cluster": "http://a:1"})
    assert credentials.find_credentials("in-cluster").configuration.host == "http://a:1"


def test_a_service_account_without_a_token_is_told(pod: Path) -> None:
    """With what to do."""
    (pod / "token").write_text("")
    with pytest.raises(TargetError, match=r"service account of this pod is no way .*empty; give the pod one"):
        Api()


def test_a_plugin_that_gives_nothing_is_told(url: str, kubeconfig: Path, plugin: Plugin) -> None:
    """By its command."""
    write(kubeconfig, user=plugin.user, a=url)
    with pytest.raises(TargetError, match=rf"the command {plugin.file} of the context a gives no credentials: run it"):
        Api()


def test_many_threads_that_are_refused_run_the_plugin_once(
    server: Server, url: str, kubeconfig: Path, plugin: Plugin
) -> None:
    """All of them go on with what it gave."""
    plugin.gives(token="first")
    write(kubeconfig, user=plugin.user, a=url)
    api = Api()
    server.token = "second"
    plugin.gives(token="second")
    with ThreadPoolExecutor(8) as pool:
        found = [each.result() for each in [pool.submit(api.get, "/version") for _ in range(8)]]
    assert [each["gitVersion"] for each in found if each] == ["v1"] * 8
    assert plugin.runs == 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of renewals, which only the test moves on."""
    now = [1000.0]
    stand_in = SimpleNamespace(monotonic=lambda: now[0], time=time.time)
    monkeypatch.setattr(api_module, "time", stand_in)
    return now


@pytest.mark.parametrize("status", [{}, {"token": "useless"}])
def test_a_plugin_that_does_not_help_is_run_less_and_less_often(
    url: str, kubeconfig: Path, plugin: Plugin, clock: list[float], status: dict[str, str]
) -> None:
    """Whether it fails, or gives what is refused; every question is answered meanwhile."""
    plugin.gives(token="useless")
    write(kubeconfig, user=plugin.user, a=url)
    api = Api()
    plugin.gives(**status)
    for _ in range(2 * 600):  # ten minutes, twice a second
        with pytest.raises(StackError, match=r"was refused \(401\): Unauthorized"):
            api.get("/version")
        clock[0] += 0.5
    assert 10 < plugin.runs < 20  # after 1, 3, 7, 15, 31, 63, then every 60 s


def test_the_refusal_says_why_there_are_no_others(url: str, kubeconfig: Path, plugin: Plugin) -> None:
    """As long as that is so."""
    plugin.gives(token="useless")
    write(kubeconfig, user=plugin.user, a=url)
    api = Api()
    plugin.gives()
    with pytest.raises(StackError, match=rf"\(401\): Unauthorized; no way to a cluster: the command {plugin.file} of"):
        api.get("/version")


def test_credentials_that_end_long_after_are_renewed_at_once(
    server: Server, url: str, kubeconfig: Path, plugin: Plugin, clock: list[float]
) -> None:
    """Trouble that is over is not counted."""
    plugin.gives(token="first")
    write(kubeconfig, user=plugin.user, a=url)
    api = Api()
    for number in range(5):
        server.token = f"token {number}"
        plugin.gives(token=server.token)
        assert api.get("/version") is not None
        clock[0] += 600
    assert plugin.runs == 6


def test_a_token_that_is_about_to_end_does_not_run_the_plugin_at_every_question(
    server: Server, url: str, kubeconfig: Path, plugin: Plugin
) -> None:
    """Also the library's own questions: the plugin may give the same one for some minutes."""
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)
    plugin.gives(token="first", expirationTimestamp=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    write(kubeconfig, user=plugin.user, a=url)
    api = Api()
    for _ in range(20):
        assert api.get("/version") is not None
        client.CoreV1Api(api.client).list_namespaced_pod("llm")
    assert plugin.runs <= 3
    assert server.refused == 0


def test_a_token_is_renewed_before_it_ends(server: Server, url: str, kubeconfig: Path, plugin: Plugin) -> None:
    """No question is refused by the server."""
    past = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=10)
    plugin.gives(token="first", expirationTimestamp=past.strftime("%Y-%m-%dT%H:%M:%SZ"))
    write(kubeconfig, user=plugin.user, a=url)
    api = Api()
    plugin.gives(token="second")
    server.token = "second"
    assert api.get("/version") is not None
    assert server.refused == 0
