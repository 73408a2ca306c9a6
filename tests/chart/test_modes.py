"""What pods have by mode: time to wait for an engine, tolerations, the token, shared memory, buckets."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from loadgen.kube.deploy.chart import chart_folder
from support.charts.cases import TRITON_CASES
from support.charts.helm import objects
from support.charts.leaves import EMULATED, ENGINE, GROUP, LLMAPI, Values, merged

BY_POD: Values = merged(ENGINE, {"engine": {"build": {"by": "pod"}}})
TOKEN: Values = {"model": {"tokenSecret": {"name": "hf-token"}}}
MODES = {"llmapi": LLMAPI, "engine": ENGINE, "engine by pod": BY_POD, "emulated": EMULATED, "a group": GROUP}


def of_kind(kind: str, values: Values) -> dict[str, Any]:
    (found,) = [each["spec"] for (one, _), each in objects(values).items() if one == kind]
    return dict(found)


def pods(values: Values) -> Iterator[dict[str, Any]]:
    """Of Deployment, Job and LeaderWorkerSet."""
    for each in objects(values).values():
        spec = each.get("spec") or {}
        group = spec.get("leaderWorkerTemplate") or {}
        for template in (spec.get("template"), group.get("leaderTemplate"), group.get("workerTemplate")):
            if template:
                yield template["spec"]


def containers(values: Values) -> list[dict[str, Any]]:
    return [each for pod in pods(values) for each in [*pod.get("initContainers", []), *pod["containers"]]]


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (LLMAPI, 600 + 1800),
        (EMULATED, 600 + 1800),
        # as long as it waits for the Job, or as it builds itself, and then as long as it loads
        (merged(ENGINE, {"engine": {"waitSeconds": 5000}}), 600 + 1800 + 5000),
        (merged(BY_POD, {"engine": {"build": {"deadlineSeconds": 9000}}}), 600 + 1800 + 9000),
        (merged(ENGINE, {"engine": {"build": {"enabled": False}, "waitSeconds": 60}}), 600 + 1800 + 60),
    ],
)
def test_the_progress_deadline_covers_the_wait_for_an_engine(values: Values, seconds: int) -> None:
    """The Deployment says ProgressDeadlineExceeded only when a pod had all the time that it may take."""
    assert of_kind("Deployment", values)["progressDeadlineSeconds"] == seconds


@pytest.mark.parametrize("mode", ["llmapi", "engine", "a group"])
def test_a_pod_with_a_gpu_slice_tolerates_the_taint_of_gpu_nodes(mode: str) -> None:
    """Whatever the resource is called, nodes with GPUs have the taint nvidia.com/gpu."""
    sliced = merged(MODES[mode], {"gpu": {"resource": "nvidia.com/mig-3g.40gb"}})
    for values, keys in ((MODES[mode], ["nvidia.com/gpu"]), (sliced, ["nvidia.com/gpu", "nvidia.com/mig-3g.40gb"])):
        for pod in pods(values):
            assert [each["key"] for each in pod["tolerations"]] == keys


@pytest.mark.parametrize(
    ("mode", "downloads"),
    [
        ("llmapi", {"server"}),
        ("a group", {"server", "worker"}),
        ("engine", {"build"}),
        ("engine by pod", {"engine"}),
        ("emulated", set()),
    ],
)
def test_only_containers_that_download_have_the_token(mode: str, downloads: set[str]) -> None:
    """Other containers do not need the token."""
    found = containers(merged(MODES[mode], TOKEN))
    assert {each["name"] for each in found if "HF_TOKEN" in json.dumps(each)} == downloads


@pytest.mark.parametrize("mode", MODES)
def test_serving_and_building_containers_have_shared_memory(mode: str) -> None:
    """The 64 MiB of a container runtime are too few for both."""
    for each in containers(MODES[mode]):
        works = each["name"] in ("server", "worker") or "/opt/chart/build.py" in each.get("command", [])
        assert works == any(mount["mountPath"] == "/dev/shm" for mount in each["volumeMounts"])


def buckets(values: Values) -> list[float]:
    """Of Triton's histogram, as the engine's settings have them."""
    data = [each["data"] for (kind, _), each in objects(values).items() if kind == "ConfigMap"]
    (settings,) = [json.loads(each["settings.json"]) for each in data if "settings.json" in each]
    return list(settings["serving"]["first_response_buckets_ms"])


def test_first_response_buckets_equal_those_of_the_llm_api() -> None:
    """Triton's own end at 5 s: a target above could never be exceeded. Without the histogram none are said."""
    text = (chart_folder() / "files/llmapi/llmapi_metrics.py").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("TTFT_BUCKETS_MS = ")]
    assert buckets(ENGINE) == json.loads(line.partition("=")[2])
    assert buckets(merged(ENGINE, {"image": {"tag": "24.10-trtllm-python-py3"}})) == []


def test_a_pod_has_its_gpus_and_wide_limits() -> None:
    """TP × PP GPUs as limit and request. Memory is bounded far above its request, and CPU is not throttled."""
    (pod,) = pods(TRITON_CASES["llama-3.1-70b-h100-tp4"])
    resources = pod["containers"][0]["resources"]
    assert resources["limits"] == {"nvidia.com/gpu": "4", "memory": "1024Gi", "ephemeral-storage": "64Gi"}
    assert resources["requests"] == {
        "nvidia.com/gpu": "4",
        "cpu": "16",
        "memory": "128Gi",
        "ephemeral-storage": "256Mi",
    }


def test_weights_on_local_disk_are_within_its_limit() -> None:
    """Without a model volume each pod downloads all weights of the model to /tmp, also in a group."""
    for pod in pods(GROUP):
        (container,) = pod["containers"]
        limits = container["resources"]["limits"]
        assert limits == {"nvidia.com/gpu": "8", "memory": "2048Gi", "ephemeral-storage": "4096Gi"}


def test_the_users_affinity_and_the_gpu_product_both_apply() -> None:
    """Node selector terms are alternatives, so the product is in each term, not beside them."""
    (pod,) = pods(TRITON_CASES["emulated-everything-set"])
    affinity = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = affinity["nodeSelectorTerms"]
    assert [each["key"] for each in term["matchExpressions"]] == ["zone", "nvidia.com/gpu.product"]


def test_replicas_are_rendered_only_without_an_autoscaler() -> None:
    """An upgrade leaves the number of replicas to the autoscaler; without one the value applies."""
    assert "replicas" not in of_kind("Deployment", TRITON_CASES["emulated"])
    assert of_kind("Deployment", TRITON_CASES["emulated-static"])["replicas"] == 3
