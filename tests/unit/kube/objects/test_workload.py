"""Deployments, LeaderWorkerSets and Services as they are read."""

import pytest

from loadgen.kube.objects.workload import port_of, workload_of
from support.kube.workloads import LABELS, WORKLOAD, deployment, leaders, service


def test_ports_and_labels_of_the_pods() -> None:
    """By the names of the ports, else Triton's own; old and new pods of a rollout are selected alike."""
    ports = ({"name": "grpc", "containerPort": 9001}, {"name": "http", "containerPort": 9000})
    found = workload_of(deployment("t", chart=True, ports=ports))
    assert (found.http, found.grpc, found.metrics) == (9000, 9001, 8002)
    assert (found.selector, found.labels) == ("app.kubernetes.io/instance=a", LABELS)
    assert found.replicas == 1  # as Kubernetes takes it where nothing is written


def test_expressions_of_a_selector() -> None:
    """As a query of the API has them."""
    raw = deployment("t", chart=True)
    raw["spec"]["selector"] = {
        "matchLabels": {"a": "1"},
        "matchExpressions": [
            {"key": "b", "operator": "In", "values": ["x", "y"]},
            {"key": "c", "operator": "NotIn", "values": ["z"]},
            {"key": "d", "operator": "Exists"},
            {"key": "e", "operator": "DoesNotExist"},
        ],
    }
    assert workload_of(raw).selector == "a=1,b in (x,y),c notin (z),d,!e"


def test_of_a_group_the_leader_alone_serves() -> None:
    """By the labels that its controller adds."""
    found = workload_of(leaders("g"))
    assert found.selector == "leaderworkerset.sigs.k8s.io/name=g,leaderworkerset.sigs.k8s.io/worker-index=0"
    assert found.kind == "LeaderWorkerSet"


@pytest.mark.parametrize(
    ("raw", "emulated"),
    [
        (deployment("t", chart=True, volumes=("models", "emulated")), True),
        (deployment("t", chart=True, volumes=("models",)), False),
        (deployment("t", image="tritonserver", volumes=("emulated",)), False),
        # under an alias, helm.sh/chart has another name
        (deployment("t", labels={"helm.sh/chart": "llm-0.1.0", "triton-loadgen/mode": "emulated"}), True),
        (deployment("t", chart=True, labels={"triton-loadgen/mode": "engine"}, volumes=("emulated",)), False),
    ],
)
def test_an_emulated_engine_is_known(raw: dict, emulated: bool) -> None:
    """By a label; releases of the chart without it by a volume, of which the name says nothing in other charts."""
    assert workload_of(raw).emulated is emulated


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({"limits": {"nvidia.com/gpu": 4, "memory": "64Gi"}, "requests": {"nvidia.com/gpu": 4}}, 4),
        ({"limits": {"amd.com/gpu": "2"}}, 2),
        ({"requests": {"nvidia.com/gpu": "1"}}, 1),
        ({}, None),
        ({"limits": {"nvidia.com/gpu": 0}}, None),
        ({"limits": {"nvidia.com/mig-1g.10gb": 1}}, None),  # parts of a GPU
        ({"limits": {"nvidia.com/gpu.shared": 1}}, None),
        ({"limits": {"nvidia.com/gpu": "many"}}, None),
    ],
)
def test_gpus_of_a_replica(resources: dict, gpus: int | None) -> None:
    """Whole GPUs that the containers of a pod request; the sum over its containers."""
    raw = deployment("t", chart=True)
    (container,) = raw["spec"]["template"]["spec"]["containers"]
    raw["spec"]["template"]["spec"]["containers"] = [{**container, "resources": resources}, container]
    assert workload_of(raw).gpus == gpus


def test_a_replica_of_a_group_has_the_gpus_of_all_its_pods() -> None:
    """A leader and two workers with eight each."""
    raw = leaders("g")
    group = raw["spec"]["leaderWorkerTemplate"]
    group["workerTemplate"]["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": 8}}
    assert workload_of(raw).gpus == 8
    group["size"] = 3
    assert workload_of(raw).gpus == 24


def test_ports_of_a_service() -> None:
    """By where they lead, by number or name; else by their own name."""
    assert (port_of(service("s", {}), "grpc", WORKLOAD), port_of(service("s", {}), "http", WORKLOAD)) == (9001, 8000)
    named = service("s", {}, {"port": 80, "targetPort": "x", "name": "http-inference"})
    assert (port_of(named, "http", WORKLOAD), port_of(named, "grpc", WORKLOAD)) == (80, None)
    bare = service("s", {}, {"port": 8001})
    assert port_of(bare, "grpc", WORKLOAD) == 8001
