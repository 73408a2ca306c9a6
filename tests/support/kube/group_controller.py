"""Plays the controller of LeaderWorkerSet in a sandbox, as far as an autoscaler sees it.

For each replica it makes a leader and its workers from the object's templates, with the names, labels and variables
that the API documents, and writes how many there are, and by which selector the HPA finds leaders, into the status.
"""

import copy
import json
import threading
from types import TracebackType
from typing import Any

from support.kube.cluster import Cluster

_LABEL = "leaderworkerset.sigs.k8s.io"
_PERIOD_S = 1.0


class GroupController:
    """Keeps the pods of one LeaderWorkerSet as it says, for as long as the `with` lasts."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster, self._name = cluster, name
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "GroupController":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            self.reconcile()

    def reconcile(self) -> None:
        """Make what is missing, delete what is too many, write the status."""
        spec = self._cluster.get("lws", self._name)["spec"]
        wanted = {
            pod["metadata"]["name"]: pod
            for group in range(spec["replicas"])
            for pod in self._group(spec["leaderWorkerTemplate"], group)
        }
        query = (f"-l{_LABEL}/name={self._name}", "--output=jsonpath={.items[*].metadata.name}")
        there = set(self._cluster.kubectl("get", "pods", *query).split())
        if missing := [pod for name, pod in wanted.items() if name not in there]:
            self._cluster.create(*missing)
        if surplus := there - set(wanted):
            self._cluster.kubectl("delete", "pod", "--wait=false", "--ignore-not-found", *surplus)
        selector = f"{_LABEL}/name={self._name},{_LABEL}/worker-index=0"
        status = {"status": {"replicas": spec["replicas"], "hpaPodSelector": selector}}
        patch = ("--subresource=status", "--type=merge", f"--patch={json.dumps(status)}")
        self._cluster.kubectl("patch", "lws", self._name, *patch)

    def _group(self, template: dict[str, Any], group: int) -> list[dict[str, Any]]:
        leader = f"{self._name}-{group}"
        pods = [self._pod(template["leaderTemplate"], leader, group, 0, template["size"])]
        for worker in range(1, template["size"]):
            pods.append(self._pod(template["workerTemplate"], f"{leader}-{worker}", group, worker, template["size"]))
        return pods

    def _pod(self, template: dict[str, Any], name: str, group: int, index: int, size: int) -> dict[str, Any]:
        pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(template)}
        metadata, spec = pod["metadata"], pod["spec"]
        metadata["name"] = name
        numbers = {"name": self._name, "group-index": group, "worker-index": index}
        metadata["labels"] |= {f"{_LABEL}/{key}": str(value) for key, value in numbers.items()}
        spec |= {"hostname": name, "subdomain": self._name}
        said = {
            "LWS_LEADER_ADDRESS": f"{self._name}-{group}.{self._name}.{self._cluster.namespace}",
            "LWS_GROUP_SIZE": str(size),
            "LWS_WORKER_INDEX": str(index),
        }
        for container in spec["containers"]:
            container["env"] = [{"name": key, "value": value} for key, value in said.items()] + container["env"]
        return pod
