"""Workload, HPA and Service of a run: selected when unique, otherwise the candidates are listed."""

import pytest

from loadgen.base.errors import TargetError
from loadgen.kube.discover.selection import candidates, choose_hpa, choose_service, choose_workload
from support.kube.workloads import LABELS, WORKLOAD, deployment, hpa, service


def test_the_bundled_chart_is_preferred_over_workloads_that_look_like_triton() -> None:
    """Without the chart, an image of Triton or its ports are enough."""
    alike = deployment("alike", image="nvcr.example/nvidia/tritonserver:26.07-py3")
    ports = deployment("ports", ports=({"containerPort": 8001}, {"containerPort": 8002}))
    other = deployment("other", ports=({"containerPort": 8001},))
    assert candidates([alike, deployment("t", chart=True)], None) == [deployment("t", chart=True)]
    assert [each["metadata"]["name"] for each in candidates([other, alike, ports], None)] == ["alike", "ports"]


def test_several_candidates_are_listed() -> None:
    """The error names the flag that chooses among them."""
    both = [deployment("a", chart=True), deployment("b", chart=True)]
    with pytest.raises(TargetError, match="2 candidates in llm: llm/a, llm/b; choose one with --kube-workload"):
        choose_workload(both, name=None, location="in llm")
    both[1]["metadata"]["namespace"] = "other"
    with pytest.raises(TargetError, match="llm/a, other/b; choose one with --kube-namespace"):
        choose_workload(both, name=None, location="in any namespace")


def test_no_candidate_is_an_error_with_advice() -> None:
    """For a name that does not exist, it lists the existing names."""
    with pytest.raises(TargetError, match=r"nothing in llm looks like Triton .* deploy one with `loadgen deploy`"):
        choose_workload([deployment("x")], name=None, location="in llm")
    with pytest.raises(TargetError, match="no Deployment or LeaderWorkerSet y in llm: Deployment x"):
        choose_workload([deployment("x")], name="y", location="in llm")


def test_the_hpa_is_the_one_that_scales_the_workload() -> None:
    """A workload may have none; two are an error; a named one must scale this workload."""
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


def test_the_service_is_the_one_that_selects_the_pods() -> None:
    """Headless Services, those of other pods and those for metrics only do not count."""
    mine = service("mine", {"app.kubernetes.io/instance": "a"})
    others = [
        service("headless", LABELS, ip="None"),
        service("other", {"app.kubernetes.io/instance": "b"}),
        service("metrics", LABELS, {"port": 8002, "targetPort": 8002, "name": "metrics"}),
        service("all", {}),
    ]
    others += [
        service(f"metrics-{index}", LABELS, {"port": 8002, "targetPort": target, "name": "http-metrics"})
        for index, target in enumerate((8002, "metrics", "http-metrics"))
    ]
    assert choose_service([*others, mine], WORKLOAD, name=None) == mine
    admin = service("admin", LABELS, {"port": 9090, "targetPort": 9090, "name": "http-admin"})
    assert choose_service([admin, mine], WORKLOAD, name=None) == mine
    assert choose_service(others, WORKLOAD, name=None) is None
    with pytest.raises(TargetError, match="no Service y in namespace llm: mine"):
        choose_service([mine], WORKLOAD, name="y")
