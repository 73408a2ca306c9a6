"""How serving pods, workers and engine builds get their GPUs: a resource, a claim, or the container runtime alone."""

from typing import Any

import pytest

from support.charts.helm import Objects, objects
from support.charts.leaves import EMULATED, ENGINE, GROUP, LLMAPI, Values, merged

BY_POD = merged(ENGINE, {"engine": {"build": {"by": "pod"}}})
ENGINE_GROUP = merged(ENGINE, {"parallelism": {"tensor": 16}, "multiNode": {"enabled": True}})
MODES: dict[str, Values] = {
    "llmapi": LLMAPI,
    "a group": GROUP,
    "engine": ENGINE,
    "engine by pod": BY_POD,
    "a group of engines": ENGINE_GROUP,
    "emulated": merged(EMULATED, {"gpu": {"perPod": 1}}),
}
DRA: Values = {"gpu": {"dra": {"enabled": True}}}
RUNTIME: Values = {"gpu": {"resource": ""}, "pod": {"runtimeClassName": "nvidia"}}
MIG: Values = {"gpu": {"resource": "nvidia.com/mig-1g.10gb"}}


def pods(found: Objects) -> list[dict[str, Any]]:
    """Specs of the pods of Deployment, Job and LeaderWorkerSet."""
    templates = []
    for each in found.values():
        spec = each.get("spec") or {}
        group = spec.get("leaderWorkerTemplate") or {}
        templates += [spec.get("template"), group.get("leaderTemplate"), group.get("workerTemplate")]
    return [template["spec"] for template in templates if template]


def on_gpu(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers that serve, compute for a server, or build."""
    every = [*pod.get("initContainers", []), *pod["containers"]]
    works = [each for each in every if each["name"] in ("server", "worker", "build")]
    return works + [each for each in every if "/opt/chart/build.py" in each["command"] and each not in works]


def names(pod: dict[str, Any]) -> set[str]:
    """The resources that the pod's containers request."""
    every = [*pod.get("initContainers", []), *pod["containers"]]
    return {name for each in every for side in ("limits", "requests") for name in each["resources"].get(side, {})}


def of_kind(found: Objects, kind: str) -> list[dict[str, Any]]:
    return [each for (one, _), each in found.items() if one == kind]


@pytest.mark.parametrize("mode", MODES)
def test_with_dra_each_pod_has_a_claim_for_its_gpus(mode: str) -> None:
    """One template for all pods, and no GPU resource; only the containers on a GPU use the claim of their pod."""
    found = objects(merged(MODES[mode], DRA))
    (template,) = of_kind(found, "ResourceClaimTemplate")
    (request,) = template["spec"]["spec"]["devices"]["requests"]
    gpus = 8 if "group" in mode else 1
    wanted = {"deviceClassName": "gpu.nvidia.com", "allocationMode": "ExactCount", "count": gpus}
    assert (template["apiVersion"], request) == ("resource.k8s.io/v1", {"name": "gpus", "exactly": wanted})
    for pod in pods(found):
        assert pod["resourceClaims"] == [{"name": "gpus", "resourceClaimTemplateName": template["metadata"]["name"]}]
        assert on_gpu(pod)
        for each in [*pod.get("initContainers", []), *pod["containers"]]:
            assert each["resources"].get("claims", []) == ([{"name": "gpus"}] if each in on_gpu(pod) else [])
        assert not [name for name in names(pod) if "nvidia" in name]
        assert "nvidia.com/gpu" in [each["key"] for each in pod["tolerations"]]


@pytest.mark.parametrize("mode", MODES)
def test_without_a_resource_the_runtime_gives_the_gpus(mode: str) -> None:
    """No resource and no claim: the variable that NVIDIA's runtime reads, in the containers on a GPU."""
    found = objects(merged(MODES[mode], RUNTIME))
    assert not of_kind(found, "ResourceClaimTemplate")
    for pod in pods(found):
        assert "resourceClaims" not in pod
        assert pod["runtimeClassName"] == "nvidia"
        assert not [name for name in names(pod) if "nvidia" in name]
        assert [each["key"] for each in pod["tolerations"]] == ["nvidia.com/gpu"]
        for each in [*pod.get("initContainers", []), *pod["containers"]]:
            variables = {one["name"]: one.get("value") for one in each["env"]} if "env" in each else {}
            assert variables.get("NVIDIA_VISIBLE_DEVICES") == ("all" if each in on_gpu(pod) else None)


@pytest.mark.parametrize("mode", MODES)
def test_a_mig_slice_is_the_only_gpu_that_is_requested(mode: str) -> None:
    """In every container on a GPU, and nvidia.com/gpu in none."""
    for pod in pods(objects(merged(MODES[mode], MIG))):
        assert "nvidia.com/gpu" not in names(pod)
        for each in on_gpu(pod):
            assert int(each["resources"]["limits"]["nvidia.com/mig-1g.10gb"]) > 0


def test_a_changed_request_has_another_template() -> None:
    """A template is immutable: the pods of an upgrade have claims of the new one."""
    named = [
        of_kind(objects(merged(LLMAPI, merged(DRA, more))), "ResourceClaimTemplate")[0]["metadata"]["name"]
        for more in ({}, {"parallelism": {"tensor": 2}}, {"gpu": {"dra": {"deviceClass": "mig.nvidia.com"}}})
    ]
    assert len(set(named)) == 3


def test_a_template_of_the_user_is_used_as_it_is() -> None:
    """The chart makes none."""
    found = objects(merged(LLMAPI, {"gpu": {"dra": {"enabled": True, "claimTemplate": "shared"}}}))
    assert not of_kind(found, "ResourceClaimTemplate")
    (pod,) = pods(found)
    assert pod["resourceClaims"] == [{"name": "gpus", "resourceClaimTemplateName": "shared"}]


def test_selectors_reach_the_request_of_either_version() -> None:
    """v1 requests devices `exactly`; v1beta1, of Kubernetes 1.32 and 1.33, has the same fields without it."""
    values = merged(LLMAPI, {"gpu": {"dra": {"enabled": True, "selectors": ["a == 1", "b == 2"]}}})
    requests = []
    for version in ("1.34.0", "1.33.4"):
        (template,) = of_kind(objects(values, f"--kube-version={version}"), "ResourceClaimTemplate")
        requests.append((template["apiVersion"], template["spec"]["spec"]["devices"]["requests"][0]))
    (new, newer), (old, older) = requests
    assert (new, old) == ("resource.k8s.io/v1", "resource.k8s.io/v1beta1")
    assert older == {"name": "gpus", **newer["exactly"]}
    assert newer["exactly"]["selectors"] == [{"cel": {"expression": "a == 1"}}, {"cel": {"expression": "b == 2"}}]


def test_claims_of_the_user_stand_beside_that_of_the_gpus() -> None:
    """A container uses both: a network device by server.resources.claims, its GPUs by the chart."""
    rdma = {"name": "rdma", "resourceClaimTemplateName": "rdma"}
    values = {"pod": {"resourceClaims": [rdma]}, "server": {"resources": {"claims": [{"name": "rdma"}]}}}
    for pod in pods(objects(merged(GROUP, merged(DRA, values)))):
        assert [each["name"] for each in pod["resourceClaims"]] == ["rdma", "gpus"]
        assert pod["containers"][0]["resources"]["claims"] == [{"name": "rdma"}, {"name": "gpus"}]
