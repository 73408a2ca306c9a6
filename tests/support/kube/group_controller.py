"""Emulates the LeaderWorkerSet controller in a sandbox, as far as an autoscaler observes it.

For each replica it creates a leader and its workers from the templates of the object, with the names, labels and
environment variables that the API documents. It writes the number of replicas and the HPA's selector of leaders into
the status.
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
    """Reconciles the pods of one LeaderWorkerSet until the `with` block ends."""

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
        """Create missing pods, delete surplus pods and update the status."""
        spec = self._cluster.get("lws", self._name)["spec"]
        pods = {
            pod["metadata"]["name"]: pod
            for group in range(spec["replicas"])
            for pod in self._group(spec["leaderWorkerTemplate"], group)
        }
        query = (f"-l{_LABEL}/name={self._name}", "--output=jsonpath={.items[*].metadata.name}")
        existing = set(self._cluster.kubectl("get", "pods", *query).split())
        if missing := [pod for name, pod in pods.items() if name not in existing]:
            self._cluster.create(*missing)
        if surplus := existing - set(pods):
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
        environment = {
            "LWS_LEADER_ADDRESS": f"{self._name}-{group}.{self._name}.{self._cluster.namespace}",
            "LWS_GROUP_SIZE": str(size),
            "LWS_WORKER_INDEX": str(index),
        }
        for container in spec["containers"]:
            container["env"] = [{"name": key, "value": value} for key, value in environment.items()] + container["env"]
        return pod
