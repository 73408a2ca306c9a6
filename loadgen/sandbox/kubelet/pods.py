"""Watches the pods that are bound to this node and runs a worker for each."""

import asyncio
import logging

from loadgen.sandbox.kubelet.context import NodeContext
from loadgen.sandbox.kubelet.objects import Json, pod_uid
from loadgen.sandbox.kubelet.pod_worker import PodWorker

_LOG = logging.getLogger(__name__)


class Pods:
    """The pods of a node.

    Args:
        node: Shared by the pods of the node.

    Attributes:
        workers: Workers of the pods, by UID.
    """

    def __init__(self, node: NodeContext) -> None:
        self._node = node
        self.workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        query = {"fieldSelector": f"spec.nodeName={self._node.config.node}"}
        async for kind, item in self._node.api.watch("/api/v1/pods", query):
            if kind == "LISTED":
                listed = {pod_uid(pod): pod for pod in item["items"]}
                for pod in listed.values():
                    self._add_or_update(pod)
                for uid in set(self.workers) - set(listed):
                    self.workers[uid].remove()
            elif kind == "DELETED":
                worker = self.workers.get(pod_uid(item))
                if worker:
                    worker.update(item)
                    worker.remove()
            else:
                self._add_or_update(item)

    async def stop(self) -> None:
        """Cancel all workers; their containers end with their namespaces."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """Return the worker of a pod by its name."""
        for worker in self.workers.values():
            meta = worker.context.pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name):
                return worker
        return None

    def _add_or_update(self, pod: Json) -> None:
        uid = pod_uid(pod)
        if uid in self.workers:
            self.workers[uid].update(pod)
            return
        self.workers[uid] = worker = PodWorker(self._node, pod)
        self._tasks[uid] = task = asyncio.create_task(worker.run())
        task.add_done_callback(lambda done: self._forget(uid, done))

    def _forget(self, uid: str, task: "asyncio.Task[None]") -> None:
        self.workers.pop(uid, None)
        self._tasks.pop(uid, None)
        if not task.cancelled() and task.exception():
            _LOG.error("the worker of pod %s failed", uid, exc_info=task.exception())
