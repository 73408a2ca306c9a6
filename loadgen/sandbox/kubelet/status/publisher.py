"""Writes a pod's status to the API: only when it changed, and again when somebody else changed it."""

import asyncio
import logging
import time
from typing import Any

from loadgen.sandbox.kubelet.api import ApiError
from loadgen.sandbox.kubelet.context import NodeRoom
from loadgen.sandbox.kubelet.meta import Json, described, pod_path, uid_of
from loadgen.sandbox.kubelet.status.states import PodState
from loadgen.sandbox.kubelet.status.status import pod_status

_LOG = logging.getLogger(__name__)
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.2, 10.0


class Publisher:
    """The writer of one pod's status.

    Args:
        node: What the node's pods share.
        pod: The pod as the API has it.
        state: What its worker knows.

    Attributes:
        over: Whether nothing of the pod will be started again.
    """

    def __init__(self, node: NodeRoom, pod: Json, state: PodState) -> None:
        self._node = node
        self._pod = pod
        self._state = state
        self._sent: Json | None = None
        self._sent_version = 0
        self._dirty = asyncio.Event()
        self._settled = asyncio.Event()
        self._silent = False
        self.over = False

    def changed(self) -> None:
        """The status may have changed."""
        self._settled.clear()
        self._dirty.set()

    def silence(self) -> None:
        """Write nothing any more."""
        self._silent = True
        self._settled.set()

    def seen(self, pod: Json) -> None:
        """Take note of the pod's newest version, and of what others changed in the status."""
        self._pod = pod
        if self._sent and int(pod["metadata"]["resourceVersion"]) > self._sent_version:
            ours = {each["type"]: each["status"] for each in self._sent["conditions"]}
            theirs = {each["type"]: each["status"] for each in pod["status"].get("conditions") or []}
            if any(theirs.get(kind) != status for kind, status in ours.items()):
                self._sent = None
        self.changed()

    async def settle(self) -> None:
        """Wait until the newest status is written, or cannot be any more."""
        await self._settled.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        retry_s = _FIRST_RETRY_S
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if self._silent:
                self._settled.set()
                continue
            try:
                await self._write()
                retry_s = _FIRST_RETRY_S
            except ApiError as error:
                if error.status in (404, 409):
                    self.silence()  # it is gone, or another pod of its name
                    continue
                _LOG.warning("the status of %s is not written: %s", described(self._pod), error)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
                self._dirty.set()
            if not self._dirty.is_set():
                self._settled.set()

    async def _write(self) -> None:
        status = pod_status(
            self._known(),
            self._state,
            node_ip=str(self._node.config.ip),
            now_unix_s=time.time(),
            over=self.over,
        )
        if status == self._sent:
            return
        # the API would add our address to those of a former life of the pod
        whole = {key: [{"$patch": "replace"}, *status[key]] for key in ("podIPs", "hostIPs") if key in status}
        patch: dict[str, Any] = {"metadata": {"uid": uid_of(self._pod)}, "status": {**status, **whole}}
        answer = await self._node.api.patch(pod_path(self._pod, subresource="status"), patch)
        self._sent, self._sent_version = status, int(answer["metadata"]["resourceVersion"])

    def _known(self) -> Json:
        """The pod with our own conditions as we sent them: the watch may not have brought them back yet."""
        status = self._pod.get("status") or {}
        conditions = {each["type"]: each for each in status.get("conditions") or []}
        conditions |= {each["type"]: each for each in (self._sent or {}).get("conditions") or []}
        return {**self._pod, "status": {**status, "conditions": list(conditions.values())}}
