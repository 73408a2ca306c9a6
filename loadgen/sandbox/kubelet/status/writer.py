"""Writes a pod's status to the API when it has changed, and again when another client has overwritten it."""

import asyncio
import logging
import time
from typing import Any

from loadgen.sandbox.kubelet.api_client import ApiError
from loadgen.sandbox.kubelet.context import NodeContext
from loadgen.sandbox.kubelet.objects import Json, format_pod, pod_path, pod_uid
from loadgen.sandbox.kubelet.status.states import PodState
from loadgen.sandbox.kubelet.status.status import pod_status

_LOG = logging.getLogger(__name__)
_FIRST_RETRY_S, _MAX_RETRY_S = 0.2, 10.0


class StatusWriter:
    """Writes the status of one pod.

    Args:
        node: Shared by the pods of the node.
        pod: The pod from the API.
        state: State of the pod on this node.

    Attributes:
        finished: Whether no container of the pod will be started again.
    """

    def __init__(self, node: NodeContext, pod: Json, state: PodState) -> None:
        self._node = node
        self._pod = pod
        self._state = state
        self._sent: Json | None = None
        self._sent_version = 0
        self._pending = asyncio.Event()
        self._written = asyncio.Event()
        self._disabled = False
        self.finished = False

    def changed(self) -> None:
        """Write the status if it differs from the one written last."""
        self._written.clear()
        self._pending.set()

    def disable(self) -> None:
        """Stop writing."""
        self._disabled = True
        self._written.set()

    def update(self, pod: Json) -> None:
        """Take over a new version of the pod from the API; conditions changed by other clients are written again."""
        self._pod = pod
        if self._sent and int(pod["metadata"]["resourceVersion"]) > self._sent_version:
            sent = {each["type"]: each["status"] for each in self._sent["conditions"]}
            current = {each["type"]: each["status"] for each in pod["status"].get("conditions") or []}
            if any(current.get(kind) != status for kind, status in sent.items()):
                self._sent = None
        self.changed()

    async def wait_written(self) -> None:
        """Wait until the newest status is written, or writing is disabled."""
        await self._written.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        retry_s = _FIRST_RETRY_S
        while True:
            await self._pending.wait()
            self._pending.clear()
            if self._disabled:
                self._written.set()
                continue
            try:
                await self._write()
                retry_s = _FIRST_RETRY_S
            except ApiError as error:
                if error.status in (404, 409):
                    self.disable()  # the pod is gone, or another pod has its name
                    continue
                _LOG.warning("the status of %s could not be written: %s", format_pod(self._pod), error)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, _MAX_RETRY_S)
                self._pending.set()
            if not self._pending.is_set():
                self._written.set()

    async def _write(self) -> None:
        status = pod_status(
            self._pod_with_sent_conditions(),
            self._state,
            node_ip=str(self._node.config.ip),
            now_unix_s=time.time(),
            finished=self.finished,
        )
        if status == self._sent:
            return
        # a strategic merge would add the address to those that an earlier kubelet wrote
        addresses = {key: [{"$patch": "replace"}, *status[key]] for key in ("podIPs", "hostIPs") if key in status}
        patch: dict[str, Any] = {"metadata": {"uid": pod_uid(self._pod)}, "status": {**status, **addresses}}
        answer = await self._node.api.patch(pod_path(self._pod, subresource="status"), patch)
        self._sent, self._sent_version = status, int(answer["metadata"]["resourceVersion"])

    def _pod_with_sent_conditions(self) -> Json:
        """Return the pod with the conditions written last, which the watch may not have delivered yet."""
        status = self._pod.get("status") or {}
        conditions = {each["type"]: each for each in status.get("conditions") or []}
        conditions |= {each["type"]: each for each in (self._sent or {}).get("conditions") or []}
        return {**self._pod, "status": {**status, "conditions": list(conditions.values())}}
