"""The dashboard's replicas: what Kubernetes says where kube-state-metrics is there, and the same panels without it."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.charts.cases import TRITON_CASES as CASES
from support.charts.helm import objects
from support.charts.past_series import Line, Past, panel, past

NAMES = {"namespace": "serving", "horizontalpodautoscaler": "demo-triton-trtllm"}
PODS = [
    Line("up", {"job": "serving/demo-triton-trtllm", "pod": "a"}, value=1),
    Line("up", {"job": "serving/demo-triton-trtllm", "pod": "b"}, value=0),
    # two pods of this release queue 2.5 times as long as they compute, and another release a thousand times
    Line(
        "triton:queue_compute:ratio", {"namespace": "serving", "release": "demo-triton-trtllm", "pod": "a"}, value=2.5
    ),
    Line("triton:queue_compute:ratio", {"namespace": "serving", "release": "other", "pod": "x"}, value=1000),
]
AUTOSCALER = ("desired", "current", "min", "max", "desired by the ratio")


def shown(series: Past, title: str, *legends: str, **values: Any) -> dict[str, float]:
    return {legend: series.ask(panel(title, legend, **values))[""] for legend in legends}


def test_the_dashboard_shows_replicas_without_kube_state_metrics(tmp_path: Path) -> None:
    """Scrapes tell what runs and what answers, the ratio what is wanted, the values what is allowed."""
    with past(PODS, tmp_path) as series:
        assert shown(series, "Replicas", "running", "ready", "serving") == {"running": 2, "ready": 1, "serving": 1}
        # ⌈2.5 ÷ 1⌉, between 1 and 4
        wanted = {"desired": 3, "current": 2, "min": 1, "max": 4, "desired by the ratio": 3}
        assert shown(series, "Autoscaler", *AUTOSCALER) == wanted


def test_the_dashboard_prefers_kube_state_metrics(tmp_path: Path) -> None:
    """Its series win, those of this release alone, and however many instances of it there are."""
    hpa = {"desired": 7, "current": 5}
    state = [
        Line(f"kube_horizontalpodautoscaler_status_{name}_replicas", {**NAMES, "instance": one}, value=value)
        for name, value in hpa.items()
        for one in ("1", "2")
    ]
    limits = {"min": 2, "max": 9}
    state += [
        Line(f"kube_horizontalpodautoscaler_spec_{name}_replicas", NAMES, value=value) for name, value in limits.items()
    ]
    stranger = {**NAMES, "horizontalpodautoscaler": "other"}
    state += [Line("kube_horizontalpodautoscaler_status_desired_replicas", stranger, value=99)]
    deployment = {"namespace": "serving", "deployment": "demo-triton-trtllm"}
    state += [Line("kube_deployment_status_replicas_ready", deployment, value=4)]
    with past([*PODS, *state], tmp_path) as series:
        assert shown(series, "Replicas", "running", "ready", "serving") == {"running": 2, "ready": 4, "serving": 1}
        wanted = {"desired": 7, "current": 5, "min": 2, "max": 9, "desired by the ratio": 3}
        assert shown(series, "Autoscaler", *AUTOSCALER) == wanted


@pytest.mark.parametrize("name", CASES)
def test_every_panel_works_without_kube_state_metrics(name: str) -> None:
    """Every expression that asks it has another one after `or`; of a group, which it does not know, it is not asked."""
    for (kind, called), each in objects(CASES[name]).items():
        if kind == "ConfigMap" and called.endswith("-dashboard"):
            (text,) = each["data"].values()
            asked = [target["expr"] for one in json.loads(text)["panels"] for target in one["targets"]]
            assert all(" or " in expression for expression in asked if "kube_" in expression)
            of_deployments = [expression for expression in asked if "kube_deployment" in expression]
            assert bool(of_deployments) is not bool(CASES[name].get("multiNode"))
