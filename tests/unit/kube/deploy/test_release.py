"""`deploy`, `destroy` and `attach` against a server that plays the API, with a program that plays helm."""

import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from loadgen.base.errors import StackError, TargetError
from loadgen.kube.client import credentials
from loadgen.kube.deploy import chart
from loadgen.kube.deploy.release import deploy, destroy
from loadgen.kube.discover.attach import attach
from loadgen.scenario.settings import Kube
from support.kube.kubeconfigs import ResponseHandler, serving, write

HELM = f"""#!{sys.executable}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
call = {{"argv": sys.argv[1:], "kubeconfig": os.environ.get("KUBECONFIG"), "stdin": sys.stdin.read()}}
(here / "call.json").write_text(json.dumps(call))
if (here / "config.next").exists():
    (here / "config.next").rename(here / "config")
if (here / "fails").exists():
    sys.exit((here / "fails").read_text())
"""
LABELS = {"helm.sh/chart": "triton-trtllm-0.1.0"}
SPACE = "/namespaces/default"


def deployment(name: str = "llm", release: str = "triton") -> dict[str, Any]:
    labels = {"app": name}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": "u",
            "generation": 1,
            "labels": LABELS,
            "annotations": {"meta.helm.sh/release-name": release, "deployment.kubernetes.io/revision": "1"},
        },
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"image": "tritonserver"}]}},
        },
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1},
    }


READY = {
    "metadata": {"name": "llm-1", "uid": "p", "labels": {"pod-template-hash": "h"}},
    "status": {"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}]},
}
SET = {
    "metadata": {
        "labels": {"pod-template-hash": "h"},
        "annotations": {"deployment.kubernetes.io/revision": "1"},
        "ownerReferences": [{"uid": "u"}],
    }
}


class Server:
    """Lists by path; what is forbidden is refused whether there is such an API or not, as RBAC does."""

    def __init__(self) -> None:
        self.lists: dict[str, list[Any]] = {
            f"/apis/apps/v1{SPACE}/deployments": [deployment()],
            f"/apis/apps/v1{SPACE}/replicasets": [SET],
            f"/api/v1{SPACE}/pods": [READY],
            f"/apis/autoscaling/v2{SPACE}/horizontalpodautoscalers": [],
            f"/api/v1{SPACE}/services": [],
            f"/api/v1{SPACE}": [],
        }
        self.forbidden: set[str] = set()
        self.may_make_namespaces = True

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(ResponseHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path.rpartition("/")[2] in server.forbidden:
                    self._say(403, {"message": f"cannot list {path}"})
                else:
                    found = server.lists.get(path)
                    self._say(404 if found is None else 200, {"items": found})

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["spec"]["resourceAttributes"]
                allowed = asked["resource"] != "namespaces" or server.may_make_namespaces
                self._say(201, {"status": {"allowed": allowed}})

            def _say(self, status: int, document: Any) -> None:
                body = json.dumps(document).encode()
                self.respond(status, body)

        return Handler


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    with serving(server.handler()) as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where helm and the kubeconfig are: the current context is `a`, the server; after helm `b`, where none is."""
    (tmp_path / "helm").write_text(HELM)
    (tmp_path / "helm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    write(tmp_path / "config", "a", a=url, b="http://127.0.0.1:1")
    write(tmp_path / "config.next", "b", a=url, b="http://127.0.0.1:1")
    return tmp_path


def call(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "call.json").read_text())
    return found


def test_a_deployment_stays_on_the_cluster_where_it_began(folder: Path) -> None:
    """Helm, what waits for the pods and the run that follows, though the current context is another one meanwhile."""
    found = deploy(Kube(), {"mode": "emulated"}, say=lambda _: None)
    assert "--kube-context=a" in call(folder)["argv"]
    assert (found.context, found.namespace, found.workload) == ("a", "default", "llm")
    assert attach(found, lambda _: None).api.context == "a"


def test_so_does_what_is_removed(folder: Path, server: Server) -> None:
    """Its pods are looked for where it was."""
    server.lists[f"/api/v1{SPACE}/pods"] = []
    said: list[str] = []
    destroy(Kube(), say=said.append)
    assert call(folder)["argv"][-1] == "--kube-context=a"
    assert said == ["release triton is gone from namespace default of context a"]


def test_who_attaches_hands_on_the_name_of_the_context(folder: Path) -> None:
    """What is started later is given it."""
    (folder / "config.next").rename(folder / "unused")
    found = attach(Kube(), lambda _: None)
    assert found.kube.context == "a"


@pytest.mark.parametrize("forbidden", [{"leaderworkersets"}, {"horizontalpodautoscalers", "replicasets", "events"}])
def test_an_account_of_a_namespace_may_deploy(folder: Path, server: Server, forbidden: set[str]) -> None:
    """Being refused what the cluster may not even have is no failure after helm has succeeded."""
    server.forbidden = forbidden
    assert deploy(Kube(), {}, say=lambda _: None).workload == "llm"


@pytest.mark.parametrize(
    ("there", "may_look", "may_make", "made"),
    [(True, True, True, False), (False, True, True, True), (False, False, True, True), (True, False, False, False)],
)
def test_a_namespace_is_made_only_where_it_must_be(
    folder: Path, server: Server, there: bool, may_look: bool, may_make: bool, made: bool
) -> None:
    """Helm would ask for the right to make it otherwise, too, which an account of a namespace has not."""
    server.may_make_namespaces = may_make
    server.forbidden = set() if may_look else {"default"}
    if not there:
        del server.lists[f"/api/v1{SPACE}"]
    deploy(Kube(), {}, say=lambda _: None)
    assert ("--create-namespace" in call(folder)["argv"]) is made


def test_a_namespace_that_may_not_be_made_is_told(folder: Path, server: Server) -> None:
    """Before helm is started."""
    server.may_make_namespaces = False
    del server.lists[f"/api/v1{SPACE}"]
    with pytest.raises(TargetError, match=r"no namespace default, and this account may not make one: ask an adminis"):
        deploy(Kube(), {}, say=lambda _: None)
    assert not (folder / "call.json").exists()


def test_what_helm_may_not_do_is_told_with_advice(folder: Path) -> None:
    """In its own words."""
    (folder / "fails").write_text('Error: secrets is forbidden: User "u" cannot list resource "secrets"')
    with pytest.raises(StackError, match=r'^helm upgrade failed: secrets is forbidden: .*"secrets"\. This account may'):
        deploy(Kube(), {}, say=lambda _: None)


def test_an_account_that_may_not_list_deployments_is_told(folder: Path, server: Server) -> None:
    """A run says what to do."""
    server.forbidden = {"deployments"}
    with pytest.raises(TargetError, match=r"403: cannot list .*; name another namespace with --kube-namespace"):
        attach(Kube(context="a"), lambda _: None)


def test_in_a_pod_helm_takes_the_service_account(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kubeconfig there is."""
    for name, text in (("token", "first"), ("namespace", "llm"), ("ca.crt", "x")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(credentials, "_SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    chart.install("triton", "llm", {}, context="in-cluster")
    assert call(folder)["kubeconfig"] == "/dev/null"
    assert not any("context" in each for each in call(folder)["argv"])


def test_without_helm_there_is_a_sentence(folder: Path) -> None:
    """With what to do."""
    (folder / "helm").unlink()
    with pytest.raises(StackError, match="helm is not on PATH: install it, then run again"):
        deploy(Kube(), {}, say=lambda _: None)
