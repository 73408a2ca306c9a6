"""Records events; equal events are one object whose count grows."""

import asyncio
import contextlib
import time
from collections import OrderedDict

from loadgen.sandbox.kubelet.api_client import MERGE_PATCH, ApiClient, ApiError
from loadgen.sandbox.kubelet.objects import Json, all_containers, pod_reference, rfc3339

_MAX_REMEMBERED = 4096
_ATTEMPTS = 4
_RETRY_S = 0.5


class Events:
    """Writes events in the background and in order; an event that still fails after some attempts is dropped.

    Args:
        api: Client of the API server.
        node: Name of the node, the source of the events.
    """

    def __init__(self, api: ApiClient, node: str) -> None:
        self._api = api
        self._node = node
        self._queue: asyncio.Queue[tuple[Json, str, str, str, float]] = asyncio.Queue()
        self._written: OrderedDict[tuple[str, ...], tuple[str, int]] = OrderedDict()

    def normal(self, involved: Json, reason: str, message: str) -> None:
        """Record an event of type Normal about the object of a reference."""
        self._queue.put_nowait((involved, "Normal", reason, message, time.time()))

    def warning(self, involved: Json, reason: str, message: str) -> None:
        """Record an event of type Warning about the object of a reference."""
        self._queue.put_nowait((involved, "Warning", reason, message, time.time()))

    def container_event(self, pod: Json, container: Json, reason: str, message: str, *, warning: bool = False) -> None:
        """Record an event about a container of a pod."""
        field = next(field for field, each in all_containers(pod) if each["name"] == container["name"])
        involved = pod_reference(pod, field)
        (self.warning if warning else self.normal)(involved, reason, message)

    async def run(self) -> None:
        """Write the recorded events until cancelled."""
        while True:
            event = await self._queue.get()
            with contextlib.suppress(ApiError):
                await self._write(*event)
            self._queue.task_done()

    async def flush(self, timeout_s: float) -> None:
        """Wait until all recorded events are written, at most `timeout_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._queue.join()

    async def _write(self, involved: Json, kind: str, reason: str, message: str, at_unix_s: float) -> None:
        key = (involved["uid"], involved.get("fieldPath", ""), kind, reason, message)
        name, count = self._written.get(key, (f"{involved['name']}.{time.time_ns():x}", 0))
        path = f"/api/v1/namespaces/{involved.get('namespace') or 'default'}/events"
        for last in [False] * (_ATTEMPTS - 1) + [True]:
            try:
                if count:
                    change = {"count": count + 1, "lastTimestamp": rfc3339(at_unix_s)}
                    await self._api.patch(f"{path}/{name}", change, MERGE_PATCH)
                else:
                    await self._api.create(path, self._event(name, involved, kind, reason, message, at_unix_s))
                break
            except ApiError as error:
                if error.status == 404 and count:
                    name, count = f"{involved['name']}.{time.time_ns():x}", 0  # it has expired: start a new one
                elif last or 400 <= error.status < 500:
                    raise
                else:
                    await asyncio.sleep(_RETRY_S)
        self._written[key] = (name, count + 1)
        self._written.move_to_end(key)
        while len(self._written) > _MAX_REMEMBERED:
            self._written.popitem(last=False)

    def _event(self, name: str, involved: Json, kind: str, reason: str, message: str, at_unix_s: float) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": involved.get("namespace") or "default"},
            "involvedObject": involved,
            "reason": reason,
            "message": message[:1024],
            "type": kind,
            "source": {"component": "kubelet", "host": self._node},
            "reportingComponent": "kubelet",
            "reportingInstance": self._node,
            "firstTimestamp": rfc3339(at_unix_s),
            "lastTimestamp": rfc3339(at_unix_s),
            "count": 1,
        }
