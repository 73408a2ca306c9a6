"""The chart `triton-trtllm` rejects contradictory values with a message that says what to change."""

from typing import Any

import pytest

from support.charts.helm import rejection, template

LLMAPI: dict[str, Any] = {"mode": "llmapi", "model": {"repository": "meta-llama/Llama-3.1-8B-Instruct"}}
ENGINE: dict[str, Any] = {
    **LLMAPI,
    "mode": "engine",
    "gpu": {"products": ["NVIDIA-H100-80GB-HBM3"]},
    "modelVolume": {"claimName": "models"},
}
EMULATED: dict[str, Any] = {"mode": "emulated"}

REJECTED = {
    "mode and tag: image without TensorRT-LLM": (
        {**LLMAPI, "image": {"tag": "26.07-py3"}},
        "use 26.07-trtllm-python-py3",
    ),
    "mode and tag: too new for engines": (
        {**ENGINE, "image": {"tag": "26.08-trtllm-python-py3"}},
        "mode engine needs release 26.07 or earlier",
    ),
    "mode and tag: release without TensorRT-LLM": (
        {**LLMAPI, "image": {"tag": "26.11-trtllm-python-py3"}},
        "Triton images do not include TensorRT-LLM from 26.11 on",
    ),
    "mode and tag: image without a server": (
        {**EMULATED, "image": {"tag": "26.07-py3-sdk"}},
        "use a tag such as 26.07-py3",
    ),
    "tag without a release": ({**EMULATED, "image": {"tag": "main"}}, "set image.checkTag=false"),
    "no model": ({"mode": "llmapi"}, "set model.repository"),
    "two models": ({**LLMAPI, "model": {"repository": "a/b", "path": "c"}}, "are both set"),
    "a repository and a URI": ({**LLMAPI, "model": {"repository": "a/b", "uri": "s3://models/llama"}}, "are both set"),
    "three models": (
        {**LLMAPI, "model": {"repository": "a/b", "path": "c", "uri": "s3://models/llama"}},
        "model.repository and model.path and model.uri are all set: keep one",
    ),
    "a revision of a folder in S3": (
        {"mode": "llmapi", "model": {"uri": "s3://models/llama", "revision": "v1"}},
        "leave it main, and put the version into model.uri",
    ),
    "keys for S3 and a model of Hugging Face": (
        {**LLMAPI, "model": {**LLMAPI["model"], "s3": {"credentialsSecret": {"name": "s3"}}}},
        "model.s3 is set, and model.uri is not in S3",
    ),
    "two CAs": (
        {"mode": "llmapi", "model": {"uri": "s3://models/llama", "s3": {"ca": {"configMap": "a", "secret": "b"}}}},
        "model.s3.ca.secret and model.s3.ca.configMap are both set",
    ),
    "a CA without TLS": (
        {
            "mode": "llmapi",
            "model": {"uri": "s3://models/llama", "s3": {"endpoint": "http://minio:9000", "ca": {"configMap": "a"}}},
        },
        "model.s3.endpoint begins with http://: use https://",
    ),
    "an NGC key and a model in S3": (
        {"mode": "llmapi", "model": {"uri": "s3://models/llama", "ngc": {"apiKeySecret": {"name": "ngc"}}}},
        "model.uri is not in NGC",
    ),
    "NGC with the image for S3": (
        {"mode": "llmapi", "model": {"uri": "ngc://nvidia/llama:1"}},
        "set it to an image of yours that has ngc and /bin/sh",
    ),
    "a model on the model volume as if on another claim": (
        {**ENGINE, "model": {"uri": "pvc://models/llama"}},
        "model.uri is on the claim models, which is the model volume: set model.path instead",
    ),
    "a model on the claim that the chart creates": (
        {
            "mode": "llmapi",
            "model": {"uri": "pvc://demo-triton-trtllm-models"},
            "modelVolume": {"create": {"enabled": True}},
        },
        "which is the model volume: set model.path instead",
    ),
    "engine without a volume": ({**ENGINE, "modelVolume": {"claimName": ""}}, "mode engine needs a volume"),
    "two volumes": ({**ENGINE, "modelVolume": {"claimName": "models", "hostPath": "/m"}}, "keep one"),
    "a Job with a hostPath volume": (
        {**ENGINE, "modelVolume": {"hostPath": "/data"}},
        "set engine.build.by=pod",
    ),
    "model.path without a volume": ({"mode": "llmapi", "model": {"path": "llama"}}, "set modelVolume"),
    "an engine for any GPU": ({**ENGINE, "gpu": {"products": []}}, "an engine is built for one GPU product"),
    "more GPUs than a node has": (
        {**LLMAPI, "parallelism": {"tensor": 16}},
        "a pod would need 16 GPUs, and a node has 8: lower parallelism, raise gpu.perNode if your nodes have more "
        "GPUs, or set multiNode.enabled=true to use several nodes",
    ),
    "a claim for no GPU": (
        {**EMULATED, "gpu": {"dra": {"enabled": True}}},
        "gpu.dra is enabled, and the pods have no GPUs: set gpu.perPod",
    ),
    "a claim and a MIG resource": (
        {**LLMAPI, "gpu": {"resource": "nvidia.com/mig-1g.10gb", "dra": {"enabled": True}}},
        "choose the devices by gpu.dra.deviceClass and selectors",
    ),
    "a claim and a GPU in the resources": (
        {**LLMAPI, "gpu": {"dra": {"enabled": True}}, "server": {"resources": {"limits": {"nvidia.com/gpu": 1}}}},
        "server.resources.limits has nvidia.com/gpu, and the chart gives the pod its GPUs by gpu.dra: leave it out",
    ),
    "a GPU and a MIG slice": (
        {**ENGINE, "engine": {"build": {"resources": {"requests": {"nvidia.com/mig-1g.10gb": 1}}}}},
        "engine.build.resources.requests has nvidia.com/mig-1g.10gb, and the chart gives the pod its GPUs by "
        "gpu.resource nvidia.com/gpu: leave it out",
    ),
    "GPUs of the runtime and of the device plugin": (
        {**LLMAPI, "gpu": {"resource": ""}, "server": {"resources": {"limits": {"nvidia.com/gpu": 1}}}},
        "the chart gives the pod its GPUs by gpu.visibleDevices: leave it out",
    ),
    "selectors for the user's template": (
        {**LLMAPI, "gpu": {"dra": {"enabled": True, "claimTemplate": "mine", "selectors": ["true"]}}},
        "put them into yours, or leave claimTemplate empty",
    ),
    "two claims with one name": (
        {
            **LLMAPI,
            "gpu": {"dra": {"enabled": True}},
            "pod": {"resourceClaims": [{"name": "gpus", "resourceClaimName": "x"}]},
        },
        "give yours another name",
    ),
    "chosen GPUs of a device plugin": (
        {**LLMAPI, "gpu": {"visibleDevices": "0"}},
        'gpu.visibleDevices is 0, and the GPUs are chosen by gpu.resource: set gpu.resource to ""',
    ),
    "too few chosen GPUs": (
        {**LLMAPI, "parallelism": {"tensor": 4}, "gpu": {"resource": "", "visibleDevices": "0,1"}},
        "gpu.visibleDevices has 2 GPUs, and a pod needs 4: list as many, or use all",
    ),
    "multi-node with one node": ({**LLMAPI, "multiNode": {"enabled": True}}, "fit on one node"),
    "GPUs that nodes cannot share evenly": (
        {**LLMAPI, "multiNode": {"enabled": True}, "parallelism": {"tensor": 3, "pipeline": 3}},
        "9 GPUs cannot be divided evenly among 2 nodes with gpu.perNode 8",
    ),
    "a group with too few GPUs": (
        {**LLMAPI, "multiNode": {"enabled": True}, "parallelism": {"tensor": 16}, "gpu": {"perPod": 4}},
        "gpu.perPod 4 on 2 nodes does not give the 16 GPUs of tensor × pipeline: leave gpu.perPod null",
    ),
    "ranks without a GPU": (
        {**LLMAPI, "parallelism": {"tensor": 4}, "gpu": {"perPod": 1}},
        "gpu.perPod 1 differs from the 4 GPUs of tensor × pipeline: each rank needs exactly one GPU; "
        "leave gpu.perPod null",
    ),
    "GPUs without a rank": ({**ENGINE, "gpu": {**ENGINE["gpu"], "perPod": 2}}, "gpu.perPod 2 differs from the 1 GPUs"),
    "no GPU at all": ({**LLMAPI, "gpu": {"perPod": 0}}, "gpu.perPod 0 differs from the 1 GPUs"),
    "a quantization in mode llmapi": (
        {**LLMAPI, "model": {**LLMAPI["model"], "quantization": "fp8"}},
        "mode llmapi reads the quantization from the checkpoint: set model.repository to a quantized model such as "
        "nvidia/Llama-3.1-8B-Instruct-FP8 and model.quantization=none, or use mode engine",
    ),
    "a group without a shared engine": (
        {
            **ENGINE,
            "multiNode": {"enabled": True},
            "parallelism": {"tensor": 16},
            "modelVolume": {"hostPath": "/data", "claimName": ""},
            "engine": {"build": {"by": "pod"}},
        },
        "the pods of a group share one engine",
    ),
    "a group on a volume for one node": (
        {
            **LLMAPI,
            "multiNode": {"enabled": True},
            "parallelism": {"tensor": 16},
            "modelVolume": {"create": {"enabled": True, "accessModes": ["ReadWriteOnce"]}},
        },
        "use ReadWriteMany",
    ),
    "replicas with an autoscaler": ({**EMULATED, "server": {"replicas": 2}}, "leave server.replicas null"),
    "minReplicas above maxReplicas": (
        {**EMULATED, "autoscaling": {"minReplicas": 5}},
        "lower minReplicas or raise maxReplicas",
    ),
    "no metric": (
        {**EMULATED, "autoscaling": {"metrics": {"ratio": {"enabled": False}, "busy": {"enabled": False}}}},
        "autoscaling has no metric",
    ),
    "autoscaler without rules": ({**EMULATED, "rules": {"enabled": False}}, "rules.enabled is false"),
    "autoscaler without metrics": ({**EMULATED, "metrics": {"monitor": "none"}}, "metrics.monitor is none"),
    "zero replicas without an activation query": (
        {**EMULATED, "autoscaling": {"minReplicas": 0}},
        "set autoscaling.activation.query",
    ),
    "an activation query without scaling to zero": (
        {**EMULATED, "autoscaling": {"activation": {"query": "sum(rate(requests[1m]))"}}},
        "set minReplicas 0, or leave activation.query empty",
    ),
    "rules of a policy that is off": (
        {**EMULATED, "networkPolicy": {"egress": []}},
        "set networkPolicy.enabled=true, or leave egress null",
    ),
    "a download that no rule allows": (
        {**LLMAPI, "networkPolicy": {"enabled": True, "egress": []}},
        "add one for Hugging Face, such as {ports: [{port: 443}]}",
    ),
    "a build that may not download": (
        {**ENGINE, "networkPolicy": {"enabled": True, "egress": []}},
        "the weights must be downloaded",
    ),
    "KEDA without Prometheus": ({**EMULATED, "autoscaling": {"kind": "keda"}}, "set autoscaling.keda.prometheusUrl"),
    "KEDA with two ways to log in": (
        {**EMULATED, "autoscaling": {"keda": {"authentication": {"name": "p", "modes": ["bearer", "basic"]}}}},
        "KEDA sends one of them: keep one",
    ),
    "KEDA with a certificate and no TLS": (
        {
            **EMULATED,
            "autoscaling": {
                "kind": "keda",
                "keda": {"prometheusUrl": "http://p:9090", "authentication": {"name": "p", "modes": ["tls"]}},
            },
        },
        "begins with http://: use https://",
    ),
    "KEDA with a token that everyone sees": (
        {**EMULATED, "autoscaling": {"keda": {"headers": {"authorization": "Bearer x"}}}},
        "put the token in a Secret",
    ),
    "TTFT before its histogram": (
        {**EMULATED, "image": {"tag": "24.10-py3"}, "autoscaling": {"metrics": {"ttft": {"enabled": True}}}},
        "exists since 24.11",
    ),
    "two rules with one name": (
        {**EMULATED, "rules": {"reference": {"record": "triton:queue_compute:ratio"}}},
        "use different names",
    ),
    "a window with gaps": ({**EMULATED, "rules": {"window": "15s"}}, "fewer than four scrapes at 5s"),
    "a grace period that cuts off responses": (
        {**EMULATED, "server": {"terminationGracePeriodSeconds": 30}},
        "would cut off responses",
    ),
    "two preStop hooks": (
        {**EMULATED, "server": {"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}},
        "set server.preStopSeconds=0",
    ),
    "a sidecar with the name of the server": (
        {**EMULATED, "pod": {"sidecars": [{"name": "server", "image": "x:1"}]}},
        "two containers of the serving pod have the name server",
    ),
    "an init container with the name of the chart's": (
        {**EMULATED, "pod": {"initContainers": [{"name": "models", "image": "x:1"}]}},
        "have the name models",
    ),
    "a budget without a pod to evict": (
        {**EMULATED, "autoscaling": {"minReplicas": 2}, "podDisruptionBudget": {"minAvailable": 2}},
        "minAvailable 2 of 2 replicas leaves no pod that can be evicted",
    ),
    "an update that cannot start": ({**EMULATED, "strategy": {"maxSurge": 0}}, "an update could never start"),
    "a load balancer open to everyone": ({**EMULATED, "service": {"type": "LoadBalancer"}}, "is open to everyone"),
    "a gateway without a host": ({**EMULATED, "ingress": {"kind": "gateway"}}, "needs ingress.host"),
    "Traefik without a host": (
        {**EMULATED, "ingress": {"kind": "traefik"}},
        'or with kind traefik "*" to match any host',
    ),
    "a gateway with any host": (
        {**EMULATED, "ingress": {"kind": "gateway", "host": "*", "gateway": {"name": "public"}}},
        "is supported only with ingress.kind traefik",
    ),
    "two routes with one host name": (
        {
            **EMULATED,
            "ingress": {
                "kind": "gateway",
                "host": "llm.example.com",
                "gateway": {"name": "public", "httpHost": "llm.example.com"},
            },
        },
        "use another name for HTTP, or leave httpHost empty",
    ),
    "routes without a Gateway": (
        {**EMULATED, "ingress": {"kind": "gateway", "host": "llm.example.com"}},
        "needs ingress.gateway.name",
    ),
    "NGINX without TLS": ({**EMULATED, "ingress": {"kind": "nginx", "host": "llm.example.com"}}, "only over TLS"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_contradictory_values_are_rejected(case: str) -> None:
    """Each guard fires, and its message says what to change."""
    values, message = REJECTED[case]
    assert message in rejection(values)


def test_an_hpa_scales_to_zero_from_kubernetes_1_37_on() -> None:
    """The same values are accepted with that version, and rejected with an older one."""
    values = {**EMULATED, "autoscaling": {"minReplicas": 0, "activation": {"query": "sum(rate(requests[1m]))"}}}
    assert "External" in template(values, "--kube-version=1.37.0")
    assert "from Kubernetes 1.37 on" in rejection(values, "--kube-version=1.36.0")


def test_claims_need_the_api_of_dynamic_resource_allocation() -> None:
    """From 1.32 on, where it can be switched on."""
    values = {**LLMAPI, "gpu": {"dra": {"enabled": True}}}
    assert "gpu.dra needs Kubernetes 1.34" in rejection(values, "--kube-version=1.31.9")
    assert "resource.k8s.io/v1beta1" in template(values, "--kube-version=1.32.0")


def test_any_tag_is_accepted_without_the_check() -> None:
    """`image.checkTag: false`, as the message says."""
    own = {"repository": "registry.example.com/triton", "tag": "mine", "checkTag": False}
    assert "registry.example.com/triton:mine" in template({**LLMAPI, "image": own})


def test_mode_emulated_accepts_any_number_of_gpus() -> None:
    """It has no ranks, so its pods may request GPUs to test scheduling."""
    assert 'nvidia.com/gpu: "1"' in template({**EMULATED, "parallelism": {"tensor": 4}, "gpu": {"perPod": 1}})


SCHEMA = {
    "unknown value": ({"gpus": 4}, "gpus"),
    "unknown nested value": ({"server": {"shm": "1Gi"}}, "shm"),
    "unknown mode": ({"mode": "vllm"}, "mode"),
    "latest": ({"image": {"tag": "latest"}}, "tag"),
    "a word instead of a number": ({"autoscaling": {"maxReplicas": "four"}}, "maxReplicas"),
    "a duration without a unit": ({"rules": {"window": "30"}}, "window"),
    "a header that KEDA would split": (
        {"autoscaling": {"keda": {"headers": {"X-Scope-OrgID": "a,b"}}}},
        "X-Scope-OrgID",
    ),
    "a model of an unknown kind": ({"model": {"uri": "gs://models/llama"}}, "uri"),
    "a claim's parent folder": ({"model": {"uri": "pvc://models/../other"}}, "uri"),
    "a model in NGC without a version": ({"model": {"uri": "ngc://nvidia/llama"}}, "uri"),
    "a password in an endpoint": ({"model": {"s3": {"endpoint": "https://me:secret@minio:9000"}}}, "endpoint"),
    "an invalid metric name": ({"rules": {"ratio": {"record": "queue compute"}}}, "record"),
    "a window that Kubernetes rejects": (
        {"autoscaling": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 4000}}}},
        "stabilizationWindowSeconds",
    ),
}


@pytest.mark.parametrize("case", SCHEMA)
def test_the_schema_rejects_invalid_values(case: str) -> None:
    """The message names a value that is unknown or has the wrong type."""
    wrong, name = SCHEMA[case]
    assert name in rejection({**EMULATED, **wrong})


def test_quantities_may_be_strings_or_numbers() -> None:
    """`500m` and `2` are both CPUs: NVIDIA's tutorial chart renders the first as 0."""
    resources = {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"cpu": 2}}
    text = template({**EMULATED, "server": {"resources": resources}})
    assert "cpu: 500m" in text
    assert "cpu: 2" in text
