"""`loadgen lint --namespace` against a simulated API server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadgen.base.errors import ExitCode
from loadgen.cli import main
from loadgen.lint.objects import KINDS
from support.servers.http import serving
from support.servers.kubernetes_api import Server, write_contexts
from support.yaml_files import read_documents

MANIFESTS = Path(__file__).parents[2] / "support" / "lint"
SPACE = "/api/v1/namespaces/serving"
FORBIDDEN = (403, json.dumps({"message": "deployments is forbidden"}).encode())
METRICS_API = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.custom.metrics.k8s.io"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A cluster with the good setup: the adapter is beside Prometheus, in another namespace."""
    server = Server()
    server.pages |= {SPACE: {"kind": "Namespace"}, METRICS_API: {"spec": {"service": {"namespace": "monitoring"}}}}
    for manifest in read_documents(MANIFESTS / "good.yaml"):
        add(server, manifest)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with serving(server.handler()) as url:
        write_contexts(tmp_path / "config", url, "first")
        yield server


def path(kind: str, namespace: str | None = "serving") -> str:
    declared = KINDS[kind]
    group = f"/apis/{declared.group}" if declared.group else "/api"
    return f"{group}/{declared.version}{f'/namespaces/{namespace}' if namespace else ''}/{declared.plural}"


def add(server: Server, manifest: dict[str, Any]) -> None:
    """Add an object to its list, and to the list of all namespaces, as the API server has it: without its kind."""
    listed = {key: value for key, value in manifest.items() if key not in ("kind", "apiVersion")}
    for where in (manifest["metadata"]["namespace"], None):
        page = server.pages.setdefault(path(manifest["kind"], where), {"items": []})
        page["items"].append(json.loads(json.dumps(listed)))


def codes(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return sorted(each["code"] for each in json.loads(capsys.readouterr().out)["pitfalls"])


def test_a_good_namespace(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is found, and the fields that the API server fills in are no pitfalls."""
    page = server.pages[path("Deployment")]["items"][0]
    page["spec"]["replicas"] = 2
    page["metadata"]["resourceVersion"] = "1"
    server.pages[path("HorizontalPodAutoscaler")]["items"][0]["status"] = {"currentReplicas": 2, "desiredReplicas": 2}
    assert main(["lint", "--namespace", "serving", "--strict"]) == ExitCode.PASS
    out, err = capsys.readouterr()
    assert out.splitlines() == ["no pitfalls found"]
    assert "ConfigMap adapter-config" in err
    assert "not checked" not in err


def test_pitfalls_of_a_namespace(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The adapter's configuration and the rules of other namespaces belong to the setup."""
    rule = server.pages[path("PrometheusRule", None)]["items"][0]
    rule["metadata"]["namespace"] = "monitoring"
    rule["spec"]["groups"][0]["rules"][0]["expr"] = (
        "rate(nv_inference_queue_duration_us[1m]) / clamp_min(rate(nv_inference_compute_infer_duration_us[1m]), 1)"
    )
    config = server.pages[path("ConfigMap", "monitoring")]["items"][0]["data"]
    config["config.yaml"] = config["config.yaml"].replace("max(<<.Series>>", "sum(<<.Series>>")
    server.pages[path("HorizontalPodAutoscaler")]["items"][0]["spec"]["scaleTargetRef"]["name"] = "gone"
    assert main(["lint", "--namespace", "serving", "--json"]) == ExitCode.FAIL
    assert codes(capsys) == ["adapter.sums_series", "autoscaler.no_target", "query.per_model"]


def test_what_belongs_to_other_workloads_is_not_reported(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Rules of other series, and monitors of other namespaces, are no concern of this one."""
    others = {
        "PrometheusRule": {
            "groups": [{"name": "g", "rules": [{"record": "node:cpu", "expr": "rate(a[5m]) / rate(b[5m])"}]}]
        },
        "PodMonitor": {"selector": {"matchLabels": {"app": "other"}}, "podMetricsEndpoints": [{}]},
        "ServiceMonitor": {"selector": {}, "namespaceSelector": {"any": True}, "endpoints": [{"port": "http"}]},
    }
    for kind, spec in others.items():
        add(server, {"kind": kind, "metadata": {"name": "other", "namespace": "kube-system"}, "spec": spec})
    server.pages[path("ServiceMonitor", None)]["items"][0]["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    assert main(["lint", "--namespace", "serving", "--strict"]) == ExitCode.PASS
    assert capsys.readouterr().out.splitlines() == ["no pitfalls found"]


def test_missing_permissions(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """What may not be listed is named, and what depends on it is not reported."""
    for kind in ("PodDisruptionBudget", "IngressRoute", "ScaledObject"):
        server.raw[path(kind)] = FORBIDDEN
    server.raw[path("PrometheusRule", None)] = FORBIDDEN
    server.raw[path("ConfigMap", "monitoring")] = FORBIDDEN
    server.raw[SPACE] = FORBIDDEN
    assert main(["lint", "--namespace", "serving", "--json"]) == ExitCode.PASS
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["pitfalls"] == []
    assert set(document["unread"]) == {"PodDisruptionBudget", "IngressRoute", "ScaledObject"}
    assert "not checked: objects of kind IngressRoute (GET /apis/traefik.io" in err


def test_no_permission_at_all(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Without Deployments there is nothing to say."""
    server.raw[path("Deployment")] = FORBIDDEN
    assert main(["lint", "--namespace", "serving"]) == ExitCode.TOOL
    assert "deployments is forbidden" in capsys.readouterr().err


def test_no_such_namespace(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, and exit code 2."""
    assert main(["lint", "--namespace", "servin"]) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert "namespace servin does not exist in context one" in err


def test_no_such_context(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The kubeconfig is read as by `loadgen deploy`."""
    assert main(["lint", "--namespace", "serving", "--context", "three"]) == ExitCode.USAGE
    assert "context three does not exist" in capsys.readouterr().err


def test_an_empty_namespace(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """A namespace without Triton and autoscaler is not a clean one."""
    for kind in KINDS:
        server.pages.pop(path(kind), None)
    server.pages[path("PrometheusRule", None)] = {"items": []}
    server.pages[path("PodMonitor", None)] = {"items": []}
    server.pages[path("ConfigMap", "monitoring")] = {"items": []}
    assert main(["lint", "--namespace", "serving"]) == ExitCode.USAGE
    assert "there is nothing to check" in capsys.readouterr().err
