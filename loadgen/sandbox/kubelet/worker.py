"""One pod's life on this node.

    volumes ─▶ namespaces ─▶ init containers, one by one ─▶ main containers ─▶ end ─▶ (deleted) gone from the API
                             └ sidecars go on beside all that follows ─────────▶
At any point a deletion, a deadline or the pod's loss leads to the end: containers first, then sidecars from the last.
"""

import asyncio
import time

from loadgen.sandbox.kubelet.api import ApiError
from loadgen.sandbox.kubelet.container.process import StartError
from loadgen.sandbox.kubelet.container.restarts import should_restart
from loadgen.sandbox.kubelet.container.runner import Runner
from loadgen.sandbox.kubelet.container.termination import Deadline, unless
from loadgen.sandbox.kubelet.context import NodeRoom, PodRoom
from loadgen.sandbox.kubelet.meta import (
    Json,
    grace_s,
    init_containers,
    is_sidecar,
    main_containers,
    pod_path,
    pod_reference,
    uid_of,
    unix_s,
)
from loadgen.sandbox.kubelet.status.publisher import Publisher
from loadgen.sandbox.kubelet.status.recovered import former_life
from loadgen.sandbox.kubelet.status.states import PodState
from loadgen.sandbox.kubelet.volumes.projection import VolumeFault
from loadgen.sandbox.kubelet.volumes.volumes import REFRESH_S

_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.5, 122.0
_RETRY_S = 5.0


class Worker:
    """Runs one pod; made when the node first sees it.

    Args:
        node: What the node's pods share.
        pod: The pod as the API has it.

    Attributes:
        runners: Its containers that have been taken up, by name.
    """

    def __init__(self, node: NodeRoom, pod: Json) -> None:
        status = pod.get("status") or {}
        start = unix_s(status["startTime"]) if status.get("startTime") else time.time()
        state = PodState(start_unix_s=start, containers=former_life(pod, time.time()))
        self._publisher = Publisher(node, pod, state)
        self.room = PodRoom(node=node, pod=pod, state=state, changed=self._publisher.changed)
        self.runners: dict[str, Runner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()
        self._deadline: Deadline | None = None
        self._lost = asyncio.Event()
        self._deleted = asyncio.Event()
        self.update(pod)

    def update(self, pod: Json) -> None:
        """Take note of the pod's newest version."""
        self.room.pod = pod
        self._publisher.seen(pod)
        if pod["metadata"].get("deletionTimestamp"):
            if self._deadline:
                self._deadline.shorten(grace_s(pod))
            self._deleted.set()
            self._stop.set()

    def lose(self) -> None:
        """The pod is gone from the API: end it and tell nobody."""
        self._lost.set()
        self._publisher.silence()
        self._deleted.set()
        self._stop.set()

    async def run(self) -> None:
        """Live the pod's whole life; returns when it is gone from the API."""
        publishing = asyncio.create_task(self._publisher.run())
        background = [asyncio.create_task(self._watch_deadline()), asyncio.create_task(self._refresh())]
        try:
            if not self._over_before() and not self._stop.is_set():
                await unless(self._stop, self._life())
            await self._end()
            self._publisher.over = True
            await self.room.close()
            self._publisher.changed()
            await self._deleted.wait()
            if not self._lost.is_set():
                await self._publisher.settle()
                await self._delete()
                await self._lost.wait()  # until the watch says so, it may still bring older versions of the pod
        finally:
            for task in [publishing, *background, *self._tasks.values()]:
                task.cancel()
            await asyncio.gather(publishing, *background, *self._tasks.values(), return_exceptions=True)
            await self.room.close()

    def _over_before(self) -> bool:
        """Whether the pod was over when this node's kubelet began: nothing of it is to be started."""
        if (self.room.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            self._publisher.silence()
            return True
        pod, known = self.room.pod, self.room.state.containers
        return all(
            (ended := known[each["name"]].ended) and not should_restart(pod, each, ended.exit_code)
            for each in main_containers(pod)
        )

    async def _life(self) -> None:
        if any(each.container_id for each in self.room.state.containers.values()):
            told = "Pod sandbox changed, it will be killed and re-created."
            self.room.node.events.normal(pod_reference(self.room.pod), "SandboxChanged", told)
        self.room.changed()
        await self._prepare()
        for container in init_containers(self.room.pod):
            task = self._take_up(container, init=True)
            if is_sidecar(container):
                up = asyncio.create_task(self.runners[container["name"]].first_up.wait())
                await asyncio.wait({up, task}, return_when=asyncio.FIRST_COMPLETED)
                up.cancel()
            else:
                await asyncio.wait({task})
            if task.done() and not task.cancelled():
                task.result()
                ended = self.room.state.containers[container["name"]].ended
                if ended is None or ended.exit_code:
                    return
        mains = [self._take_up(each, init=False) for each in main_containers(self.room.pod) if self._is_due(each)]
        await asyncio.gather(*(asyncio.shield(each) for each in mains))

    def _is_due(self, container: Json) -> bool:
        ended = self.room.state.containers[container["name"]].ended
        return ended is None or should_restart(self.room.pod, container, ended.exit_code)

    async def _prepare(self) -> None:
        """Volumes and namespaces, tried until they stand."""
        pause_s, about = _FIRST_RETRY_S, pod_reference(self.room.pod)
        while True:
            try:
                await self.room.volumes.set_up(self.room.pod, self.room.place)
                if not self.room.alive:
                    await self.room.open()
                break
            except VolumeFault as fault:
                self.room.node.events.warning(about, "FailedMount", str(fault))
            except StartError as fault:
                told = f"Failed to create pod sandbox: {fault}"
                self.room.node.events.warning(about, "FailedCreatePodSandBox", told)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_RETRY_S)
        # a field of the pod's status in a volume is known only now
        await self.room.volumes.refresh(self.room.pod, self.room.place)
        self.room.changed()

    def _take_up(self, container: Json, *, init: bool) -> "asyncio.Task[None]":
        runner = Runner(self.room, container, init=init)
        self.runners[container["name"]] = runner
        self._tasks[container["name"]] = task = asyncio.create_task(runner.run())
        return task

    async def _end(self) -> None:
        """End what runs: main and init containers at once, each sidecar when all of those and later ones are over."""
        self._deadline = Deadline(grace_s(self.room.pod))
        turn: list[asyncio.Task[None]] = []
        endings = []
        sidecars = [each["name"] for each in init_containers(self.room.pod) if is_sidecar(each)]
        for name, runner in self.runners.items():
            if name not in sidecars:
                endings.append(asyncio.create_task(runner.end(self._deadline)))
                turn.append(self._tasks[name])
        for name in reversed(sidecars):
            if name in self.runners:
                endings.append(asyncio.create_task(self.runners[name].end(self._deadline, tuple(turn))))
                turn.append(self._tasks[name])
        await asyncio.gather(*endings)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _watch_deadline(self) -> None:
        allowed_s = self.room.pod["spec"].get("activeDeadlineSeconds")
        if allowed_s is None or self._over_before():
            return
        await asyncio.sleep(max(0.0, self.room.state.start_unix_s + float(allowed_s) - time.time()))
        state = self.room.state
        if state.phase is None and not self._publisher.over:
            state.phase, state.reason = "Failed", "DeadlineExceeded"
            state.message = "Pod was active on the node longer than the specified deadline"
            self.room.node.events.normal(pod_reference(self.room.pod), state.reason, state.message)
            self.room.changed()
            self._stop.set()

    async def _refresh(self) -> None:
        if self.room.volumes.changes(self.room.pod):
            while True:
                await asyncio.sleep(REFRESH_S)
                if self.room.alive:
                    await self.room.volumes.refresh(self.room.pod, self.room.place)

    async def _delete(self) -> None:
        """Take the pod out of the API: it has ended, and its status says how."""
        while not self._lost.is_set():
            try:
                await self.room.node.api.delete(pod_path(self.room.pod), uid=uid_of(self.room.pod))
                return
            except ApiError:
                await asyncio.sleep(_RETRY_S)
