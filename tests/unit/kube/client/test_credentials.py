"""Credentials of a cluster: selection of the context, exec plugins, and files that change."""

import datetime
import json
import os
import time
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
from support.kube.kubeconfigs import ExecPlugin, write_kubeconfig
from support.servers.http import ResponseHandler, serving


class Server:
    """An API server that knows one token and counts its refusals."""

    def __init__(self) -> None:
        self.token, self.refused = "first", 0

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(ResponseHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                known = self.headers.get("Authorization") == f"Bearer {server.token}"
                server.refused += not known
                body = b'{"gitVersion": "v1", "items": []}' if known else b'{"message": "Unauthorized"}'
                self.respond(200 if known else 401, body)

        return Handler


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(file))
    return file


@pytest.fixture
def plugin(tmp_path: Path) -> ExecPlugin:
    return ExecPlugin(tmp_path)


def test_the_cluster_stays_the_same_when_the_current_context_changes(kubeconfig: Path) -> None:
    """At a renewal, and in another process that uses the name of the context."""
    write_kubeconfig(kubeconfig, "a", a="http://a:1", b="http://b:1")
    api = Api()
    write_kubeconfig(kubeconfig, "b", a="http://a:2", b="http://b:1")
    assert api.renew()
    assert (api.context, api.configuration.host) == ("a", "http://a:2")
    assert Api(api.context).configuration.host == "http://a:2"
    assert Api().configuration.host == "http://b:1"


@pytest.mark.parametrize("current", [None, "gone"])
def test_a_named_context_does_not_need_a_current_one(kubeconfig: Path, current: str | None) -> None:
    """The current context may be missing, or name a context that does not exist."""
    write_kubeconfig(kubeconfig, current, a="http://a:1", b="http://b:1")
    assert Api("b").configuration.host == "http://b:1"
    with pytest.raises(
        TargetError, match=r"cannot load cluster credentials: .*: a, b \(kubeconfig .*config\); set KUBECONFIG or"
    ):
        Api()


def test_a_user_without_a_home_folder(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with an arbitrary user id: the default kubeconfig does not exist."""

    def no_entry(path: str) -> str:
        return path

    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setattr(os.path, "expanduser", no_entry)
    with pytest.raises(TargetError, match=r"cannot load cluster credentials: .*~/\.kube/config"):
        Api()


def test_the_first_of_several_files_sets_the_current_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in kubectl and helm."""
    for name in "ab":
        write_kubeconfig(tmp_path / name, name, **{name: f"http://{name}:1"})
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert Api().context == "a"
    assert Api("b").configuration.host == "http://b:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", r"config is not valid YAML"),
        ("", r"file is empty"),
        ("contexts", r"is not a kubeconfig"),
        ("[1]", r"is not a kubeconfig"),
        ("contexts: [{}]", r"is not a kubeconfig"),
        ("current-context: a\ncontexts: [{name: a, context: {cluster: a}}]", r"config\); set KUBECONFIG"),
    ],
)
def test_a_half_written_kubeconfig_is_an_error(kubeconfig: Path, text: str, message: str) -> None:
    """At the start; at a renewal the credentials stay as they were."""
    write_kubeconfig(kubeconfig, a="http://a:1")
    api = Api()
    kubeconfig.write_text(text)
    assert not api.renew()
    assert api.configuration.api_key == {"BearerToken": "Bearer first"}
    with pytest.raises(TargetError, match=f"cannot load cluster credentials: .*{message}"):
        Api("a")


def test_errors_do_not_quote_secrets(kubeconfig: Path) -> None:
    """The messages of the library do."""
    provider = {"name": "oidc", "config": {"client-secret": "s3cret"}}
    write_kubeconfig(kubeconfig, user={"auth-provider": provider}, a="http://a:1")
    with pytest.raises(TargetError, match="Expected key id-token in ") as raised:
        Api("a")
    assert "s3cret" not in str(raised.value)


def test_user_and_password_of_the_server_url_are_sent_and_never_shown(kubeconfig: Path) -> None:
    """As kubectl does: as a header, and only without a token."""
    seen: list[str | None] = []

    class Handler(ResponseHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.respond(403, json.dumps({"message": f"not for {seen[-1]} with open-sesame"}).encode())

    with serving(Handler) as url:
        write_kubeconfig(kubeconfig, user={"username": None}, a=url.replace("://", "://admin:open-sesame@"))
        with pytest.raises(StackError, match="GET /version returned 403: not for Basic … with …"):
            Api("a").get("/version")
    assert seen == ["Basic YWRtaW46b3Blbi1zZXNhbWU="]
    with pytest.raises(StackError, match=r"cannot reach the API server at http://127\.0\.0\.1:\d+: ") as raised:
        Api("a").get("/version")
    assert "admin" not in str(raised.value)
    write_kubeconfig(kubeconfig, user={"token": "a-token-of-its-own"}, a="http://admin:open-sesame@127.0.0.1:1")
    assert list(Api("a").configuration.api_key.values()) == ["Bearer a-token-of-its-own"]


def test_a_token_that_the_api_repeats_is_not_shown(kubeconfig: Path) -> None:
    """Neither the one that was refused nor the one that replaced it."""

    class Handler(ResponseHandler):
        def do_GET(self) -> None:
            self.respond(401, json.dumps({"message": f"invalid: {self.headers['Authorization']}"}).encode())

    with serving(Handler) as url:
        write_kubeconfig(kubeconfig, user={"token": "the-first-token"}, a=url)
        api = Api("a")
        write_kubeconfig(kubeconfig, user={"token": "the-second-token"}, a=url)
        with pytest.raises(StackError, match="GET /version returned 401: invalid: Bearer …"):
            api.get("/version")


@pytest.fixture
def pod(tmp_path: Path, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a service account."""
    folder = tmp_path / "account"
    folder.mkdir()
    for name, text in (("token", "first"), ("namespace", "llm"), ("ca.crt", "x")):
        (folder / name).write_text(text)
    monkeypatch.setattr(credentials, "_SERVICE_ACCOUNT", folder)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return folder


def test_a_pod_uses_its_service_account(pod: Path, kubeconfig: Path) -> None:
    """Named `in-cluster`, also in another process; a context of that name takes precedence."""
    found = credentials.load_credentials(None)
    assert (found.context, found.namespace) == ("in-cluster", "llm")
    write_kubeconfig(kubeconfig, a="http://a:1")
    (pod / "token").write_text("second")
    for other in (found.reload(), credentials.load_credentials("in-cluster")):
        assert other.configuration.host == "https://10.0.0.1:443"
        assert other.configuration.api_key == {"BearerToken": "bearer second"}
    assert credentials.load_credentials(None).context == "a"
    write_kubeconfig(kubeconfig, "in-cluster", **{"in-cluster": "http://a:1"})
    assert credentials.load_credentials("in-cluster").configuration.host == "http://a:1"


def test_a_service_account_without_a_token_is_an_error(pod: Path) -> None:
    """The message says how to mount one."""
    (pod / "token").write_text("")
    with pytest.raises(TargetError, match=r"cannot load the service account of this pod: .*empty; mount its token"):
        Api()


def test_a_plugin_without_credentials_is_an_error(url: str, kubeconfig: Path, plugin: ExecPlugin) -> None:
    """The message has its command."""
    write_kubeconfig(kubeconfig, user=plugin.user, a=url)
    with pytest.raises(
        TargetError, match=rf"the exec plugin {plugin.file} of context a returns no credentials: run it"
    ):
        Api()


def test_the_plugin_runs_once_for_all_threads(server: Server, url: str, kubeconfig: Path, plugin: ExecPlugin) -> None:
    """All refused requests are repeated with the new token."""
    plugin.set_status(token="first")
    write_kubeconfig(kubeconfig, user=plugin.user, a=url)
    api = Api()
    server.token = "second"
    plugin.set_status(token="second")
    with ThreadPoolExecutor(8) as pool:
        found = [each.result() for each in [pool.submit(api.get, "/version") for _ in range(8)]]
    assert [each["gitVersion"] for each in found if each] == ["v1"] * 8
    assert plugin.runs == 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of renewals, which only the test advances."""
    now = [1000.0]
    fake_time = SimpleNamespace(monotonic=lambda: now[0], time=time.time)
    monkeypatch.setattr(api_module, "time", fake_time)
    return now


@pytest.mark.parametrize("status", [{}, {"token": "useless"}])
def test_a_failing_plugin_is_retried_with_exponential_back_off(
    url: str, kubeconfig: Path, plugin: ExecPlugin, clock: list[float], status: dict[str, str]
) -> None:
    """Up to one minute, whether it fails or returns a refused token; every request gets its response meanwhile."""
    plugin.set_status(token="useless")
    write_kubeconfig(kubeconfig, user=plugin.user, a=url)
    api = Api()
    plugin.set_status(**status)
    runs, at_s = plugin.runs, []
    for second in range(300):  # five minutes, once a second
        with pytest.raises(StackError, match=r"returned 401: Unauthorized"):
            api.get("/version")
        at_s += [second] * (plugin.runs - runs)
        runs = plugin.runs
        clock[0] += 1.0
    assert at_s == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_a_refused_request_reports_why_the_renewal_failed(url: str, kubeconfig: Path, plugin: ExecPlugin) -> None:
    """The message of the API is followed by that of the renewal."""
    plugin.set_status(token="useless")
    write_kubeconfig(kubeconfig, user=plugin.user, a=url)
    api = Api()
    plugin.set_status()
    with pytest.raises(
        StackError, match=rf"401: Unauthorized; cannot load cluster credentials: the exec plugin {plugin.file} of"
    ):
        api.get("/version")


def test_credentials_that_expire_later_are_renewed_at_once(
    server: Server, url: str, kubeconfig: Path, plugin: ExecPlugin, clock: list[float]
) -> None:
    """The back-off starts again."""
    plugin.set_status(token="first")
    write_kubeconfig(kubeconfig, user=plugin.user, a=url)
    api = Api()
    for number in range(5):
        server.token = f"token {number}"
        plugin.set_status(token=server.token)
        assert api.get("/version") is not None
        clock[0] += 600
    assert plugin.runs == 6


def test_a_token_that_is_about_to_expire_does_not_run_the_plugin_at_every_request(
    server: Server, url: str, kubeconfig: Path, plugin: ExecPlugin
) -> None:
    """This includes requests of the library; the plugin may return the same token for some minutes."""
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)
    plugin.set_status(token="first", expirationTimestamp=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    write_kubeconfig(kubeconfig, user=plugin.user, a=url)
    api = Api()
    for _ in range(20):
        assert api.get("/version") is not None
        client.VersionApi(api.client).get_code(_preload_content=False)
    assert plugin.runs <= 3
    assert server.refused == 0


def test_a_token_is_renewed_before_it_expires(server: Server, url: str, kubeconfig: Path, plugin: ExecPlugin) -> None:
    """The server refuses no request."""
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=10)
    plugin.set_status(token="first", expirationTimestamp=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    write_kubeconfig(kubeconfig, user=plugin.user, a=url)
    api = Api()
    plugin.set_status(token="second")
    server.token = "second"
    assert api.get("/version") is not None
    assert server.refused == 0
