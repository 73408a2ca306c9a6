"""Nodes that are full, cordoned, drained, hung and lost, checked against the Kubernetes documentation (Nodes).

Needs the sandbox's build; takes about two minutes. The last tests break nodes, so this file has its own sandbox, whose
controllers mark a node as unreachable after 20 s.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from loadgen.sandbox.config import Node
from loadgen.sandbox.kubelet.node import LEASE_S
from loadgen.sandbox.kubelet.objects import parse_rfc3339
from support.kube.cluster import (
    FOREVER,
    Cluster,
    Json,
    eventually,
    finished,
    pod,
    processes_with,
    ready,
    restarted,
    shell,
    status,
)
from support.kube.sandboxes import inside, up

pytestmark = pytest.mark.timeout(240)

NODES = (
    Node(name="alpha", gpu_product="NVIDIA-H100-80GB-HBM3", gpus=4),
    Node(name="beta", gpu_product="NVIDIA-H100-80GB-HBM3", gpus=4),
    Node(name="gamma", gpu_product="NVIDIA-A10", gpus=2, labels={"pool": "small"}),
)
NAMES = [node.name for node in NODES]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Start a sandbox with three nodes for this file."""
    flags = ("--node-monitor-grace-period=20s", "--node-monitor-period=1s")
    with up(NODES, controller_manager_flags=flags) as sandbox:
        own = Cluster(sandbox, "default")
        own.create(pod("early", shell("exit 0"), restartPolicy="Never"))
        yield own


def gpus(number: int) -> Json:
    """Return the resources of a container with this number of GPUs."""
    return {"resources": {"limits": {"nvidia.com/gpu": str(number)}}}


def on(node: str) -> Json:
    """Return the node selector of a pod for a node."""
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


def deployment(name: str, **spec: Any) -> Json:
    """Return a Deployment of one pod that is evicted at once from an unreachable node."""
    tolerations = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
        for key in ("unreachable", "not-ready")
    ]
    template = pod(name, shell(FOREVER), tolerations=tolerations, **spec)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    }


def pods_of(cluster: Cluster, name: str) -> list[Json]:
    """Return the pods with a label `app`, including terminating ones."""
    items: list[Json] = json.loads(cluster.kubectl("get", "pods", f"--selector=app={name}", "--output=json"))["items"]
    return items


def running(cluster: Cluster, name: str, not_on: str = "") -> Json:
    """Wait for a ready pod of a Deployment that is not on a certain node, and return it."""

    def find() -> Json:
        candidates = (each for each in pods_of(cluster, name) if ready(each) and each["spec"]["nodeName"] != not_on)
        return next((each for each in candidates if not each["metadata"].get("deletionTimestamp")), {})

    return eventually(find, f"a ready pod of {name} that is not on {not_on!r}")


def unschedulable(each: Json) -> str:
    """Return the scheduler's message about an unschedulable pod; empty while there is none."""
    conditions = {one["type"]: one for one in each["status"].get("conditions") or []}
    scheduled = conditions.get("PodScheduled", {})
    return str(scheduled["message"]) if scheduled.get("reason") == "Unschedulable" else ""


def condition(cluster: Cluster, node: str, kind: str = "Ready") -> Json:
    """Return a condition of a node."""
    conditions = cluster.get("node", node)["status"]["conditions"]
    return next(each for each in conditions if each["type"] == kind)


def kubelet_pid(cluster: Cluster, node: str) -> int:
    """Return the process id, inside the sandbox, of a node's kubelet."""
    state = cluster.sandbox.state()
    assert state is not None
    return next(each.pid for each in state.components if each.name == f"kubelet {node}")


def test_pods_are_admitted_at_once(cluster: Cluster) -> None:
    """When a sandbox is up, the default service account exists, so that pods are admitted."""
    assert cluster.pod("early", finished)["spec"]["serviceAccountName"] == "default"


# -- status and lease -----------------------------------------------------------------------------------------------


def test_node_status(cluster: Cluster) -> None:
    """A node's status has its addresses, conditions, capacity, allocatable resources and versions."""
    node = cluster.get("node", "gamma")
    assert node["status"]["capacity"]["nvidia.com/gpu"] == node["status"]["allocatable"]["nvidia.com/gpu"] == "2"
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-A10"
    assert node["metadata"]["labels"]["pool"] == "small"
    conditions = {each["type"]: (each["status"], each["reason"]) for each in node["status"]["conditions"]}
    assert conditions["Ready"] == ("True", "KubeletReady")
    assert conditions["MemoryPressure"] == ("False", "KubeletHasSufficientMemory")
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.37.1"


def test_lease(cluster: Cluster) -> None:
    """The kubelet renews the node's Lease every 10 seconds."""

    def renewed_unix_s() -> float:
        lease = json.loads(cluster.kubectl("get", "lease", "alpha", "--namespace=kube-node-lease", "--output=json"))
        return parse_rfc3339(lease["spec"]["renewTime"])

    before_unix_s = renewed_unix_s()
    pause_s = eventually(lambda: renewed_unix_s() - before_unix_s, "a renewed lease")
    assert 9 < pause_s < LEASE_S


def test_daemon_set(cluster: Cluster) -> None:
    """A DaemonSet runs one pod on every node, each with its own address."""
    daemon = deployment("daemon")
    daemon["kind"] = "DaemonSet"
    cluster.create(daemon)
    eventually(lambda: len([each for each in pods_of(cluster, "daemon") if ready(each)]) == 3, "three ready pods")
    nodes = sorted(each["spec"]["nodeName"] for each in pods_of(cluster, "daemon"))
    assert nodes == sorted(NAMES)
    assert len({each["status"]["podIP"] for each in pods_of(cluster, "daemon")}) == 3
    cluster.kubectl("delete", "daemonset", "daemon")


# -- full, cordoned, drained, tainted ---------------------------------------------------------------------------------


def test_more_gpus_than_any_node_has(cluster: Cluster) -> None:
    """A pod whose request no node can satisfy stays Pending; the scheduler names the insufficient resource."""
    cluster.create(pod("greedy", shell(FOREVER, **gpus(5))))
    last = cluster.pod("greedy", unschedulable)
    assert last["status"]["phase"] == "Pending"
    assert "0/3 nodes are available: 3 Insufficient nvidia.com/gpu." in unschedulable(last)
    assert "3 Insufficient nvidia.com/gpu" in cluster.event("greedy", "FailedScheduling")


def test_gpus_are_allocated_and_released(cluster: Cluster) -> None:
    """A pod waits while all GPUs are allocated, and runs when another pod is deleted."""
    cluster.create(*(pod(name, shell(FOREVER, **gpus(4))) for name in ("one", "two")))
    nodes = {cluster.pod(name, ready)["spec"]["nodeName"] for name in ("one", "two")}
    assert nodes == {"alpha", "beta"}
    cluster.create(pod("three", shell(FOREVER, **gpus(4))))
    assert "Insufficient nvidia.com/gpu" in unschedulable(cluster.pod("three", unschedulable))
    cluster.kubectl("delete", "pod", "one")
    assert cluster.pod("three", ready)["spec"]["nodeName"] in nodes
    cluster.kubectl("delete", "pod", "two", "three")


def test_cordon(cluster: Cluster) -> None:
    """No new pods are scheduled to a cordoned node; its running pods stay."""
    cluster.create(pod("before", shell(FOREVER)))
    cluster.pod("before", ready)
    cluster.kubectl("cordon", *NAMES)
    cluster.create(pod("after", shell(FOREVER)))
    assert "3 node(s) were unschedulable" in unschedulable(cluster.pod("after", unschedulable))
    assert ready(cluster.get("pod", "before"))
    cluster.kubectl("uncordon", *NAMES)
    cluster.pod("after", ready)


def test_drain(cluster: Cluster) -> None:
    """Draining a node cordons it and evicts its pods; their Deployment creates new ones on other nodes."""
    cluster.create(deployment("drained"))
    old = running(cluster, "drained")
    node = old["spec"]["nodeName"]
    cluster.kubectl("drain", node, "--pod-selector=app=drained", "--timeout=50s")
    new = running(cluster, "drained", not_on=node)
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert [each["metadata"]["name"] for each in pods_of(cluster, "drained")] == [new["metadata"]["name"]]
    assert cluster.get("node", node)["spec"]["unschedulable"]
    cluster.kubectl("uncordon", node)


def test_drain_keeps_a_disruption_budget(cluster: Cluster) -> None:
    """An eviction that would violate a PodDisruptionBudget is refused."""
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "drained"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "drained"}}},
    }
    cluster.create(budget)
    node = running(cluster, "drained")["spec"]["nodeName"]
    eventually(
        lambda: cluster.get("pdb", "drained")["status"].get("currentHealthy") == 1, "a budget with a healthy pod"
    )
    refused = cluster.run("drain", node, "--pod-selector=app=drained", "--timeout=2s")
    assert refused.returncode == 1
    assert "would violate the pod's disruption budget" in refused.stderr
    cluster.kubectl("uncordon", node)
    cluster.kubectl("delete", "pdb", "drained")


def test_taint(cluster: Cluster) -> None:
    """NoExecute: pods that do not tolerate the taint are evicted immediately."""
    node = running(cluster, "drained")["spec"]["nodeName"]
    cluster.kubectl("taint", "node", node, "broken=yes:NoExecute")
    running(cluster, "drained", not_on=node)
    cluster.kubectl("taint", "node", node, "broken-")


# -- hung and lost ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lost(cluster: Cluster) -> str:
    """Stop the kubelet of alpha and kill the one of beta; return a text in the command lines of beta's containers."""
    marker = f"on-beta-in-{cluster.sandbox.name}"
    cluster.create(
        pod("on-alpha", shell(FOREVER), **on("alpha")),
        pod("on-beta", shell(f": {marker}; {FOREVER}"), **on("beta")),
        deployment("moves"),
    )
    cluster.kubectl("cordon", "alpha", "gamma")
    cluster.kubectl("delete", "pods", "--selector=app=moves")
    eventually(lambda: running(cluster, "moves", not_on="alpha")["spec"]["nodeName"] == "beta", "a pod on beta")
    cluster.kubectl("uncordon", "alpha", "gamma")
    for name in ("on-alpha", "on-beta"):
        cluster.pod(name, ready)
    assert processes_with(marker)
    inside(cluster.sandbox, "kill", "-STOP", str(kubelet_pid(cluster, "alpha")))
    inside(cluster.sandbox, "kill", "-KILL", str(kubelet_pid(cluster, "beta")))
    return marker


def test_containers_of_a_lost_node_are_gone(lost: str) -> None:
    """The containers of a lost node exit."""
    eventually(lambda: not processes_with(lost), "its containers exit")


@pytest.mark.usefixtures("lost")
@pytest.mark.parametrize("node", ["alpha", "beta"])
def test_unreachable_node(cluster: Cluster, node: str) -> None:
    """If a node's Lease is not renewed, its Ready condition becomes Unknown, and it is tainted as unreachable."""
    eventually(lambda: condition(cluster, node)["status"] == "Unknown", f"{node} is unknown")
    assert condition(cluster, node)["reason"] == "NodeStatusUnknown"
    assert condition(cluster, node)["message"] == "Kubelet stopped posting node status."

    def taints() -> set[tuple[str, str]]:
        return {(each["key"], each["effect"]) for each in cluster.get("node", node)["spec"].get("taints", [])}

    expected = {("node.kubernetes.io/unreachable", effect) for effect in ("NoSchedule", "NoExecute")}
    eventually(lambda: expected <= taints(), "both taints")


@pytest.mark.usefixtures("lost")
def test_pods_of_an_unreachable_node(cluster: Cluster) -> None:
    """The pods of an unreachable node are not ready, so they are removed from Services."""
    cluster.pod("on-alpha", lambda each: not ready(each))
    cluster.pod("on-beta", lambda each: not ready(each))
    assert cluster.get("pod", "on-beta")["status"]["phase"] == "Running"


@pytest.mark.usefixtures("lost")
def test_evicted_pods_are_replaced(cluster: Cluster) -> None:
    """Pods that do not tolerate the taint are evicted, and the Deployment creates them on another node."""
    assert running(cluster, "moves", not_on="beta")["spec"]["nodeName"] == "gamma"


@pytest.mark.usefixtures("lost")
def test_hung_node_comes_back(cluster: Cluster) -> None:
    """When the kubelet continues, the node and its pods are ready again, without restarts."""
    inside(cluster.sandbox, "kill", "-CONT", str(kubelet_pid(cluster, "alpha")))
    eventually(lambda: condition(cluster, "alpha")["status"] == "True", "alpha is Ready")
    assert status(cluster.pod("on-alpha", ready))["restartCount"] == 0


@pytest.mark.usefixtures("lost")
def test_lost_node_comes_back(cluster: Cluster) -> None:
    """After a reboot the node is Ready, restarts its pods, and removes those that were evicted meanwhile."""
    folder = cluster.sandbox.folder
    log = folder / "logs" / "kubelet-beta-again.log"
    again = f"{sys.executable} -m loadgen.sandbox.kubelet {folder / 'kubelet-beta.json'} > {log} 2>&1 &"
    inside(cluster.sandbox, "sh", "-c", again)
    eventually(lambda: condition(cluster, "beta")["status"] == "True", "beta is Ready")
    last = cluster.pod("on-beta", lambda each: restarted(1)(each) and ready(each))
    previous = status(last)["lastState"]["terminated"]
    assert (previous["exitCode"], previous["reason"]) == (255, "Unknown")
    assert cluster.event("on-beta", "SandboxChanged")
    eventually(lambda: len(pods_of(cluster, "moves")) == 1, "the evicted pod is removed from the API")
