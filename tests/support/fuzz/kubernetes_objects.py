"""Valid Kubernetes objects with every field that is read."""

from typing import Any

STAMP = "2026-11-30T10:00:00Z"


def _meta(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": "n",
        "uid": f"uid-{name}",
        "labels": {"app": "llm"},
        "resourceVersion": "1",
        "creationTimestamp": STAMP,
        "generation": 2,
        **fields,
    }


def _condition(kind: str, status: str = "True") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "R", "message": "m.", "lastTransitionTime": STAMP}


def _container_status(name: str, **state: Any) -> dict[str, Any]:
    failed = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": STAMP}}
    return {
        "name": name,
        "image": "i",
        "restartCount": 2,
        "state": state or {"running": {"startedAt": STAMP}},
        "lastState": failed,
    }


CONTAINER = {
    "name": "triton",
    "image": "tritonserver:26.07",
    "command": ["tritonserver"],
    "args": ["--http-port=8000", "--grpc-port", "8001"],
    "ports": [{"containerPort": 8000, "name": "http"}, {"containerPort": 8002, "name": "metrics", "protocol": "TCP"}],
    "readinessProbe": {"httpGet": {"path": "/v2/health/ready", "port": "http"}},
    "livenessProbe": {"grpc": {"port": 8001}},
}
TEMPLATE = {
    "metadata": {"labels": {"app": "llm"}},
    "spec": {"containers": [CONTAINER], "volumes": [{"name": "emulated"}]},
}
DEPLOYMENT = {
    "metadata": _meta("llm", annotations={"deployment.kubernetes.io/revision": "2"}),
    "spec": {
        "replicas": 2,
        "paused": False,
        "selector": {
            "matchLabels": {"app": "llm"},
            "matchExpressions": [{"key": "k", "operator": "In", "values": ["a"]}],
        },
        "template": TEMPLATE,
    },
    "status": {
        "replicas": 2,
        "updatedReplicas": 1,
        "observedGeneration": 2,
        "conditions": [_condition("ReplicaFailure")],
    },
}
LWS = {
    "metadata": _meta("llm"),
    "spec": {
        "replicas": 2,
        "leaderWorkerTemplate": {"leaderTemplate": TEMPLATE, "workerTemplate": TEMPLATE},
        "rolloutStrategy": {"rollingUpdateConfiguration": {"partition": 0}},
    },
    "status": {"replicas": 2, "updatedReplicas": 2, "observedGeneration": 2},
}
REPLICA_SET = {
    "metadata": _meta(
        "llm-1",
        labels={"pod-template-hash": "h"},
        annotations={"deployment.kubernetes.io/revision": "2"},
        ownerReferences=[{"kind": "Deployment", "name": "llm", "uid": "uid-llm"}],
    )
}
POD = {
    "metadata": _meta(
        "llm-a", labels={"pod-template-hash": "h"}, deletionTimestamp=STAMP, deletionGracePeriodSeconds=30
    ),
    "spec": {"nodeName": "node-1"},
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "startTime": STAMP,
        "conditions": [_condition("PodScheduled"), _condition("Ready"), _condition("DisruptionTarget", "False")],
        "initContainerStatuses": [_container_status("engine")],
        "containerStatuses": [
            _container_status("triton"),
            _container_status("b", waiting={"reason": "CrashLoopBackOff"}),
        ],
    },
}
PENDING = {
    "metadata": _meta("llm-b"),
    "status": {"phase": "Pending", "conditions": [{**_condition("PodScheduled", "False"), "reason": "Unschedulable"}]},
}
FAILED = {
    "metadata": _meta("llm-c"),
    "status": {
        "phase": "Failed",
        "reason": "Evicted",
        "containerStatuses": [_container_status("triton", terminated={"exitCode": 137, "finishedAt": STAMP})],
    },
}
EVENT = {
    "metadata": _meta("e"),
    "involvedObject": {"kind": "Pod", "name": "llm-b", "uid": "uid-llm-b"},
    "type": "Warning",
    "reason": "TriggeredScaleUp",
    "message": "pod triggered scale-up",
    "count": 3,
    "lastTimestamp": STAMP,
    "eventTime": "2026-11-30T10:00:00.123456Z",
    "series": {"lastObservedTime": STAMP},
    "source": {"component": "karpenter"},
}
RESCALE = {
    "metadata": _meta("r"),
    "involvedObject": {"kind": "HorizontalPodAutoscaler", "name": "llm"},
    "reason": "SuccessfulRescale",
    "message": "New size: 3; reason: x",
    "lastTimestamp": STAMP,
}
NODE = {
    "metadata": _meta("node-1"),
    "status": {"conditions": [_condition("Ready")], "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}]},
}
HPA = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": _meta("llm"),
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"},
        "minReplicas": 1,
        "maxReplicas": 4,
        "metrics": [
            {
                "type": "Pods",
                "pods": {"metric": {"name": "ratio"}, "target": {"type": "AverageValue", "averageValue": "150m"}},
            },
            {
                "type": "External",
                "external": {
                    "metric": {
                        "name": "s0-prometheus",
                        "selector": {"matchLabels": {"scaledobject.keda.sh/name": "llm"}},
                    },
                    "target": {"type": "Value", "value": "1"},
                },
            },
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            },
        ],
        "behavior": {
            "scaleUp": {"tolerance": "50m", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]},
            "scaleDown": {"stabilizationWindowSeconds": 300, "selectPolicy": "Min"},
        },
    },
    "status": {
        "currentReplicas": 2,
        "desiredReplicas": 3,
        "lastScaleTime": STAMP,
        "currentMetrics": [
            {"type": "Pods", "pods": {"metric": {"name": "ratio"}, "current": {"averageValue": "20m"}}},
            {"type": ""},
        ],
        "conditions": [_condition("ScalingActive", "False")],
    },
}
MANIFEST = {**HPA, "metadata": {"name": "llm"}}
SCALED_OBJECT = {
    "metadata": _meta("llm"),
    "spec": {
        "scaleTargetRef": {"name": "llm"},
        "pollingInterval": 15,
        "cooldownPeriod": 60,
        "triggers": [
            {
                "type": "prometheus",
                "useCachedMetrics": True,
                "metadata": {"query": 'avg(ratio{a="b"})', "threshold": "1", "activationThreshold": "0.5"},
            }
        ],
    },
}
SERVICE = {
    "metadata": _meta("llm", labels={"app.kubernetes.io/name": "prometheus"}),
    "spec": {
        "clusterIP": "10.96.0.7",
        "selector": {"app": "llm"},
        "ports": [
            {"name": "http", "port": 8000, "targetPort": "http", "nodePort": 30000},
            {"name": "grpc", "port": 9090, "targetPort": 8001, "appProtocol": "grpc", "protocol": "TCP"},
        ],
    },
    "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example"}]}},
}
INGRESS = {
    "metadata": _meta("i", annotations={"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"}),
    "spec": {
        "tls": [{"hosts": ["a"]}],
        "rules": [{"host": "a.example", "http": {"paths": [{"path": "/", "backend": {"service": {"name": "llm"}}}]}}],
    },
    "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}]}},
}
INGRESS_ROUTE = {
    "metadata": _meta("r"),
    "spec": {
        "entryPoints": ["http"],
        "routes": [{"match": "Host(`a.example`)", "services": [{"name": "llm", "port": 8000}]}],
    },
}
ROUTE = {
    "metadata": _meta("g"),
    "spec": {
        "hostnames": ["b.example"],
        "parentRefs": [{"name": "gw", "sectionName": "web"}],
        "rules": [{"backendRefs": [{"name": "llm", "port": 8001}]}],
    },
}
GATEWAY = {
    "metadata": _meta("gw"),
    "spec": {"listeners": [{"name": "web", "port": 443, "protocol": "HTTPS"}]},
    "status": {"addresses": [{"type": "IPAddress", "value": "192.0.2.3"}]},
}
