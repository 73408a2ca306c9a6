"""Sets of values of the charts that are rendered, compared with golden files, and sent to a real API server."""

from pathlib import Path
from typing import Any

from loadgen.kube.deploy.chart import chart_folder
from support.charts.helm import LOADGEN, TRITON
from support.charts.load_cases import LOAD_CASES
from support.yaml_files import read_yaml

LEADER_WORKER_SET = Path(__file__).parent / "leaderworkerset.yaml"
_EXAMPLES = Path("examples")

_EMULATED: dict[str, Any] = {"mode": "emulated"}
_HOSTS: dict[str, Any] = {
    "host": "llm.example.com",
    "tlsSecret": "llm-tls",
    "hosts": [
        {"host": "*.llm.example.com"},
        {"host": "llm.example.org", "tlsSecret": "org-tls"},
        {"host": "llm.example.net", "tlsSecret": "org-tls"},
    ],
}
_OTHERS: dict[str, dict[str, Any]] = {
    "emulated-llmapi-servicemonitor": {
        **_EMULATED,
        "emulated": {"plays": "llmapi"},
        "metrics": {"monitor": "ServiceMonitor", "labels": {"release": "kube-prometheus-stack"}},
        "autoscaling": {"metrics": {"waiting": {"enabled": True}, "ttft": {"enabled": True}}},
    },
    "emulated-keda-from-zero": {
        **_EMULATED,
        "autoscaling": {
            "kind": "keda",
            "minReplicas": 0,
            "keda": {
                "prometheusUrl": "https://prometheus.example.com",
                "authentication": {
                    "name": "prometheus",
                    "kind": "ClusterTriggerAuthentication",
                    "modes": ["bearer", "tls"],
                },
                "headers": {"X-Scope-OrgID": "team-a", "X-Source": "keda"},
            },
            "activation": {"query": 'sum(rate(traefik_service_requests_total{service=~"demo.*"}[1m]))'},
        },
    },
    "emulated-keda-idle": {
        **_EMULATED,
        "autoscaling": {
            "kind": "keda",
            "minReplicas": 2,
            "activation": {"query": 'sum(rate(traefik_service_requests_total{service=~"demo.*"}[1m]))'},
            "keda": {
                "prometheusUrl": "http://prometheus-operated.monitoring.svc:9090",
                "idleReplicaCount": 0,
                "cooldownSeconds": 1800,
                "fallback": {"replicas": 3, "behavior": "currentReplicasIfHigher"},
                "triggers": [
                    {
                        "type": "cron",
                        "name": "office-hours",
                        "metadata": {
                            "timezone": "Europe/Berlin",
                            "start": "0 8 * * 1-5",
                            "end": "0 18 * * 1-5",
                            "desiredReplicas": "3",
                        },
                    },
                    {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}},
                    {
                        "type": "kafka",
                        "authenticationRef": {"name": "kafka"},
                        "metadata": {
                            "bootstrapServers": "kafka:9092",
                            "consumerGroup": "llm",
                            "topic": "prompts",
                            "lagThreshold": "50",
                        },
                    },
                ],
            },
        },
    },
    "emulated-hpa-from-zero": {
        **_EMULATED,
        "autoscaling": {
            "minReplicas": 0,
            "activation": {"query": 'sum(rate(traefik_service_requests_total{service=~"demo.*"}[1m]))'},
        },
    },
    "emulated-static": {
        **_EMULATED,
        "nameOverride": "llm",
        "autoscaling": {"enabled": False},
        "server": {"replicas": 3},
        "metrics": {"monitor": "none"},
        "rules": {"enabled": False},
        "dashboard": {"enabled": False},
        "adapter": {"configMap": False},
        "podDisruptionBudget": {"enabled": False},
        "service": {"headless": False},
        "serviceAccount": {"create": False},
    },
    "emulated-everything-set": {
        **_EMULATED,
        "image": {"pullSecrets": ["ngc"], "pullPolicy": "Always"},
        "gpu": {"perPod": 1, "products": ["NVIDIA-L40S", "NVIDIA-A10"]},
        "modelVolume": {"claimName": "models"},
        "model": {"tokenSecret": {"name": "hf-token"}},
        "server": {
            "grpcMaxConnectionAgeSeconds": 300,
            "preStopSeconds": 0,
            "extraArgs": ["--http-thread-count=16"],
            "env": [{"name": "TZ", "value": "UTC"}],
            "resources": {
                "requests": {"cpu": "500m", "memory": "2Gi", "ephemeral-storage": "256Mi"},
                "limits": {"cpu": 2, "memory": "4Gi", "ephemeral-storage": "4Gi"},
            },
        },
        "pod": {
            "labels": {"team": "serving"},
            "annotations": {"example.com/note": "x"},
            "nodeSelector": {"pool": "gpu"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}
                        ]
                    }
                }
            },
            "topologySpreadConstraints": [],
            "priorityClassName": "serving",
            "runtimeClassName": "nvidia",
        },
        "serviceAccount": {"name": "llm", "annotations": {"example.com/role": "reader"}},
        "rules": {"reference": {"enabled": True}, "ratio": {"idleRatio": 0.1}},
        "networkPolicy": {"enabled": True, "clients": [{"podSelector": {"matchLabels": {"app": "gateway"}}}]},
    },
    "emulated-nginx": {
        **_EMULATED,
        "ingress": {"kind": "nginx", "host": "llm.example.com", "tlsSecret": "llm-tls"},
    },
    "emulated-gateway": {
        **_EMULATED,
        "ingress": {
            "kind": "gateway",
            "host": "llm.example.com",
            "gateway": {"name": "public", "namespace": "gateways", "httpHost": "http.llm.example.com"},
        },
    },
    "emulated-nginx-hosts": {**_EMULATED, "ingress": {"kind": "nginx", **_HOSTS}},
    "emulated-traefik-hosts": {
        **_EMULATED,
        "ingress": {"kind": "traefik", "traefik": {"entryPoints": ["websecure"]}, **_HOSTS},
    },
    "emulated-gateway-hosts": {
        **_EMULATED,
        "ingress": {
            "kind": "gateway",
            "host": "llm.example.com",
            "hosts": [{"host": "*.grpc.example.com"}, {"host": "llm.example.org"}],
            "gateway": {
                "name": "public",
                "sectionName": "https",
                "sectionNames": ["https-grpc", "https-org"],
                "httpHost": "http.llm.example.com",
                "httpHosts": ["http.llm.example.org"],
            },
        },
    },
    "emulated-load-balancer": {
        **_EMULATED,
        "service": {
            "type": "LoadBalancer",
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "annotations": {"service.beta.kubernetes.io/aws-load-balancer-type": "external"},
        },
    },
    "emulated-group-keda": {
        **_EMULATED,
        "parallelism": {"tensor": 8, "pipeline": 2},
        "multiNode": {"enabled": True, "exclusiveTopology": "topology.kubernetes.io/rack"},
        "pod": {"labels": {"team": "serving"}, "schedulerName": "volcano"},
        "autoscaling": {"kind": "keda", "keda": {"prometheusUrl": "http://prometheus-operated.monitoring.svc:9090"}},
    },
    "engine-group": {
        "mode": "engine",
        "model": {"repository": "meta-llama/Llama-3.1-405B-Instruct"},
        "parallelism": {"tensor": 4, "pipeline": 3},
        "gpu": {"products": ["NVIDIA-H100-80GB-HBM3"], "perNode": 4},
        "multiNode": {"enabled": True},
        "modelVolume": {"claimName": "models"},
        "autoscaling": {"enabled": False},
        "server": {"replicas": 2},
        "networkPolicy": {"enabled": True},
    },
    "llmapi-from-s3": {
        "mode": "llmapi",
        "model": {
            "uri": "s3://models/llama-3.1-8b/v1",
            "s3": {
                "endpoint": "https://minio.storage.svc:9000",
                "region": "eu-central-1",
                "credentialsSecret": {"name": "s3"},
                "ca": {"configMap": "minio-ca"},
            },
        },
    },
    "llmapi-group-dra": {
        "mode": "llmapi",
        "model": {"repository": "meta-llama/Llama-3.1-405B-Instruct"},
        "parallelism": {"tensor": 8, "pipeline": 2},
        "multiNode": {"enabled": True},
        "gpu": {
            "dra": {"enabled": True, "selectors": ['device.attributes["gpu.nvidia.com"].architecture == "Hopper"']}
        },
        "pod": {"resourceClaims": [{"name": "rdma", "resourceClaimTemplateName": "rdma"}]},
        "server": {
            "resources": {
                "requests": {"cpu": "32", "memory": "512Gi", "ephemeral-storage": "256Mi"},
                "limits": {"memory": "1Ti", "ephemeral-storage": "512Gi"},
                "claims": [{"name": "rdma"}],
            }
        },
    },
    "engine-gpus-of-the-runtime": {
        "mode": "engine",
        "model": {"repository": "meta-llama/Llama-3.1-8B-Instruct"},
        "gpu": {"products": ["NVIDIA-L40S"], "resource": "", "visibleDevices": "0"},
        "modelVolume": {"claimName": "models"},
        "pod": {"runtimeClassName": "nvidia"},
    },
    "engine-from-a-claim": {
        "mode": "engine",
        "model": {"uri": "pvc://shared/llama-3.1-8b"},
        "gpu": {"products": ["NVIDIA-L40S"]},
        "modelVolume": {"claimName": "engines"},
        "engine": {"build": {"by": "pod"}},
    },
    "llmapi-from-a-volume": {
        "mode": "llmapi",
        "model": {"path": "llama-3.1-8b"},
        "modelVolume": {"hostPath": "/data/models"},
        "llmapi": {"extraArgs": {"enable_chunked_prefill": True}},
        "ingress": {"kind": "traefik", "host": "llm.example.com", "tlsSecret": "llm-tls"},
    },
}


def _triton_cases() -> dict[str, dict[str, Any]]:
    """Values by name: the examples of the chart, and what they leave out."""
    examples = {path.stem: read_yaml(path) for path in sorted((chart_folder() / _EXAMPLES).glob("*.yaml"))}
    return {**examples, **_OTHERS}


TRITON_CASES = _triton_cases()
CASES = {TRITON: TRITON_CASES, LOADGEN: LOAD_CASES}
"""Values by chart and name."""

_BASE_OF_MODE = {"emulated": "emulated", "llmapi": "llama-3.1-8b-h100", "engine": "llama-3.1-8b-a100"}
BASE = {
    TRITON: {name: _BASE_OF_MODE[values["mode"]] for name, values in TRITON_CASES.items()}
    | dict.fromkeys(_BASE_OF_MODE.values(), "emulated"),
    LOADGEN: dict.fromkeys(LOAD_CASES, "job-namespace"),
}
"""The case that a case is compared with in its golden file; the base of a chart is its own, and stored whole."""
