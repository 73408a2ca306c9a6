"""Setups for the pitfalls of pods and traffic: with a pitfall, and close to one."""

import copy

from support.lint.changes import HEADLESS, Change, add, both, command, group, hpa, pod, probe, server, without

PORTS = [{"name": "http", "containerPort": 8000}, {"name": "metrics", "containerPort": 9000}]
"""Ports that do not tell that the server is Triton."""


def asked_by(name: str, *words: str) -> Change:
    """A change of a probe that asks with a command."""
    return lambda setup: server(setup)[name].update(httpGet=None, exec={"command": list(words)})


HAS: list[tuple[str, Change]] = [
    ("probe.kills_loading", both(without(server, "startupProbe"), probe("livenessProbe", initialDelaySeconds=60))),
    (
        "probe.kills_loading",
        both(without(server, "startupProbe"), lambda s: server(s).update(image="registry.example/llm:1", ports=PORTS)),
    ),
    ("probe.no_startup", both(without(server, "startupProbe"), probe("livenessProbe", initialDelaySeconds=900))),
    ("probe.startup_short", probe("startupProbe", failureThreshold=12)),
    ("probe.no_readiness", without(server, "readinessProbe")),
    ("probe.readiness_live", probe("readinessProbe", httpGet={"path": "/v2/health/live", "port": "http"})),
    ("probe.readiness_live", lambda s: server(s).update(readinessProbe={"tcpSocket": {"port": 8001}})),
    ("probe.readiness_live", asked_by("readinessProbe", "curl", "-fsS", "http://localhost:8000/v2/health/live")),
    ("probe.liveness_ready", probe("livenessProbe", httpGet={"path": "/v2/health/ready", "port": "http"})),
    (
        "probe.liveness_ready",
        asked_by("livenessProbe", "sh", "-c", "wget -qO- localhost:8000/v2/health/ready || exit 1"),
    ),
    ("probe.liveness_tcp", probe("livenessProbe", httpGet=None, tcpSocket={"port": 8001})),
    (
        "probe.liveness_as_readiness",
        both(
            probe("livenessProbe", httpGet={"path": "/health/ready", "port": 9000}),
            probe("readinessProbe", httpGet={"path": "/health/ready", "port": 9000}),
        ),
    ),
    (
        "probe.liveness_as_readiness",
        both(
            probe("livenessProbe", httpGet=None, grpc={"port": 8001}, failureThreshold=6),
            probe("readinessProbe", httpGet=None, grpc={"port": 8001}, failureThreshold=30),
        ),
    ),
    ("probe.liveness_hasty", probe("livenessProbe", periodSeconds=2)),
    ("probe.not_strict", command("--strict-readiness=false")),
    ("probe.explicit_models", command("--model-control-mode=explicit")),
    ("pod.grace_short", lambda s: pod(s).update(terminationGracePeriodSeconds=60)),
    ("pod.grace_short", lambda s: pod(s).update(terminationGracePeriodSeconds=0)),
    (
        "pod.grace_short",
        lambda s: [
            pod(s).update(terminationGracePeriodSeconds=0),
            server(s).update(args=["--model-repository=/models"]),
        ],
    ),
    (
        "pod.grace_short",
        lambda s: server(s)["lifecycle"].update(preStop={"exec": {"command": ["sh", "-c", "sleep 30"]}}),
    ),
    ("pod.grace_default", lambda s: [pod(s).pop("terminationGracePeriodSeconds"), server(s).update(args=[])]),
    ("pod.exit_timeout", lambda s: server(s).update(args=["--model-repository=/models"])),
    ("pod.no_prestop", without(server, "lifecycle")),
    ("pod.no_gpu", without(server, "resources")),
    ("pod.gpu_request", lambda s: server(s).update(resources={"requests": {"nvidia.com/gpu": 1}})),
    (
        "pod.gpu_request",
        lambda s: server(s).update(resources={"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": "2"}}),
    ),
    ("pod.shared_memory", without(server, "volumeMounts")),
    ("rollout.recreate", lambda s: s["Deployment"]["spec"].update(strategy={"type": "Recreate"})),
    (
        "rollout.unavailable",
        lambda s: s["Deployment"]["spec"]["strategy"].update(rollingUpdate={"maxUnavailable": "100%"}),
    ),
    ("rollout.unavailable", group(maxUnavailable=2)),
    ("disruption.none", lambda s: s.pop("PodDisruptionBudget")),
    ("disruption.none", lambda s: s["PodDisruptionBudget"]["spec"].update(selector={"matchLabels": {"app": "other"}})),
    ("disruption.blocked", lambda s: s["PodDisruptionBudget"]["spec"].update(maxUnavailable=0)),
    (
        "disruption.blocked",
        lambda s: s["PodDisruptionBudget"].update(
            spec={"minAvailable": "100%", "selector": {"matchLabels": {"app": "llm"}}}
        ),
    ),
    ("traffic.grpc_per_connection", lambda s: s.pop("IngressRoute")),
    (
        "traffic.grpc_per_connection",
        lambda s: s["IngressRoute"]["spec"]["routes"][0]["services"][0].update(name="other"),
    ),
    ("traffic.not_ready", lambda s: s["Service"]["spec"].update(publishNotReadyAddresses=True)),
    ("traffic.affinity", lambda s: s["Service"]["spec"].update(sessionAffinity="ClientIP")),
]
"""A change for each pitfall, often several: the good setup with it has this pitfall and no other."""

HAS_NOT: dict[str, Change | None] = {
    "a readiness probe with a command": asked_by("readinessProbe", "curl", "-f", "localhost:8000/v2/health/ready"),
    "a startup probe of five minutes": probe("startupProbe", failureThreshold=60),
    "explicit models that are loaded": command("--model-control-mode=explicit", "--load-model=tensorrt_llm_bls"),
    "the same call with a long liveness": both(
        probe("livenessProbe", httpGet=None, grpc={"port": 8001}, failureThreshold=12),
        probe("readinessProbe", httpGet=None, grpc={"port": 8001}),
    ),
    "a request of GPUs that is its limit": lambda s: server(s).update(
        resources={"requests": {"nvidia.com/gpu": 1, "cpu": "2"}, "limits": {"nvidia.com/gpu": "1"}}
    ),
    "a GPU by a claim": lambda s: server(s).update(resources={"claims": [{"name": "gpus"}]}),
    "a GPU by the runtime": lambda s: server(s).update(
        resources={}, env=[{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]
    ),
    "a slice of a GPU": lambda s: server(s).update(resources={"limits": {"nvidia.com/mig-1g.10gb": 1}}),
    "a quarter unavailable of two": lambda s: s["Deployment"]["spec"].pop("strategy"),
    "one unavailable of two": lambda s: s["Deployment"]["spec"]["strategy"].update(rollingUpdate={"maxUnavailable": 1}),
    "a group": group(),
    "a StatefulSet": lambda s: [
        s["Deployment"].update(kind="StatefulSet"),
        hpa(s)["scaleTargetRef"].update(kind="StatefulSet"),
    ],
    "half of two evictable": lambda s: s["PodDisruptionBudget"].update(spec={"minAvailable": 1, "selector": {}}),
    "a headless Service for clients": both(lambda s: s.pop("IngressRoute"), add(HEADLESS)),
    "connections that end": both(lambda s: s.pop("IngressRoute"), command("--grpc-max-connection-age=30000")),
    "a mesh": both(
        lambda s: s.pop("IngressRoute"),
        lambda s: s["Deployment"]["spec"]["template"]["metadata"].update(annotations={"linkerd.io/inject": "enabled"}),
    ),
    "a gateway that is not read": both(
        lambda s: s.pop("IngressRoute"),
        add({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "v"}}),
    ),
    "a Service of the metrics only, before the pods are ready": add(
        {
            **copy.deepcopy(HEADLESS),
            "spec": {
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": {"app": "llm"},
                "ports": [{"name": "metrics", "port": 8002}],
            },
        },
    ),
}
"""None of these has a pitfall."""
