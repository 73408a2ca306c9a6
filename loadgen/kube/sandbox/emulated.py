"""The emulated Triton as an image of the sandbox, and as plain manifests: what the chart will deploy, until it does.

The server is the real one of the local stack, the engine in it is emulated; engine load is a delay before the server
starts, settable by the environment variable EMULATED_LOAD_S.
"""

import shlex
from pathlib import Path
from typing import Any

from loadgen.kube.sandbox.config import SandboxConfig
from loadgen.kube.sandbox.images import reference
from loadgen.local.binaries import TritonProgram
from loadgen.local.engine.profile import EngineProfile
from loadgen.local.engine.repository import render_repository
from loadgen.local.prometheus import RATIO_METRIC, duration, ratio_rule
from loadgen.local.state import DRIVEN_MODEL
from loadgen.settings import Local

IMAGE = "nvcr.io/nvidia/tritonserver:24.10-py3"
NAME = "triton"
NAMESPACE = "triton"
HTTP, GRPC, METRICS = 8000, 8001, 8002
# Endpoints are gone from the gateway before the server is told to end.
_PRE_STOP_S = 3
_STARTUP_FAILURES = 300


def image(program: TritonProgram, folder: Path) -> dict[str, Any]:
    """The row of the image table for `tritonserver`; writes the script that starts it into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "tritonserver"
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in program.env.items())
    script.write_text(
        "#!/bin/sh\n"
        # an interruptible wait: a pod that is deleted while it loads ends at once
        'if [ "${EMULATED_LOAD_S:-0}" != 0 ]; then\n'
        '  trap "exit 143" TERM; sleep "$EMULATED_LOAD_S" & wait $!; trap - TERM\nfi\n'
        f"{exports}"
        f'exec {shlex.quote(str(program.path))} --backend-directory={shlex.quote(str(program.backend_dir))} "$@"\n'
    )
    script.chmod(0o755)
    return {"match": reference("nvidia/tritonserver"), "path": [str(folder)]}


def render_models(config: SandboxConfig, profile: EngineProfile) -> Path:
    """Write the model repository where the nodes have it; returns its folder."""
    folder = config.folder / "models"
    render_repository(folder, profile)
    return folder


def manifests(settings: Local, models: Path, *, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """Namespace, Deployment, Service, routes, PodMonitor, PrometheusRule and HPA, in the order to apply them."""
    labels = {"app": NAME}
    meta = {"name": NAME, "namespace": namespace, "labels": labels}
    scrape = duration(settings.scrape_interval_s)
    routed = {"kind": "Service", "name": NAME, "namespace": namespace}
    low, high = settings.replicas
    record = ratio_rule(model=DRIVEN_MODEL, window_s=settings.rate_window_s).replace("by (pod)", "by (namespace, pod)")
    target = {"type": "AverageValue", "averageValue": f"{round(settings.ratio_target * 1000)}m"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": _pod(settings, models)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {
                "selector": labels,
                "ports": [
                    {"name": "http", "port": HTTP, "targetPort": "http"},
                    {"name": "grpc", "port": GRPC, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"},
                ],
            },
        },
        {
            "apiVersion": "traefik.io/v1alpha1",
            "kind": "IngressRoute",
            "metadata": meta,
            "spec": {
                "entryPoints": ["web"],
                "routes": [
                    {
                        "kind": "Rule",
                        "match": "HeaderRegexp(`Content-Type`, `^application/grpc`)",
                        "priority": 10,
                        "services": [{**routed, "port": GRPC, "scheme": "h2c"}],
                    },
                    {
                        "kind": "Rule",
                        "match": "PathPrefix(`/`)",
                        "priority": 1,
                        "services": [{**routed, "port": HTTP}],
                    },
                ],
            },
        },
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PodMonitor",
            "metadata": meta,
            "spec": {
                "selector": {"matchLabels": labels},
                "podMetricsEndpoints": [{"port": "metrics", "interval": scrape, "scrapeTimeout": scrape}],
            },
        },
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": meta,
            "spec": {
                "groups": [{"name": NAME, "interval": scrape, "rules": [{"record": RATIO_METRIC, "expr": record}]}]
            },
        },
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": meta,
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
                "minReplicas": low,
                "maxReplicas": high,
                "metrics": [{"type": "Pods", "pods": {"metric": {"name": RATIO_METRIC}, "target": target}}],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": round(settings.scale_down_window_s)}},
            },
        },
    ]


def _pod(settings: Local, models: Path) -> dict[str, Any]:
    health = {"httpGet": {"path": "/v2/health/ready", "port": "http"}, "periodSeconds": 1}
    grace_s = round(settings.grace_s)
    container = {
        "name": "server",
        "image": IMAGE,
        "command": ["tritonserver"],
        "args": [
            "--model-repository=/models",
            "--disable-auto-complete-config",
            "--allow-gpu-metrics=false",
            "--metrics-interval-ms=1000",
            f"--exit-timeout-secs={max(1, grace_s - _PRE_STOP_S - 1)}",
        ],
        "env": [{"name": "EMULATED_LOAD_S", "value": f"{settings.startup_delay_s:g}"}],
        "ports": [
            {"name": name, "containerPort": port}
            for name, port in (("http", HTTP), ("grpc", GRPC), ("metrics", METRICS))
        ],
        "startupProbe": {**health, "failureThreshold": _STARTUP_FAILURES},
        "readinessProbe": {**health, "failureThreshold": 3},
        "lifecycle": {"preStop": {"sleep": {"seconds": _PRE_STOP_S}}},
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
    }
    return {
        "terminationGracePeriodSeconds": grace_s,
        "containers": [container],
        "volumes": [{"name": "models", "hostPath": {"path": str(models), "type": "Directory"}}],
    }
