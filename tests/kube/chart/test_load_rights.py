"""What a pod of the chart `loadgen` may do, as a real API server decides: read what is under test, and nothing else."""

import json
from collections.abc import Iterable

import pytest

from support.charts.helm import LOADGEN, template
from support.kube.cluster import NO_ONE_NAMESPACE, Cluster

pytestmark = pytest.mark.timeout(240)

# verb, group, resource, namespace ("" for all of them, and for what is in none), name
Question = tuple[str, str, str, str, str]

READ = {
    "": ("pods", "events", "services", "endpoints"),
    "discovery.k8s.io": ("endpointslices",),
    "apps": ("deployments", "replicasets"),
    "leaderworkerset.x-k8s.io": ("leaderworkersets",),
    "autoscaling": ("horizontalpodautoscalers",),
    "networking.k8s.io": ("ingresses",),
    "traefik.io": ("ingressroutes",),
    "gateway.networking.k8s.io": ("httproutes", "grpcroutes"),
}
WATCH, CHANGE = ("get", "list", "watch"), ("create", "patch", "delete")


def of_the_namespace() -> dict[Question, bool]:
    """Every question about what is observed, and the right answer."""
    told: dict[Question, bool] = {}
    for group, resources in READ.items():
        for resource in resources:
            told |= {(verb, group, resource, "under-test", ""): True for verb in WATCH}
            told |= {(verb, group, resource, "under-test", ""): False for verb in CHANGE}
            told |= {("list", group, resource, namespace, ""): False for namespace in ("of-others", "")}
    return told


METRIC = "pods/triton:queue_compute:ratio"
OTHERS: dict[Question, bool] = {
    ("get", "custom.metrics.k8s.io", METRIC, "under-test", "*"): True,
    ("get", "custom.metrics.k8s.io", METRIC, "of-others", "*"): False,
    ("get", "keda.sh", "scaledobjects", "under-test", "llm"): True,
    ("get", "keda.sh", "scaledobjects", "of-others", "llm"): False,
    ("patch", "keda.sh", "scaledobjects", "under-test", "llm"): False,
    ("list", "", "nodes", "", ""): True,
    ("patch", "", "nodes", "", ""): False,
    ("get", "coordination.k8s.io", "leases", "kube-node-lease", "gpu-1"): True,
    ("update", "coordination.k8s.io", "leases", "kube-node-lease", "gpu-1"): False,
    ("get", "coordination.k8s.io", "leases", "under-test", ""): False,
    ("get", "", "services/proxy", "has-prometheus", "prometheus:9090"): True,
    ("create", "", "services/proxy", "has-prometheus", "prometheus:9090"): False,
    ("get", "", "services/proxy", "under-test", ""): False,
    ("get", "", "secrets", "under-test", ""): False,
    ("get", "", "configmaps", "under-test", ""): False,
    ("create", "", "pods/exec", "under-test", ""): False,
    ("get", "", "pods/log", "under-test", ""): False,
    ("update", "apps", "deployments/scale", "under-test", ""): False,
    ("create", "", "serviceaccounts/token", "under-test", ""): False,
}


@pytest.fixture(scope="module")
def granted(cluster: Cluster) -> Cluster:
    """A cluster in which the chart's roles are bound to its pods' account."""
    values = {"target": {"namespace": "under-test"}, "rbac": {"proxyNamespaces": ["has-prometheus"]}}
    for namespace in ("under-test", "has-prometheus", "of-others"):
        cluster.kubectl("create", "namespace", namespace)
    text = template(values, "--show-only=templates/rbac.yaml", namespace=cluster.namespace, chart=LOADGEN)
    cluster.kubectl("apply", NO_ONE_NAMESPACE, "--filename=-", stdin=text)
    return cluster


def decided(cluster: Cluster, questions: Iterable[Question]) -> dict[Question, bool]:
    """What the API server says that the account may do."""
    user = f"system:serviceaccount:{cluster.namespace}:demo-loadgen"
    reviews = []
    for verb, group, resource, namespace, name in questions:
        what, _, below = resource.partition("/")
        asked = {"verb": verb, "group": group, "resource": what, "subresource": below}
        spec = {"user": user, "resourceAttributes": {**asked, "namespace": namespace, "name": name}}
        reviews.append({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec})
    whole = {"apiVersion": "v1", "kind": "List", "items": reviews}
    line = '--output=jsonpath={.status.allowed}{"\\n"}'
    told = cluster.kubectl("create", "--filename=-", line, stdin=json.dumps(whole)).split()
    return {question: word == "true" for question, word in zip(questions, told, strict=True)}


def test_the_target_may_be_watched_but_not_changed(granted: Cluster) -> None:
    """Get, list and watch in the namespace under test, no other verb there, and nothing in any other namespace."""
    expected = of_the_namespace()
    assert decided(granted, expected) == expected


def test_permissions_outside_the_target(granted: Cluster) -> None:
    """Metrics there, nodes and their heartbeats, Prometheus where the user says so; no secret, no shell, no scaling."""
    assert decided(granted, OTHERS) == OTHERS
