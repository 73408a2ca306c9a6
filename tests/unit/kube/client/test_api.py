"""Requests to the API over real connections: credentials, errors, clock skew and permissions."""

from pathlib import Path

import pytest

from loadgen.base.errors import StackError, TargetError
from loadgen.kube.client import permissions
from loadgen.kube.client.api import Api, path_of
from loadgen.kube.client.permissions import Permission
from support.servers.kubernetes_api import Server, write_contexts


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def kubeconfig(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(file))
    write_contexts(file, url, "first")
    return file


def test_the_namespace_comes_from_the_context(kubeconfig: Path) -> None:
    """The current or the named context; `default` where it has no namespace."""
    assert (Api().context, Api().namespace) == ("one", "llm")
    assert (Api("two").context, Api("two").namespace) == ("two", "default")


def test_missing_credentials_are_an_error(kubeconfig: Path) -> None:
    """The message names the kubeconfig, and the flag and the variable to set."""
    with pytest.raises(
        TargetError, match=r"cannot load cluster credentials: .*three.*set KUBECONFIG or --kube-context"
    ):
        Api("three")
    kubeconfig.unlink()
    with pytest.raises(
        TargetError, match=r"cannot load cluster credentials: .*config\); set KUBECONFIG or --kube-context"
    ):
        Api()


def test_a_replaced_token_is_read_again(server: Server, url: str, kubeconfig: Path) -> None:
    """The request is repeated with the new token; a token that is still refused is an error."""
    api = Api()
    assert api.get("/version") == {"gitVersion": "v1.37.1"}
    server.token = "second"
    write_contexts(kubeconfig, url, "second")
    assert api.get("/version") == {"gitVersion": "v1.37.1"}
    server.token = "third"
    with pytest.raises(StackError, match=r"GET /version returned 401: Unauthorized"):
        api.get("/version")


def test_an_object_that_does_not_exist_is_none(server: Server, kubeconfig: Path) -> None:
    """The same holds for an API that the cluster does not serve."""
    assert Api().get("/apis/none") is None
    assert Api().items("/apis/none/things") == []


def test_an_unreachable_server_is_an_error(url: str, kubeconfig: Path) -> None:
    """The message has its address."""
    write_contexts(kubeconfig, "http://127.0.0.1:1", "first")
    with pytest.raises(StackError, match=r"cannot reach the API server at http://127.0.0.1:1: "):
        Api().get("/version")


@pytest.mark.parametrize("ahead_s", [0.0, 7.3, -40.6])
def test_the_clock_skew_is_measured_to_less_than_a_second(server: Server, kubeconfig: Path, ahead_s: float) -> None:
    """Responses are stamped in whole seconds; the true skew lies within the reported error."""
    server.ahead_s = ahead_s
    skew = Api().skew()
    assert skew is not None
    assert abs(skew.ahead_s - ahead_s) <= skew.error_s + 0.005  # the server stamps a moment before it sends


def test_missing_permissions_are_described(kubeconfig: Path) -> None:
    """All verbs are needed; a missing permission without a consequence is an error that names all of these."""
    pods = Permission(verbs=("list", "watch"), resource="pods")
    proxy = Permission(verbs=("get",), resource="pods/proxy", consequence="pages are not read")
    nodes = Permission(
        verbs=("list", "watch"), resource="nodes", namespace="", consequence="lost nodes are not recorded"
    )
    hpas = Permission(verbs=("list",), resource="hpas", group="autoscaling")
    assert permissions.check(Api(), "llm", [pods, proxy, nodes]) == (
        [nodes],
        ["missing RBAC permissions: list/watch on nodes cluster-wide (lost nodes are not recorded)"],
    )
    with pytest.raises(
        TargetError, match=r"missing RBAC permissions: list on hpas\.autoscaling in namespace llm\. Ask an"
    ):
        permissions.check(Api(), "llm", [pods, hpas, nodes])


def test_parts_of_a_path_are_quoted() -> None:
    """A name given by a user cannot change the rest of the path."""
    assert path_of("api", "v1", "namespaces", "a/b", "services", "prom:9090") == (
        "/api/v1/namespaces/a%2Fb/services/prom:9090"
    )
