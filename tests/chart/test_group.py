"""A model over several nodes, as the chart renders it: who serves, who is selected, who may reach whom.

The controller of LeaderWorkerSet is not here. No selector relies on what it would add, and the programs in the pods
have tests of their own.
"""

import json
from typing import Any

import pytest
import yaml

from support.charts.cases import TRITON_CASES as CASES
from support.charts.helm import objects, rejection
from support.charts.leaves import GROUP as LLMAPI_GROUP
from support.charts.leaves import KEDA, TRAEFIK, merged

GROUPS = ("llama-3.1-405b-h100-multinode", "emulated-group-keda", "engine-group")
GROUP = "demo-triton-trtllm-group"


def group(name: str) -> dict[str, Any]:
    found: dict[str, Any] = objects(CASES[name])["LeaderWorkerSet", GROUP]["spec"]
    return found


def templates(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    whole = group(name)["leaderWorkerTemplate"]
    return whole["leaderTemplate"], whole["workerTemplate"]


def matches(selector: dict[str, str], template: dict[str, Any]) -> bool:
    labels: dict[str, str] = template["metadata"]["labels"]
    return selector.items() <= labels.items()


@pytest.mark.parametrize(
    ("name", "size", "gpus"),
    [("llama-3.1-405b-h100-multinode", 2, "8"), ("engine-group", 3, "4"), ("emulated-group-keda", 2, None)],
)
def test_a_group_has_as_many_pods_as_the_model_needs_nodes(name: str, size: int, gpus: str | None) -> None:
    """TP × PP over the GPUs of a node; leader and workers each ask for their share."""
    # 8 × 2 on nodes of 8; 4 × 3 on nodes of 4; the emulated engine has no GPU
    assert group(name)["leaderWorkerTemplate"]["size"] == size
    for template in templates(name):
        limits = template["spec"]["containers"][0]["resources"].get("limits", {})
        assert limits.get("nvidia.com/gpu") == gpus


@pytest.mark.parametrize("name", GROUPS)
def test_the_autoscaler_scales_the_group_and_there_is_no_deployment(name: str) -> None:
    """One workload, and the scale target is it by kind and name; replicas are whose the scaling is."""
    found = objects(CASES[name])
    assert "Deployment" not in {kind for kind, _ in found}
    target = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": GROUP}
    scalers = [each["spec"] for (kind, _), each in found.items() if kind in ("HorizontalPodAutoscaler", "ScaledObject")]
    assert [each["scaleTargetRef"] for each in scalers] == ([] if name == "engine-group" else [target])
    assert group(name).get("replicas") == (2 if name == "engine-group" else None)


@pytest.mark.parametrize("name", GROUPS)
def test_only_leaders_serve_requests_and_are_scraped(name: str) -> None:
    """Services, monitor and spread select what serves: by the chart's own label, with or without the controller's."""
    leader, worker = templates(name)
    found = objects(CASES[name])
    selectors = [
        found["Service", "demo-triton-trtllm"]["spec"]["selector"],
        found["Service", "demo-triton-trtllm-headless"]["spec"]["selector"],
        found["PodMonitor", "demo-triton-trtllm"]["spec"]["selector"]["matchLabels"],
        leader["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert matches(selector, leader)
        assert not matches(selector, worker)
    assert "topologySpreadConstraints" not in worker["spec"]
    assert "ports" not in worker["spec"]["containers"][0]


@pytest.mark.parametrize("name", GROUPS)
def test_one_headless_service_resolves_all_pods_of_all_groups(name: str) -> None:
    """It bears the name of the LeaderWorkerSet, which is the subdomain of its pods, and names them before they are
    ready, as a leader waits for its workers; a Service with an address of its own must not have that name."""
    service = objects(CASES[name])["Service", GROUP]["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert all(matches(service["selector"], template) for template in templates(name))
    assert group(name)["networkConfig"] == {"subdomainPolicy": "Shared"}


@pytest.mark.parametrize("name", GROUPS)
def test_only_the_serving_ports_of_a_group_are_open(name: str) -> None:
    """MPI and NCCL have no password: all ports for the pods of the groups, and named ports of leaders for clients."""
    leader, worker = templates(name)
    found = objects(CASES[name])
    inside = found["NetworkPolicy", GROUP]["spec"]
    assert all(matches(inside["podSelector"]["matchLabels"], template) for template in (leader, worker))
    (rule,) = inside["ingress"]
    assert set(rule) == {"from"}
    assert rule["from"] == [{"podSelector": inside["podSelector"]}]
    outside = found["NetworkPolicy", "demo-triton-trtllm"]["spec"]
    assert matches(outside["podSelector"]["matchLabels"], leader)
    assert not matches(outside["podSelector"]["matchLabels"], worker)
    assert [port["port"] for rule in outside["ingress"] for port in rule["ports"]] == ["http", "grpc", "metrics"]
    limited = CASES[name].get("networkPolicy", {}).get("enabled", False)
    assert ("from" in outside["ingress"][1]) is limited


@pytest.mark.parametrize("name", GROUPS)
def test_the_disruption_budget_covers_leaders_and_workers(name: str) -> None:
    """It ends the group, so the budget is over leaders and workers together."""
    budget = objects(CASES[name])["PodDisruptionBudget", "demo-triton-trtllm"]["spec"]
    assert all(matches(budget["selector"]["matchLabels"], template) for template in templates(name))


@pytest.mark.parametrize("name", GROUPS)
def test_pods_of_a_group_have_no_permissions_in_the_cluster(name: str) -> None:
    """No token, no role, no shell key: workers dial their leader."""
    found = objects(CASES[name])
    assert {kind for kind, _ in found} & {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Secret"} == set()
    assert [each["spec"]["automountServiceAccountToken"] for each in templates(name)] == [False, False]


def test_the_leader_of_an_engine_starts_ranks_on_all_pods() -> None:
    """The leader is told the size of world and group, and each rank its GPU among those of its own pod."""
    leader, worker = templates("engine-group")
    server = leader["spec"]["containers"][0]
    assert server["args"][:5] == [
        "--world-size=12", "--model-repository=/models", "--drain-s=120", "--nodes=3", "--wait-s=1800",
    ]  # fmt: skip
    assert worker["spec"]["containers"][0]["command"] == ["python3", "/opt/chart/worker.py"]
    for template in (leader, worker):
        assert [each["name"] for each in template["spec"]["initContainers"]] == ["engine", "models"]
    settings = json.loads(
        objects(CASES["engine-group"])["ConfigMap", "demo-triton-trtllm-engine"]["data"]["settings.json"]
    )
    assert settings["serving"]["parameters"] == {"gpu_device_ids": "0,1,2,3"}


def test_the_llm_api_has_one_server_and_its_launcher() -> None:
    """`trtllm-llmapi-launch` runs the server on rank 0; what the programs import is mounted beside them."""
    leader, worker = templates("llama-3.1-405b-h100-multinode")
    assert "--through=trtllm-llmapi-launch" in leader["spec"]["containers"][0]["args"]
    for template in (leader, worker):
        (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "chart"]
        paths = {each["path"] for each in volume["configMap"]["items"]}
        assert paths == {"launch.py", "group.py", "agent.py", "worker.py", "errors.py"}


def test_names_derived_from_a_group_are_short_enough() -> None:
    """A StatefulSet of each group's workers, and a label with its revision: 63 characters at most, for 999 groups."""
    found = objects({**CASES["engine-group"], "fullnameOverride": "a" * 50})
    (name,) = [name for kind, name in found if kind == "LeaderWorkerSet"]
    assert len(f"{name}-999-0123456789") <= 63


def test_nothing_of_a_group_is_rendered_without_multi_node() -> None:
    """The option does not change any other release."""
    text = yaml.safe_dump(list(objects(CASES["llama-3.1-70b-h100-tp4"]).values()))
    assert "LeaderWorkerSet" not in text
    assert "part-of" not in text


OWN: dict[str, Any] = {
    "commonLabels": {"team": "serving"},
    "image": {"digest": "sha256:" + 64 * "a"},
    "pod": {
        "initContainers": [{"name": "fetch", "image": "fetch:1"}],
        "sidecars": [{"name": "logs", "image": "logs:1"}],
        "dnsPolicy": "Default",
        "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["models"]}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "containerSecurityContext": {"readOnlyRootFilesystem": True},
    },
    "server": {"env": [{"name": "TZ", "value": "UTC"}], "envFrom": [{"secretRef": {"name": "keys"}}]},
}


@pytest.mark.parametrize("name", GROUPS)
def test_what_users_add_to_a_pod_is_in_leaders_and_workers(name: str) -> None:
    """A worker runs on a node of its own: it needs the same files, agents, variables and names as its leader."""
    found = objects(merged(CASES[name], OWN))["LeaderWorkerSet", GROUP]["spec"]["leaderWorkerTemplate"]
    for role, main in (("leader", "server"), ("worker", "worker")):
        template = found[f"{role}Template"]
        spec = template["spec"]
        assert spec["initContainers"][0] == OWN["pod"]["initContainers"][0]
        container, *sidecars = spec["containers"]
        assert (container["name"], sidecars) == (main, OWN["pod"]["sidecars"])
        assert container["envFrom"] == OWN["server"]["envFrom"]
        assert OWN["server"]["env"][0] in container["env"]
        assert container["image"].endswith(OWN["image"]["digest"])
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert OWN["pod"]["extraVolumes"][0] in spec["volumes"]
        assert OWN["pod"]["extraVolumeMounts"][0] in container["volumeMounts"]
        assert [spec[field] for field in ("dnsPolicy", "dnsConfig", "hostAliases")] == [
            OWN["pod"][field] for field in ("dnsPolicy", "dnsConfig", "hostAliases")
        ]
        assert template["metadata"]["labels"]["team"] == "serving"


def test_init_containers_of_the_user_run_before_those_of_a_worker() -> None:
    """As in a leader, so that they can prepare what the chart's own read."""
    values = merged(CASES["engine-group"], OWN)
    worker = objects(values)["LeaderWorkerSet", GROUP]["spec"]["leaderWorkerTemplate"]["workerTemplate"]
    assert [each["name"] for each in worker["spec"]["initContainers"]] == ["fetch", "engine", "models"]


def test_the_disruption_budget_of_a_group_counts_pods() -> None:
    """Two groups of two pods: three may be required, and four would block every drain."""

    def values(least: int) -> dict[str, Any]:
        budget = {"podDisruptionBudget": {"minAvailable": least}, "autoscaling": {"minReplicas": 2}}
        return merged(LLMAPI_GROUP, budget)

    assert objects(values(3))["PodDisruptionBudget", "demo-triton-trtllm"]["spec"]["minAvailable"] == 3
    assert "minAvailable 4 of the 4 pods of 2 groups leaves no pod" in rejection(values(4))


def test_a_group_has_no_min_ready_seconds() -> None:
    """A LeaderWorkerSet has no such field, so the value is not dropped silently."""
    refused = rejection(merged(LLMAPI_GROUP, {"strategy": {"minReadySeconds": 10}}))
    assert "strategy.minReadySeconds is 10, and a LeaderWorkerSet has no such field: set it to 0" in refused


def test_access_from_outside_is_that_of_a_deployment() -> None:
    """Several host names lead to the Service of the leaders."""
    hosts = {
        "ingress": {**TRAEFIK["ingress"], "host": "", "hosts": [{"host": "a.example.com"}, {"host": "*.example.org"}]}
    }
    route = ("IngressRoute", "demo-triton-trtllm")
    group, one = objects(merged(LLMAPI_GROUP, hosts)), objects(merged(TRAEFIK, hosts))
    assert group[route]["spec"] == one[route]["spec"]
    assert matches(
        group["Service", "demo-triton-trtllm"]["spec"]["selector"],
        group["LeaderWorkerSet", GROUP]["spec"]["leaderWorkerTemplate"]["leaderTemplate"],
    )


def test_keda_scales_groups_with_fallback_idle_replicas_and_triggers() -> None:
    """The ScaledObject differs from that of a Deployment in its target alone."""
    shape = {"mode": "emulated", "parallelism": {"tensor": 16}}
    keda = merged(merged(KEDA, shape), {"autoscaling": CASES["emulated-keda-idle"]["autoscaling"]})
    name = ("ScaledObject", "demo-triton-trtllm")
    group, one = objects(merged(keda, {"multiNode": {"enabled": True}}))[name]["spec"], objects(keda)[name]["spec"]
    assert (group["scaleTargetRef"]["kind"], group["scaleTargetRef"]["name"]) == ("LeaderWorkerSet", GROUP)
    assert {**group, "scaleTargetRef": None} == {**one, "scaleTargetRef": None}
