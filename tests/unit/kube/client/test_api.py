"""The API over a real connection to a server that answers as one: credentials, refusals, clocks, and the relay."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from loadgen.base.errors import StackError, TargetError
from loadgen.kube.client import permissions as rights
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.client.permissions import Right
from loadgen.kube.client.relay import RelayConfig, handler
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


def test_the_context_says_which_namespace(kubeconfig: Path) -> None:
    """The current one or the named one; without a namespace it is the default one."""
    assert (Api().context, Api().namespace) == ("one", "llm")
    assert (Api("two").context, Api("two").namespace) == ("two", "default")


def test_no_way_to_a_cluster_is_told(kubeconfig: Path) -> None:
    """With the file that was read, and the flag or variable that helps."""
    with pytest.raises(TargetError, match=r"no way to a cluster: .*three.*set KUBECONFIG or --kube-context"):
        Api("three")
    kubeconfig.unlink()
    with pytest.raises(TargetError, match=r"no way to a cluster: .*config\); set KUBECONFIG or --kube-context"):
        Api()


def test_a_token_that_was_replaced_is_read_anew(server: Server, url: str, kubeconfig: Path) -> None:
    """The second question has the new one; one that is still wrong is told."""
    api = Api()
    assert api.get("/version") == {"gitVersion": "v1.37.1"}
    server.token = "second"
    write(kubeconfig, url, "second")
    assert api.get("/version") == {"gitVersion": "v1.37.1"}
    server.token = "third"
    with pytest.raises(StackError, match=r"GET /version was refused \(401\): Unauthorized"):
        api.get("/version")


def test_what_is_not_there_is_none(server: Server, kubeconfig: Path) -> None:
    """Also a whole API that the cluster has not."""
    assert Api().get("/apis/none") is None
    assert Api().items("/apis/none/things") == []


def test_a_server_that_is_gone_is_told(url: str, kubeconfig: Path) -> None:
    """By its address."""
    write(kubeconfig, "http://127.0.0.1:1", "first")
    with pytest.raises(StackError, match=r"the API server at http://127.0.0.1:1 does not answer: "):
        Api().get("/version")


@pytest.mark.parametrize("ahead_s", [0.0, 7.3, -40.6])
def test_the_skew_of_its_clock_is_found_between_two_seconds(server: Server, kubeconfig: Path, ahead_s: float) -> None:
    """Its answers show whole seconds; the true skew is within the error that is given."""
    server.ahead_s = ahead_s
    found = Api().skew()
    assert found is not None
    assert abs(found.ahead_s - ahead_s) <= found.error_s + 0.005  # its own stamp is made a moment before it is sent


def test_missing_rights_are_sentences(kubeconfig: Path) -> None:
    """A right is there with all its verbs; a vital one that lacks ends it, and names every vital one."""
    pods = Right(verbs=("list", "watch"), resource="pods")
    proxy = Right(verbs=("get",), resource="pods/proxy", lost="pages are not read")
    nodes = Right(verbs=("list", "watch"), resource="nodes", place="", lost="a lost node is not told")
    hpas = Right(verbs=("list",), resource="hpas", group="autoscaling")
    assert rights.check(Api(), "llm", [pods, proxy, nodes]) == (
        [nodes],
        ["needs list/watch on nodes in the whole cluster: without it, a lost node is not told"],
    )
    with pytest.raises(TargetError, match=r"this run needs: list on hpas\.autoscaling in namespace llm\. Ask for"):
        rights.check(Api(), "llm", [pods, hpas, nodes])


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


def test_the_relay_passes_on_what_it_was_given(server: Server, relay: str) -> None:
    """With the credentials of the kubeconfig, query and all; the answer's status is the API's."""
    with urllib.request.urlopen(f"{relay}/s3/apis/custom/pods/*/ratio?labelSelector=a%3Db", timeout=5) as answer:
        assert json.load(answer) == {"items": []}
    assert server.asked[-1] == "/apis/custom/pods/*/ratio?labelSelector=a%3Db"
    assert status(f"{relay}/s3/gone") == 404


@pytest.mark.parametrize(
    "path", ["/s3/api/v1/secrets", "/s3/apis/custom/pods/*/ratio/../../secrets", "/other/gone", "/gone", "/", "//gone"]
)
def test_the_relay_passes_on_nothing_else(server: Server, relay: str, path: str) -> None:
    """Nor to whoever does not know its secret: the API is not even asked."""
    asked = len(server.asked)
    assert status(f"{relay}{path}") == 403
    assert len(server.asked) == asked


def test_parts_of_a_path_are_quoted() -> None:
    """What a user names cannot leave its place in the path."""
    assert path_of("api", "v1", "namespaces", "a/b", "services", "prom:9090") == (
        "/api/v1/namespaces/a%2Fb/services/prom:9090"
    )
