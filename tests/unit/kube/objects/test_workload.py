"""Which workload, autoscaler and Service are meant: found when unique, else the candidates are listed."""

import pytest

from loadgen.base.errors import TargetError
from loadgen.kube.objects.workload import candidates, choose_hpa, choose_service, choose_workload, port_of
from support.kube.workloads import LABELS, WORKLOAD, deployment, hpa, leaders, service


def test_the_bundled_chart_goes_before_what_only_looks_like_triton() -> None:
    """An image of Triton, or its ports, will do where the chart is not."""
    alike = deployment("alike", image="nvcr.example/nvidia/tritonserver:26.07-py3")
    ports = deployment("ports", ports=({"containerPort": 8001}, {"containerPort": 8002}))
    other = deployment("other", ports=({"containerPort": 8001},))
    assert candidates([alike, deployment("t", chart=True)], None) == [deployment("t", chart=True)]
    assert [each["metadata"]["name"] for each in candidates([other, alike, ports], None)] == ["alike", "ports"]


def test_several_are_listed() -> None:
    """With the flag that chooses among them."""
    both = [deployment("a", chart=True), deployment("b", chart=True)]
    with pytest.raises(TargetError, match="2 candidates in llm: llm/a, llm/b; choose one with --kube-workload"):
        choose_workload(both, name=None, where="in llm")
    both[1]["metadata"]["namespace"] = "other"
    with pytest.raises(TargetError, match="llm/a, other/b; choose one with --kube-namespace"):
        choose_workload(both, name=None, where="in any namespace")


def test_none_is_told_with_what_to_do() -> None:
    """And a name that is not there with those that are."""
    with pytest.raises(TargetError, match=r"nothing in llm looks like Triton .* deploy one with `loadgen deploy`"):
        choose_workload([deployment("x")], name=None, where="in llm")
    with pytest.raises(TargetError, match="no Deployment or LeaderWorkerSet y in llm: Deployment x"):
        choose_workload([deployment("x")], name="y", where="in llm")


def test_ports_and_labels_of_the_pods() -> None:
    """By the names of the ports, else Triton's own; old and new pods of a rollout are selected alike."""
    ports = ({"name": "grpc", "containerPort": 9001}, {"name": "http", "containerPort": 9000})
    found = choose_workload([deployment("t", chart=True, ports=ports)], name=None, where="here")
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
    assert choose_workload([raw], name=None, where="").selector == "a=1,b in (x,y),c notin (z),d,!e"


def test_of_a_group_the_leader_alone_serves() -> None:
    """By the labels that its controller adds."""
    found = choose_workload([leaders("g")], name=None, where="")
    assert found.selector == "leaderworkerset.sigs.k8s.io/name=g,leaderworkerset.sigs.k8s.io/worker-index=0"
    assert found.kind == "LeaderWorkerSet"


@pytest.mark.parametrize(
    ("raw", "emulated"),
    [
        (deployment("t", chart=True, volumes=("models", "emulated")), True),
        (deployment("t", chart=True, volumes=("models",)), False),
        (deployment("t", image="tritonserver", volumes=("emulated",)), False),
    ],
)
def test_an_emulated_engine_is_known(raw: dict, emulated: bool) -> None:
    """Of the bundled chart only: what others call a volume says nothing."""
    assert choose_workload([raw], name=None, where="").emulated is emulated


def test_the_autoscaler_is_the_one_that_scales_it() -> None:
    """None is fine, two fight, and a named one must scale this workload."""
    mine = hpa("mine", "t")
    assert choose_hpa([hpa("x", "u"), mine, hpa("z", "t", "StatefulSet")], WORKLOAD, name=None) == mine
    assert choose_hpa([hpa("x", "u")], WORKLOAD, name=None) is None
    with pytest.raises(TargetError, match=r"2 candidates .*llm/mine, llm/too; choose one with --kube-hpa"):
        choose_hpa([mine, hpa("too", "t")], WORKLOAD, name=None)
    assert choose_hpa([mine, hpa("too", "t")], WORKLOAD, name="too")["metadata"]["name"] == "too"
    with pytest.raises(TargetError, match="the autoscaler x scales Deployment u, not Deployment t in namespace llm"):
        choose_hpa([hpa("x", "u")], WORKLOAD, name="x")
    with pytest.raises(TargetError, match="no autoscaler y in namespace llm: x"):
        choose_hpa([hpa("x", "u")], WORKLOAD, name="y")


def test_the_service_is_the_one_that_selects_it() -> None:
    """Not a headless one, not one of other pods, not one for its metrics only."""
    mine = service("mine", {"app.kubernetes.io/instance": "a"})
    others = [
        service("headless", LABELS, ip="None"),
        service("other", {"app.kubernetes.io/instance": "b"}),
        service("metrics", LABELS, {"port": 8002, "targetPort": 8002, "name": "metrics"}),
        service("all", {}),
    ]
    assert choose_service([*others, mine], WORKLOAD, name=None) == mine
    assert choose_service(others, WORKLOAD, name=None) is None
    with pytest.raises(TargetError, match="no Service y in namespace llm: mine"):
        choose_service([mine], WORKLOAD, name="y")


def test_ports_of_a_service() -> None:
    """By where they lead, by number or name; else by their own name."""
    assert (port_of(service("s", {}), "grpc", WORKLOAD), port_of(service("s", {}), "http", WORKLOAD)) == (9001, 8000)
    named = service("s", {}, {"port": 80, "targetPort": "x", "name": "http-inference"})
    assert (port_of(named, "http", WORKLOAD), port_of(named, "grpc", WORKLOAD)) == (80, None)
    bare = service("s", {}, {"port": 8001})
    assert port_of(bare, "grpc", WORKLOAD) == 8001
