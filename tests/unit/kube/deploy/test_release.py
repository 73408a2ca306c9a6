"""`deploy`, `destroy` and discovery against a simulated API server, with a helm program that records its call."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from loadgen.base.errors import INTERRUPTED, SettingsError, StackError, TargetError
from loadgen.cli import main
from loadgen.kube.client import credentials
from loadgen.kube.client.api import Api
from loadgen.kube.deploy import helm
from loadgen.kube.deploy.release import deploy, destroy
from loadgen.kube.discover.workload import discover_workload
from loadgen.scenario.fleets import Kube
from support.kube.kubeconfigs import write_kubeconfig
from support.servers.http import ResponseHandler, serving

HELM = f"""#!{sys.executable}
import json, os, pathlib, signal, sys
here = pathlib.Path(__file__).parent
call = {{"argv": sys.argv[1:], "kubeconfig": os.environ.get("KUBECONFIG"), "stdin": sys.stdin.read()}}
(here / "call.json").write_text(json.dumps(call))
if (here / "config.next").exists():
    (here / "config.next").rename(here / "config")
if (here / "waits").exists():
    signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})
    (here / "started").write_text("x")
    signal.sigwait({{signal.SIGTERM}})
    (here / "cancelled").write_text("x")
    sys.exit("release cancelled")
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
    """Serves lists by path; forbidden resources are refused even if the API does not exist, as with RBAC."""

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
        self.may_create_namespaces = True

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(ResponseHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path.rpartition("/")[2] in server.forbidden:
                    self._respond(403, {"message": f"cannot list {path}"})
                else:
                    found = server.lists.get(path)
                    self._respond(404 if found is None else 200, {"items": found})

            def do_POST(self) -> None:
                attributes = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["spec"][
                    "resourceAttributes"
                ]
                allowed = attributes["resource"] != "namespaces" or server.may_create_namespaces
                self._respond(201, {"status": {"allowed": allowed}})

            def _respond(self, status: int, document: Any) -> None:
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
    """A folder with helm and a kubeconfig; helm changes the current context from `a` (the server) to `b` (none)."""
    (tmp_path / "helm").write_text(HELM)
    (tmp_path / "helm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    write_kubeconfig(tmp_path / "config", "a", a=url, b="http://127.0.0.1:1")
    write_kubeconfig(tmp_path / "config.next", "b", a=url, b="http://127.0.0.1:1")
    return tmp_path


def call(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "call.json").read_text())
    return found


def test_a_deployment_stays_on_its_cluster(folder: Path) -> None:
    """Helm, the wait for pods and the run use the same context, although the current context changes."""
    kube = deploy(Kube(), {"mode": "emulated"}, say=lambda _: None)
    assert "--kube-context=a" in call(folder)["argv"]
    assert (kube.context, kube.namespace, kube.workload) == ("a", "default", "llm")
    api = Api(kube.context)
    assert api.context == "a"
    assert discover_workload(api, kube).value.workload.name == "llm"


def test_a_removal_stays_on_its_cluster(folder: Path, server: Server) -> None:
    """Its pods are listed in the same context."""
    server.lists[f"/api/v1{SPACE}/pods"] = []
    messages: list[str] = []
    destroy(Kube(), say=messages.append)
    assert call(folder)["argv"][-1] == "--kube-context=a"
    assert messages == ["release triton was removed from namespace default of context a"]


def test_the_name_of_the_context_is_resolved_at_the_start(folder: Path) -> None:
    """Processes that are started later use it."""
    (folder / "config.next").rename(folder / "unused")
    api = Api()
    discover_workload(api, Kube())
    assert api.context == "a"


@pytest.mark.parametrize("forbidden", [{"leaderworkersets"}, {"horizontalpodautoscalers", "replicasets", "events"}])
def test_an_account_limited_to_a_namespace_can_deploy(folder: Path, server: Server, forbidden: set[str]) -> None:
    """A refused list of an optional resource is not an error."""
    server.forbidden = forbidden
    assert deploy(Kube(), {}, say=lambda _: None).workload == "llm"


@pytest.mark.parametrize(
    ("exists", "may_get", "may_create", "created"),
    [(True, True, True, False), (False, True, True, True), (False, False, True, True), (True, False, False, False)],
)
def test_a_namespace_is_created_only_if_it_does_not_exist(
    folder: Path, server: Server, exists: bool, may_get: bool, may_create: bool, created: bool
) -> None:
    """Otherwise helm would require the permission to create namespaces."""
    server.may_create_namespaces = may_create
    server.forbidden = set() if may_get else {"default"}
    if not exists:
        del server.lists[f"/api/v1{SPACE}"]
    deploy(Kube(), {}, say=lambda _: None)
    assert ("--create-namespace" in call(folder)["argv"]) is created


def test_a_namespace_that_cannot_be_created_is_an_error(folder: Path, server: Server) -> None:
    """Helm is not run."""
    server.may_create_namespaces = False
    del server.lists[f"/api/v1{SPACE}"]
    with pytest.raises(TargetError, match=r"namespace default does not exist, and this account may not create it: ask"):
        deploy(Kube(), {}, say=lambda _: None)
    assert not (folder / "call.json").exists()


def test_an_error_of_helm_has_advice(folder: Path) -> None:
    """After the message of helm."""
    (folder / "fails").write_text('Error: secrets is forbidden: User "u" cannot list resource "secrets"')
    with pytest.raises(
        StackError, match=r'^helm upgrade failed: secrets is forbidden: .*"secrets"\. This account lacks'
    ):
        deploy(Kube(), {}, say=lambda _: None)


@pytest.mark.parametrize("command", [["deploy"], ["destroy"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command(
    folder: Path, number: int, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Helm is asked to cancel and not killed; the command ends with one sentence and exit code 130."""
    (folder / "waits").touch()

    def interrupt() -> None:
        while not (folder / "started").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    assert main(command) == INTERRUPTED
    thread.join()
    assert (folder / "cancelled").exists()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("interrupted: the release may be there in part; `loadgen de")


def test_values_that_the_chart_does_not_have(folder: Path) -> None:
    """The message names near values; the values are the user's, so the exit code is that of wrong usage."""
    (folder / "fails").write_text(
        "Error: values don't meet the specifications of the schema(s) in the following chart(s):\ntriton-trtllm:\n"
        "- at '/autoscaling': additional properties 'maxReplica' not allowed\n"
    )
    with pytest.raises(SettingsError, match=r"no such value autoscaling\.maxReplica \(did you mean maxReplicas"):
        deploy(Kube(), {}, say=lambda _: None)


def test_an_account_that_cannot_list_deployments_is_an_error(folder: Path, server: Server) -> None:
    """The message says what to do."""
    server.forbidden = {"deployments"}
    with pytest.raises(TargetError, match=r"403: cannot list .*; name another namespace with --kube-namespace"):
        discover_workload(Api("a"), Kube(context="a"))


def test_helm_uses_the_service_account_in_a_pod(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if there is a kubeconfig."""
    for name, text in (("token", "first"), ("namespace", "llm"), ("ca.crt", "x")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(credentials, "_SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    helm.install("triton", "llm", {}, context="in-cluster")
    assert call(folder)["kubeconfig"] == "/dev/null"
    assert not any("context" in each for each in call(folder)["argv"])


def test_a_missing_helm_is_an_error(folder: Path) -> None:
    """The message says what to do."""
    (folder / "helm").unlink()
    with pytest.raises(StackError, match="helm is not on PATH: install it, then run again"):
        deploy(Kube(), {}, say=lambda _: None)
