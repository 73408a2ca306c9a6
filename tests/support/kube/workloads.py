"""Minimal Deployments, LeaderWorkerSets, autoscalers and Services, as the Kubernetes API returns them."""

from collections.abc import Mapping
from typing import Any

from loadgen.kube.objects.workload import workload_of

LABELS = {"app.kubernetes.io/name": "triton-trtllm", "app.kubernetes.io/instance": "a"}


def deployment(
    name: str,
    *,
    chart: bool = False,
    image: str = "busybox",
    ports: tuple = (),
    volumes: tuple = (),
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    containers = [{"image": image, "ports": list(ports)}]
    return {
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "llm",
            "labels": {**({"helm.sh/chart": "triton-trtllm-0.1.0"} if chart else {}), **(labels or {})},
        },
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/instance": "a"}},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {"containers": containers, "volumes": [{"name": each} for each in volumes]},
            },
        },
    }


def leaders(name: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"image": "tritonserver:1"}]}}
    return {
        "kind": "LeaderWorkerSet",
        "metadata": {"name": name, "namespace": "llm", "labels": {}},
        "spec": {"leaderWorkerTemplate": {"leaderTemplate": template, "workerTemplate": template}},
    }


def hpa(name: str, target: str, kind: str = "Deployment") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "llm"}, "spec": {"scaleTargetRef": {"kind": kind, "name": target}}}


def service(name: str, selector: dict, *ports: dict, ip: str = "10.0.0.1") -> dict[str, Any]:
    ports = ports or ({"port": 8000, "targetPort": "http"}, {"port": 9001, "targetPort": "grpc"})
    return {
        "metadata": {"name": name, "namespace": "llm"},
        "spec": {"selector": selector, "ports": list(ports), "clusterIP": ip},
    }


WORKLOAD = workload_of(deployment("t", chart=True))
