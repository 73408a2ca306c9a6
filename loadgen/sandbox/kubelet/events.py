"""Events as a kubelet writes them: one object for equal events, whose count grows."""

import asyncio
import contextlib
import time
from collections import OrderedDict

from loadgen.sandbox.kubelet.api import MERGE, Api, ApiError
from loadgen.sandbox.kubelet.meta import Json, all_containers, pod_reference, rfc3339

_REMEMBERED = 4096
_TRIES = 4
_PAUSE_S = 0.5


class Events:
    """Writes events in the background, in order; what cannot be written after some tries is dropped.

    Args:
        api: The API server.
        node: Name of the node, the events' source.
    """

    def __init__(self, api: Api, node: str) -> None:
        self._api = api
        self._node = node
        self._queue: asyncio.Queue[tuple[Json, str, str, str, float]] = asyncio.Queue()
        self._written: OrderedDict[tuple[str, ...], tuple[str, int]] = OrderedDict()

    def normal(self, about: Json, reason: str, message: str) -> None:
        """Record something that is as it should be."""
        self._queue.put_nowait((about, "Normal", reason, message, time.time()))

    def warning(self, about: Json, reason: str, message: str) -> None:
        """Record something that a person may have to look at."""
        self._queue.put_nowait((about, "Warning", reason, message, time.time()))

    def of_container(self, pod: Json, container: Json, reason: str, message: str, *, warning: bool = False) -> None:
        """Record something about one container of a pod."""
        field = next(field for field, each in all_containers(pod) if each["name"] == container["name"])
        about = pod_reference(pod, field)
        (self.warning if warning else self.normal)(about, reason, message)

    async def run(self) -> None:
        """Write what is recorded, until cancelled."""
        while True:
            event = await self._queue.get()
            with contextlib.suppress(ApiError):
                await self._write(*event)
            self._queue.task_done()

    async def flush(self, within_s: float) -> None:
        """Wait until everything recorded is written, `within_s` seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._queue.join()

    async def _write(self, about: Json, kind: str, reason: str, message: str, at_unix_s: float) -> None:
        key = (about["uid"], about.get("fieldPath", ""), kind, reason, message)
        name, count = self._written.get(key, (f"{about['name']}.{time.time_ns():x}", 0))
        path = f"/api/v1/namespaces/{about.get('namespace') or 'default'}/events"
        for last in [False] * (_TRIES - 1) + [True]:
            try:
                if count:
                    change = {"count": count + 1, "lastTimestamp": rfc3339(at_unix_s)}
                    await self._api.patch(f"{path}/{name}", change, MERGE)
                else:
                    await self._api.create(path, self._event(name, about, kind, reason, message, at_unix_s))
                break
            except ApiError as error:
                if error.status == 404 and count:
                    name, count = f"{about['name']}.{time.time_ns():x}", 0  # it expired: a new one counts from one
                elif last or 400 <= error.status < 500:
                    raise
                else:
                    await asyncio.sleep(_PAUSE_S)
        self._written[key] = (name, count + 1)
        self._written.move_to_end(key)
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _event(self, name: str, about: Json, kind: str, reason: str, message: str, at_unix_s: float) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": about.get("namespace") or "default"},
            "involvedObject": about,
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
