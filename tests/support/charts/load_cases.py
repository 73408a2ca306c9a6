"""Sets of values of the chart `loadgen` that are rendered, compared, and shown to a real API server."""

from typing import Any

LOCUSTFILE = """\
from loadgen.locust import Constant, Scenario, TritonUser


class Steady(TritonUser):
    scenario = Scenario(name="steady", load=Constant(per_s=4, duration_s=60))
"""

LOAD_CASES: dict[str, dict[str, Any]] = {
    "job-url": {"target": {"url": "grpc://llm-triton-trtllm.serving:8001"}},
    "job-namespace": {
        "target": {"namespace": "serving", "workload": "llm-triton-trtllm"},
        "locustfile": {"content": LOCUSTFILE},
        "runs": {"create": {"enabled": True}},
    },
    "job-workers": {
        "target": {"namespace": "serving"},
        "workers": {"count": 3},
        "processes": 2,
        "runs": {"create": {"enabled": True, "accessModes": ["ReadWriteMany"], "storageClassName": "nfs"}},
        "networkPolicy": {"egress": []},
    },
    "nightly": {
        "kind": "CronJob",
        "target": {
            "namespace": "serving",
            "workload": "llm-triton-trtllm",
            "hpa": "llm-triton-trtllm",
            "endpoint": "ingress",
            "prometheus": "monitoring/prometheus-operated:9090",
        },
        "runs": {"keepUrl": "s3://load-tests/nightly"},
        "rbac": {"proxyNamespaces": ["monitoring"]},
        "serviceAccount": {"annotations": {"example.com/role": "writes-load-tests"}},
        "networkPolicy": {
            "egress": [
                {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "traefik"}}}]},
                {"ports": [{"port": 443}]},
            ]
        },
    },
    "nightly-workers": {
        "kind": "CronJob",
        "target": {"namespace": "serving"},
        "workers": {"count": 2},
        "runs": {"claimName": "runs", "keepUrl": "s3://load-tests/nightly"},
        "rbac": {"nodes": False},
    },
    "web": {
        "kind": "Deployment",
        "target": {"url": "http://llm-triton-trtllm.serving:8000"},
        "locustfile": {"configMap": {"name": "mine", "key": "waves.py"}},
        "processes": 2,
        "networkPolicy": {
            "clients": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tools"}}}]
        },
    },
    "web-workers": {
        "kind": "Deployment",
        "target": {"namespace": "serving"},
        "workers": {"count": 2, "secret": {"name": "mine", "key": "word"}},
        "runs": {"claimName": "runs"},
    },
    "everything-set": {
        "nameOverride": "load",
        "image": {
            "repository": "team/triton-loadgen",
            "tag": "mine",
            "pullPolicy": "Always",
            "pullSecrets": ["registry"],
        },
        "target": {
            "namespace": "serving",
            "workload": "llm",
            "service": "llm-http",
            "endpoint": "http://llm.example.com",
            "prometheus": "http://prometheus-operated.monitoring:9090",
        },
        "extraArgs": ["--run-time=10m", "--no-stream"],
        "env": [{"name": "TZ", "value": "UTC"}],
        "resources": {
            "requests": {"cpu": 4, "memory": "4Gi", "ephemeral-storage": "4Gi"},
            "limits": {"memory": "4Gi", "ephemeral-storage": "4Gi"},
        },
        "job": {"activeDeadlineSeconds": 3600, "ttlSecondsAfterFinished": 86400},
        "rbac": {"create": False},
        "networkPolicy": {"enabled": False},
        "serviceAccount": {"create": False, "name": "observer"},
        "pod": {
            "labels": {"team": "serving"},
            "annotations": {"example.com/note": "x"},
            "nodeSelector": {"pool": "cpu"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "affinity": {},
            "priorityClassName": "",
            "extraVolumes": [{"name": "prompts", "configMap": {"name": "prompts"}}],
            "extraVolumeMounts": [{"name": "prompts", "mountPath": "/prompts", "readOnly": True}],
            "terminationGracePeriodSeconds": 300,
        },
    },
}
