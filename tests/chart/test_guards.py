"""Values that contradict themselves are refused by a sentence that says what to do, before anything is deployed."""

from typing import Any

import pytest

from support.charts.helm import refusal, template

LLMAPI: dict[str, Any] = {"mode": "llmapi", "model": {"repository": "meta-llama/Llama-3.1-8B-Instruct"}}
ENGINE: dict[str, Any] = {
    **LLMAPI,
    "mode": "engine",
    "gpu": {"products": ["NVIDIA-H100-80GB-HBM3"]},
    "modelVolume": {"claimName": "models"},
}
EMULATED: dict[str, Any] = {"mode": "emulated"}

REFUSED = {
    "mode and tag: no TensorRT-LLM": ({**LLMAPI, "image": {"tag": "26.07-py3"}}, "take 26.07-trtllm-python-py3"),
    "mode and tag: too new for engines": (
        {**ENGINE, "image": {"tag": "26.08-trtllm-python-py3"}},
        "mode engine needs an image up to 26.07",
    ),
    "mode and tag: no TensorRT-LLM any more": (
        {**LLMAPI, "image": {"tag": "26.11-trtllm-python-py3"}},
        "Triton ships no TensorRT-LLM from 26.11 on",
    ),
    "mode and tag: no server": ({**EMULATED, "image": {"tag": "26.07-py3-sdk"}}, "take one such as 26.07-py3"),
    "tag without a release": ({**EMULATED, "image": {"tag": "main"}}, "set image.checkTag=false"),
    "no model": ({"mode": "llmapi"}, "set model.repository"),
    "two models": ({**LLMAPI, "model": {"repository": "a/b", "path": "c"}}, "are both set"),
    "engine without a volume": ({**ENGINE, "modelVolume": {"claimName": ""}}, "mode engine needs a volume"),
    "two volumes": ({**ENGINE, "modelVolume": {"claimName": "models", "hostPath": "/m"}}, "keep one"),
    "a Job for every node's disk": (
        {**ENGINE, "modelVolume": {"hostPath": "/data"}},
        "set engine.build.by=pod",
    ),
    "path without a volume": ({"mode": "llmapi", "model": {"path": "llama"}}, "set modelVolume"),
    "engine for any GPU": ({**ENGINE, "gpu": {"products": []}}, "an engine is built for one GPU product"),
    "more GPUs than a node has": (
        {**LLMAPI, "parallelism": {"tensor": 16}},
        "a pod would need 16 GPUs and a node has 8: lower parallelism, raise gpu.perNode if your nodes have more, or "
        "spread the model over nodes with multiNode.enabled=true",
    ),
    "a group of one": ({**LLMAPI, "multiNode": {"enabled": True}}, "are on one node"),
    "a group with an odd node": (
        {**LLMAPI, "multiNode": {"enabled": True}, "parallelism": {"tensor": 3, "pipeline": 3}},
        "9 GPUs cannot be shared evenly by 2 nodes of gpu.perNode 8",
    ),
    "a group with GPUs too few": (
        {**LLMAPI, "multiNode": {"enabled": True}, "parallelism": {"tensor": 16}, "gpu": {"perPod": 4}},
        "gpu.perPod 4 on 2 nodes are not the 16 GPUs of tensor × pipeline: leave gpu.perPod null",
    ),
    "ranks without a GPU": (
        {**LLMAPI, "parallelism": {"tensor": 4}, "gpu": {"perPod": 1}},
        "gpu.perPod 1 is not the 4 GPUs of tensor × pipeline: each has one rank, a rank without a GPU cannot start, "
        "and a GPU without a rank lies idle: leave gpu.perPod null",
    ),
    "GPUs without a rank": ({**ENGINE, "gpu": {**ENGINE["gpu"], "perPod": 2}}, "gpu.perPod 2 is not the 1 GPUs"),
    "no GPU at all": ({**LLMAPI, "gpu": {"perPod": 0}}, "gpu.perPod 0 is not the 1 GPUs"),
    "a quantisation that nobody reads": (
        {**LLMAPI, "model": {**LLMAPI["model"], "quantization": "fp8"}},
        "mode llmapi takes the quantisation from the checkpoint: name a quantised one as model.repository, such as "
        "nvidia/Llama-3.1-8B-Instruct-FP8, and leave model.quantization none, or use mode engine",
    ),
    "a group that shares no engine": (
        {
            **ENGINE,
            "multiNode": {"enabled": True},
            "parallelism": {"tensor": 16},
            "modelVolume": {"hostPath": "/data", "claimName": ""},
            "engine": {"build": {"by": "pod"}},
        },
        "the pods of a group read one engine",
    ),
    "a group on a volume of one node": (
        {
            **LLMAPI,
            "multiNode": {"enabled": True},
            "parallelism": {"tensor": 16},
            "modelVolume": {"create": {"enabled": True, "accessModes": ["ReadWriteOnce"]}},
        },
        "take ReadWriteMany",
    ),
    "replicas under an autoscaler": ({**EMULATED, "server": {"replicas": 2}}, "leave replicas null"),
    "fewest above most": ({**EMULATED, "autoscaling": {"minReplicas": 5}}, "swap them"),
    "no metric": (
        {**EMULATED, "autoscaling": {"metrics": {"ratio": {"enabled": False}, "busy": {"enabled": False}}}},
        "autoscaling has no metric",
    ),
    "autoscaler without rules": ({**EMULATED, "rules": {"enabled": False}}, "rules.enabled is false"),
    "autoscaler without metrics": ({**EMULATED, "metrics": {"monitor": "none"}}, "metrics.monitor is none"),
    "zero without a way back": ({**EMULATED, "autoscaling": {"minReplicas": 0}}, "set autoscaling.activation.query"),
    "a way back that is not needed": (
        {**EMULATED, "autoscaling": {"activation": {"query": "sum(rate(requests[1m]))"}}},
        "set minReplicas 0, or leave activation.query empty",
    ),
    "KEDA without Prometheus": ({**EMULATED, "autoscaling": {"kind": "keda"}}, "set autoscaling.keda.prometheusUrl"),
    "TTFT before its histogram": (
        {**EMULATED, "image": {"tag": "24.10-py3"}, "autoscaling": {"metrics": {"ttft": {"enabled": True}}}},
        "came with 24.11",
    ),
    "one name for two formulas": (
        {**EMULATED, "rules": {"reference": {"record": "triton:queue_compute:ratio"}}},
        "give them two",
    ),
    "a window with gaps": ({**EMULATED, "rules": {"window": "15s"}}, "fewer than four scrapes of 5s"),
    "a grace that cuts answers": ({**EMULATED, "server": {"terminationGracePeriodSeconds": 30}}, "would cut answers"),
    "an update that cannot begin": ({**EMULATED, "strategy": {"maxSurge": 0}}, "no update could ever begin"),
    "open to everybody": ({**EMULATED, "service": {"type": "LoadBalancer"}}, "opens the model to everybody"),
    "gateway without host": ({**EMULATED, "ingress": {"kind": "gateway"}}, "needs ingress.host"),
    "Traefik without host": ({**EMULATED, "ingress": {"kind": "traefik"}}, 'or with traefik "*" for any'),
    "any host of a gateway": (
        {**EMULATED, "ingress": {"kind": "gateway", "host": "*", "gateway": {"name": "public"}}},
        "is for ingress.kind traefik alone",
    ),
    "two routes of one name": (
        {
            **EMULATED,
            "ingress": {
                "kind": "gateway",
                "host": "llm.example.com",
                "gateway": {"name": "public", "httpHost": "llm.example.com"},
            },
        },
        "give HTTP another name, or leave it empty",
    ),
    "routes that hang on nothing": (
        {**EMULATED, "ingress": {"kind": "gateway", "host": "llm.example.com"}},
        "needs ingress.gateway.name",
    ),
    "NGINX without TLS": ({**EMULATED, "ingress": {"kind": "nginx", "host": "llm.example.com"}}, "only over TLS"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_contradiction_is_refused(case: str) -> None:
    """Every guard fires, with what to do."""
    values, words = REFUSED[case]
    assert words in refusal(values)


def test_zero_by_an_hpa_needs_a_kubernetes_that_has_it() -> None:
    """The same values are taken where the API scales to zero, and refused where it does not."""
    values = {**EMULATED, "autoscaling": {"minReplicas": 0, "activation": {"query": "sum(rate(requests[1m]))"}}}
    assert "External" in template(values, "--kube-version=1.37.0")
    assert "from Kubernetes 1.37 on" in refusal(values, "--kube-version=1.36.0")


def test_a_tag_of_ones_own_is_taken_when_asked() -> None:
    """`image.checkTag: false` is the way out that the sentence names."""
    own = {"repository": "registry.example.com/triton", "tag": "mine", "checkTag": False}
    assert "registry.example.com/triton:mine" in template({**LLMAPI, "image": own})


def test_any_number_of_gpus_rehearses() -> None:
    """Mode emulated has no ranks: its pods may ask for what is to be scheduled."""
    assert 'nvidia.com/gpu: "1"' in template({**EMULATED, "parallelism": {"tensor": 4}, "gpu": {"perPod": 1}})


SCHEMA = {
    "unknown value": ({"gpus": 4}, "gpus"),
    "unknown value deep down": ({"server": {"shm": "1Gi"}}, "shm"),
    "unknown mode": ({"mode": "vllm"}, "mode"),
    "latest": ({"image": {"tag": "latest"}}, "tag"),
    "a word for a number": ({"autoscaling": {"maxReplicas": "four"}}, "maxReplicas"),
    "a duration without a unit": ({"rules": {"window": "30"}}, "window"),
    "no metric name": ({"rules": {"ratio": {"record": "queue compute"}}}, "record"),
    "a window that Kubernetes refuses": (
        {"autoscaling": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 4000}}}},
        "stabilizationWindowSeconds",
    ),
}


@pytest.mark.parametrize("case", SCHEMA)
def test_the_schema_is_strict(case: str) -> None:
    """What is misspelt or of the wrong kind is refused by name."""
    wrong, name = SCHEMA[case]
    assert name in refusal({**EMULATED, **wrong})


def test_quantities_may_be_words_or_numbers() -> None:
    """`500m` and `2` are both CPUs: the reference chart made 0 of the first."""
    resources = {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"cpu": 2}}
    text = template({**EMULATED, "server": {"resources": resources}})
    assert "cpu: 500m" in text
    assert "cpu: 2" in text
