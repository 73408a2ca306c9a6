"""A real API server accepts every object of every case, in a dry run with strict validation."""

import json

import pytest

from loadgen.sandbox.build.build import find
from support.charts.cases import CASES, LEADER_WORKER_SET, TRITON_CASES
from support.charts.helm import objects, template
from support.kube.cluster import NO_ONE_NAMESPACE, Cluster
from support.yaml_files import documents

DRY_RUN = ("--dry-run=server", "--validate=strict", "--filename=-")


@pytest.fixture(scope="module", autouse=True)
def definitions(cluster: Cluster) -> None:
    """Custom resources of the operator, Traefik, KEDA, Gateway API and LeaderWorkerSet, and namespaces of the cases."""
    for namespace in ("serving", "monitoring"):
        cluster.kubectl("create", "namespace", namespace)
    tools = find()
    folders = [tools[name] for name in ("operator-crds", "traefik-crds", "keda-crds", "gateway-crds")]
    folders.append(LEADER_WORKER_SET)
    cluster.kubectl("apply", "--server-side", *(f"--filename={folder}" for folder in folders))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")


@pytest.mark.parametrize(("chart", "name"), [(chart, name) for chart, cases in CASES.items() for name in cases])
def test_the_api_server_accepts_every_object(chart: str, name: str, cluster: Cluster) -> None:
    """Every object passes validation and admission, and none has an unknown field."""
    text = template(CASES[chart][name], namespace=cluster.namespace, chart=chart)
    done = cluster.run("apply", NO_ONE_NAMESPACE, *DRY_RUN, stdin=text)
    assert done.returncode == 0, done.stderr
    accepted = [line for line in done.stdout.splitlines() if line.endswith("(server dry run)")]
    assert len(accepted) == len(documents(text))


@pytest.mark.parametrize("name", [name for name, values in TRITON_CASES.items() if "multiNode" in values])
def test_the_api_server_accepts_the_pods_of_a_group(name: str, cluster: Cluster) -> None:
    """The definition of LeaderWorkerSet used here accepts any pod template, so the templates are sent as pods."""
    (group,) = [each["spec"] for (kind, _), each in objects(TRITON_CASES[name]).items() if kind == "LeaderWorkerSet"]
    pods = []
    for role in ("leader", "worker"):
        pod_template = group["leaderWorkerTemplate"][f"{role}Template"]
        # a dry run does not create the release's own account
        spec = {**pod_template["spec"], "serviceAccountName": "default"}
        metadata = {**pod_template["metadata"], "name": role}
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
    done = cluster.run("apply", *DRY_RUN, stdin=whole)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(server dry run)") == 2
