"""The name of the build Job changes exactly when an immutable field of the Job changes."""

from typing import Any

import pytest

from support.charts.helm import objects
from support.charts.leaves import ENGINE, Values, merged

MAY_CHANGE = (
    "backoffLimit",
    "activeDeadlineSeconds",
)  # of what the chart says of a Job; its validation refuses the rest

ANOTHER: dict[str, Values] = {
    "another engine": {"engine": {"maxBatchSize": 8}},
    "another conversion": {"engine": {"build": {"convertExtraArgs": ["--workers=2"]}}},
    "more free space": {"engine": {"build": {"minFreeGiB": 5}}},
    "another model": {"model": {"revision": "0123abc"}},
    "a model in S3": {"model": {"repository": "", "uri": "s3://models/llama"}},
    "a model on another claim": {"model": {"repository": "", "uri": "pvc://shared/llama"}},
    "another quantisation": {"model": {"quantization": "fp8"}},
    "a token": {"model": {"tokenSecret": {"name": "token"}}},
    "another image": {"image": {"tag": "26.06-trtllm-python-py3"}},
    "another registry": {"image": {"repository": "registry.example.com/triton"}},
    "another pull policy": {"image": {"pullPolicy": "Always"}},
    "a pull secret": {"image": {"pullSecrets": ["ngc"]}},
    "more GPUs": {"parallelism": {"tensor": 2}},
    "another GPU": {"gpu": {"products": ["NVIDIA-L40S"]}},
    "a slice of a GPU": {"gpu": {"resource": "nvidia.com/mig-3g.40gb"}},
    "a claim for its GPU": {"gpu": {"dra": {"enabled": True}}},
    "another claim for its GPU": {"gpu": {"dra": {"enabled": True, "claimTemplate": "gpus"}}},
    "a GPU of the runtime": {"gpu": {"resource": ""}},
    "another volume": {"modelVolume": {"claimName": "others"}},
    "resources of the build": {"engine": {"build": {"resources": {"requests": {"cpu": "1"}}}}},
    "resources of both": {"server": {"resources": {"requests": {"cpu": "2"}}}},
    "shared memory": {"server": {"sharedMemory": "1Gi"}},
    "a variable": {"server": {"env": [{"name": "TZ", "value": "UTC"}]}},
    "nodes": {"pod": {"nodeSelector": {"pool": "gpu"}}},
    "a toleration": {"pod": {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}},
    "a priority": {"pod": {"priorityClassName": "serving"}},
    "a user": {"pod": {"securityContext": {"runAsUser": 2000}}},
    "a mount": {"pod": {"extraVolumeMounts": [{"name": "tmp", "mountPath": "/ca"}]}},
    "an account": {"serviceAccount": {"name": "llm"}},
}
SAME: dict[str, Values] = {
    "front instances": {"engine": {"blsInstances": 7}},
    "tokenizer instances": {"engine": {"preprocessingInstances": 1, "postprocessingInstances": 1}},
    "share of memory": {"engine": {"kvCacheFreeGpuMemoryFraction": 0.5}},
    "patience": {"engine": {"waitSeconds": 60}},
    "limits of the Job": {"engine": {"build": {"backoffLimit": 5, "deadlineSeconds": 600}}},
    "a label of serving pods": {"pod": {"labels": {"team": "serving"}, "annotations": {"example.com/note": "x"}}},
    "the autoscaler": {"autoscaling": {"maxReplicas": 9}},
    "the server": {"server": {"logVerbose": 1, "loadBudgetSeconds": 60}},
}


def job(changes: Values) -> tuple[str, dict[str, Any]]:
    """Name of the Job, and what of it cannot be changed."""
    found = objects(merged(ENGINE, changes))
    ((name, spec),) = [(name, each["spec"]) for (kind, name), each in found.items() if kind == "Job"]
    return name, {field: value for field, value in spec.items() if field not in MAY_CHANGE}


@pytest.mark.parametrize("case", ANOTHER)
def test_a_changed_build_has_another_job(case: str) -> None:
    """`helm upgrade` creates another Job, since it could not change the immutable fields of the old one."""
    assert job(ANOTHER[case])[0] != job({})[0]


@pytest.mark.parametrize("case", SAME)
def test_a_change_of_serving_keeps_the_job(case: str) -> None:
    """No Job requests a GPU only to find the engine built, and no immutable field changes."""
    assert job(SAME[case]) == job({})


def test_a_waiting_pod_names_the_job() -> None:
    """Its messages name the Job to check."""
    spec = objects(ENGINE)["Deployment", "demo-triton-trtllm"]["spec"]["template"]["spec"]
    assert f"--job={job({})[0]}" in spec["initContainers"][0]["command"]
