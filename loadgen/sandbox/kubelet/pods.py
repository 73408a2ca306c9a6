"""The pods of this node: a worker for each that the API binds to it."""

import asyncio
import logging

from loadgen.sandbox.kubelet.context import NodeRoom
from loadgen.sandbox.kubelet.meta import Json, uid_of
from loadgen.sandbox.kubelet.worker import Worker

_LOG = logging.getLogger(__name__)


class Pods:
    """Follows the node's pods and runs a worker for each.

    Args:
        node: What the pods share.

    Attributes:
        workers: The pods that are here, by UID.
    """

    def __init__(self, node: NodeRoom) -> None:
        self._node = node
        self.workers: dict[str, Worker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        query = {"fieldSelector": f"spec.nodeName={self._node.config.node}"}
        async for kind, item in self._node.api.watch("/api/v1/pods", query):
            if kind == "LISTED":
                listed = {uid_of(pod): pod for pod in item["items"]}
                for pod in listed.values():
                    self._saw(pod)
                for uid in set(self.workers) - set(listed):
                    self.workers[uid].lose()
            elif kind == "DELETED":
                worker = self.workers.get(uid_of(item))
                if worker:
                    worker.update(item)
                    worker.lose()
            else:
                self._saw(item)

    async def stop(self) -> None:
        """End all workers at once; their containers go with their namespaces."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def find(self, namespace: str, name: str) -> Worker | None:
        """The worker of a pod by its name."""
        for worker in self.workers.values():
            meta = worker.room.pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name):
                return worker
        return None

    def _saw(self, pod: Json) -> None:
        uid = uid_of(pod)
        if uid in self.workers:
            self.workers[uid].update(pod)
            return
        self.workers[uid] = worker = Worker(self._node, pod)
        self._tasks[uid] = task = asyncio.create_task(worker.run())
        task.add_done_callback(lambda done: self._forget(uid, done))

    def _forget(self, uid: str, task: "asyncio.Task[None]") -> None:
        self.workers.pop(uid, None)
        self._tasks.pop(uid, None)
        if not task.cancelled() and task.exception():
            _LOG.error("the worker of pod %s failed", uid, exc_info=task.exception())
