"""Nodes that are full, cordoned, drained, hung and lost, held against the Kubernetes documentation (Nodes).

The last tests break nodes, so this file has a sandbox of its own, whose controllers notice it after 20 s.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from loadgen.sandbox.config import Node
from loadgen.sandbox.kubelet.objects import parse_rfc3339
from support.kube.cluster import FOREVER, Cluster, Json, eventually, over, pod, ready, restarted, said_by, shell, status
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
    """A sandbox with three nodes for this file alone."""
    flags = ("--node-monitor-grace-period=20s", "--node-monitor-period=1s")
    with up(NODES, controller_manager_flags=flags) as sandbox:
        own = Cluster(sandbox, "default")
        own.create(pod("early", shell("exit 0"), restartPolicy="Never"))
        yield own


def gpus(number: int) -> Json:
    """A container's resources with so many GPUs."""
    return {"resources": {"limits": {"nvidia.com/gpu": str(number)}}}


def on(node: str) -> Json:
    """The field of a pod that keeps it to a node."""
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


def deployment(name: str, **spec: Any) -> Json:
    """A Deployment of one pod that asks for no patience with a node that is lost."""
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
    """The pods with a label `app`, those that end too."""
    found: list[Json] = json.loads(cluster.kubectl("get", "pods", f"--selector=app={name}", "--output=json"))["items"]
    return found


def running(cluster: Cluster, name: str, not_on: str = "") -> Json:
    """The ready pod of a Deployment, once there is one, and not on a certain node."""

    def look() -> Json:
        well = (each for each in pods_of(cluster, name) if ready(each) and each["spec"]["nodeName"] != not_on)
        return next((each for each in well if not each["metadata"].get("deletionTimestamp")), {})

    return eventually(look, f"a ready pod of {name} that is not on {not_on!r}", 90)


def unschedulable(each: Json) -> str:
    """What the scheduler says of a pod that it finds no place for; empty while it says nothing."""
    conditions = {one["type"]: one for one in each["status"].get("conditions") or []}
    scheduled = conditions.get("PodScheduled", {})
    return str(scheduled["message"]) if scheduled.get("reason") == "Unschedulable" else ""


def condition(cluster: Cluster, node: str, kind: str = "Ready") -> Json:
    """A condition of a node."""
    conditions = cluster.get("node", node)["status"]["conditions"]
    return next(each for each in conditions if each["type"] == kind)


def kubelet(cluster: Cluster, node: str) -> int:
    """Process id inside of a node's kubelet."""
    state = cluster.sandbox.state()
    assert state is not None
    return next(each.pid for each in state.components if each.name == f"kubelet {node}")


def test_pods_are_let_in_at_once(cluster: Cluster) -> None:
    """A sandbox that is up lets pods in: the account that they run as is there."""
    assert cluster.pod("early", over)["spec"]["serviceAccountName"] == "default"


# -- what a node says of itself ---------------------------------------------------------------------------------------


def test_node_status(cluster: Cluster) -> None:
    """A node's status has its addresses, conditions, capacity, allocatable resources and versions."""
    node = cluster.get("node", "gamma")
    assert node["status"]["capacity"]["nvidia.com/gpu"] == node["status"]["allocatable"]["nvidia.com/gpu"] == "2"
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-A10"
    assert node["metadata"]["labels"]["pool"] == "small"
    told = {each["type"]: (each["status"], each["reason"]) for each in node["status"]["conditions"]}
    assert told["Ready"] == ("True", "KubeletReady")
    assert told["MemoryPressure"] == ("False", "KubeletHasSufficientMemory")
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.37.1"


def test_lease(cluster: Cluster) -> None:
    """The kubelet renews the node's Lease every 10 seconds."""

    def renewed_unix_s() -> float:
        lease = json.loads(cluster.kubectl("get", "lease", "alpha", "--namespace=kube-node-lease", "--output=json"))
        return parse_rfc3339(lease["spec"]["renewTime"])

    before = renewed_unix_s()
    eventually(lambda: renewed_unix_s() > before, "a renewed lease", 30)
    assert 9 < renewed_unix_s() - before < 20


def test_daemon_set(cluster: Cluster) -> None:
    """A DaemonSet runs one pod on every node; node and pod then know of each other."""
    daemon = deployment("daemon")
    daemon["kind"] = "DaemonSet"
    cluster.create(daemon)
    eventually(lambda: len([each for each in pods_of(cluster, "daemon") if ready(each)]) == 3, "three ready pods")
    each_on = sorted(each["spec"]["nodeName"] for each in pods_of(cluster, "daemon"))
    assert each_on == sorted(NAMES)
    assert len({each["status"]["podIP"] for each in pods_of(cluster, "daemon")}) == 3
    cluster.kubectl("delete", "daemonset", "daemon")


# -- full, cordoned, drained, tainted ---------------------------------------------------------------------------------


def test_more_gpus_than_any_node_has(cluster: Cluster) -> None:
    """A pod whose request no node can satisfy stays Pending; the scheduler says which resource is insufficient."""
    cluster.create(pod("greedy", shell(FOREVER, **gpus(5))))
    last = cluster.pod("greedy", unschedulable)
    assert last["status"]["phase"] == "Pending"
    assert "0/3 nodes are available: 3 Insufficient nvidia.com/gpu." in unschedulable(last)
    assert "3 Insufficient nvidia.com/gpu" in cluster.event("greedy", "FailedScheduling")


def test_gpus_are_taken_and_freed(cluster: Cluster) -> None:
    """GPUs of running pods are taken: the next pod waits, and runs when one of them has gone."""
    cluster.create(*(pod(name, shell(FOREVER, **gpus(4))) for name in ("one", "two")))
    taken = {cluster.pod(name, ready)["spec"]["nodeName"] for name in ("one", "two")}
    assert taken == {"alpha", "beta"}
    cluster.create(pod("three", shell(FOREVER, **gpus(4))))
    assert "Insufficient nvidia.com/gpu" in unschedulable(cluster.pod("three", unschedulable))
    cluster.kubectl("delete", "pod", "one")
    assert cluster.pod("three", ready)["spec"]["nodeName"] in taken
    cluster.kubectl("delete", "pod", "two", "three")


def test_cordon(cluster: Cluster) -> None:
    """A cordoned node gets no new pods; those that run on it stay."""
    cluster.create(pod("before", shell(FOREVER)))
    cluster.pod("before", ready)
    cluster.kubectl("cordon", *NAMES)
    cluster.create(pod("after", shell(FOREVER)))
    assert "3 node(s) were unschedulable" in unschedulable(cluster.pod("after", unschedulable))
    assert ready(cluster.get("pod", "before"))
    cluster.kubectl("uncordon", *NAMES)
    cluster.pod("after", ready)


def test_drain(cluster: Cluster) -> None:
    """Draining a node cordons it and evicts its pods; their Deployment makes new ones elsewhere."""
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
    eventually(lambda: cluster.get("pdb", "drained")["status"].get("currentHealthy") == 1, "a budget that is counted")
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
    """The kubelet of alpha hangs and the one of beta is killed; returns words that only beta's processes say."""
    words = f"of {cluster.sandbox.name} on beta"
    cluster.create(
        pod("on-alpha", shell(FOREVER), **on("alpha")),
        pod("on-beta", shell(f": {words}; {FOREVER}"), **on("beta")),
        deployment("moves"),
    )
    cluster.kubectl("cordon", "alpha", "gamma")
    cluster.kubectl("delete", "pods", "--selector=app=moves")
    eventually(lambda: running(cluster, "moves", not_on="alpha")["spec"]["nodeName"] == "beta", "a pod on beta")
    cluster.kubectl("uncordon", "alpha", "gamma")
    for name in ("on-alpha", "on-beta"):
        cluster.pod(name, ready)
    assert said_by(words)
    inside(cluster.sandbox, "kill", "-STOP", str(kubelet(cluster, "alpha")))
    inside(cluster.sandbox, "kill", "-KILL", str(kubelet(cluster, "beta")))
    return words


def test_containers_of_a_lost_node_are_gone(lost: str) -> None:
    """A node that is lost takes its containers with it."""
    eventually(lambda: not said_by(lost), "the end of its containers")


@pytest.mark.usefixtures("lost")
@pytest.mark.parametrize("node", ["alpha", "beta"])
def test_node_that_is_silent(cluster: Cluster, node: str) -> None:
    """If a node's Lease is not renewed, its Ready condition becomes Unknown, and it is tainted as unreachable."""
    eventually(lambda: condition(cluster, node)["status"] == "Unknown", f"{node} is unknown", 90)
    assert condition(cluster, node)["reason"] == "NodeStatusUnknown"
    assert condition(cluster, node)["message"] == "Kubelet stopped posting node status."

    def taints() -> set[tuple[str, str]]:
        return {(each["key"], each["effect"]) for each in cluster.get("node", node)["spec"].get("taints", [])}

    wanted = {("node.kubernetes.io/unreachable", effect) for effect in ("NoSchedule", "NoExecute")}
    eventually(lambda: wanted <= taints(), "both taints")


@pytest.mark.usefixtures("lost")
def test_pods_of_a_silent_node(cluster: Cluster) -> None:
    """The pods of an unreachable node are not ready any more, so they leave the endpoints of Services."""
    cluster.pod("on-alpha", lambda each: not ready(each), 90)
    cluster.pod("on-beta", lambda each: not ready(each), 90)
    assert cluster.get("pod", "on-beta")["status"]["phase"] == "Running"


@pytest.mark.usefixtures("lost")
def test_pods_are_made_elsewhere(cluster: Cluster) -> None:
    """Pods that do not tolerate the taint are evicted: the Deployment makes them on a node that is left."""
    assert running(cluster, "moves", not_on="beta")["spec"]["nodeName"] == "gamma"


@pytest.mark.usefixtures("lost")
def test_hung_node_comes_back(cluster: Cluster) -> None:
    """When the kubelet goes on, the node is Ready again and its pods too; nothing of them was restarted."""
    inside(cluster.sandbox, "kill", "-CONT", str(kubelet(cluster, "alpha")))
    eventually(lambda: condition(cluster, "alpha")["status"] == "True", "alpha is Ready")
    assert status(cluster.pod("on-alpha", ready))["restartCount"] == 0


@pytest.mark.usefixtures("lost")
def test_lost_node_comes_back(cluster: Cluster) -> None:
    """After a reboot the node is Ready, restarts its pods, and forgets those that were evicted meanwhile."""
    folder = cluster.sandbox.folder
    log = folder / "logs" / "kubelet-beta-again.log"
    again = f"{sys.executable} -m loadgen.sandbox.kubelet {folder / 'kubelet-beta.json'} > {log} 2>&1 &"
    inside(cluster.sandbox, "sh", "-c", again)
    eventually(lambda: condition(cluster, "beta")["status"] == "True", "beta is Ready")
    last = cluster.pod("on-beta", lambda each: restarted(1)(each) and ready(each))
    died = status(last)["lastState"]["terminated"]
    assert (died["exitCode"], died["reason"]) == (255, "Unknown")
    assert cluster.event("on-beta", "SandboxChanged")
    eventually(lambda: len(pods_of(cluster, "moves")) == 1, "the evicted pod goes from the API")
