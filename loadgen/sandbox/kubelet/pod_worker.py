"""Runs one pod on this node until it is gone from the API.

    volumes ─▶ namespaces ─▶ init containers, one by one ─▶ main containers ─▶ stop ─▶ (deleted) removed from the API
                             └ sidecars keep running beside all later containers ▶

A deletion, an active deadline or the removal of the pod leads to the stop at any point: main containers first, then the
sidecars in reverse order.
"""

import asyncio
import time

from loadgen.sandbox.kubelet.api_client import ApiError
from loadgen.sandbox.kubelet.container.process import StartError
from loadgen.sandbox.kubelet.container.restarts import should_restart
from loadgen.sandbox.kubelet.container.supervisor import ContainerSupervisor
from loadgen.sandbox.kubelet.container.termination import GracePeriod, run_until
from loadgen.sandbox.kubelet.context import NodeContext, PodContext
from loadgen.sandbox.kubelet.objects import (
    Json,
    grace_period_s,
    init_containers,
    is_sidecar,
    main_containers,
    parse_rfc3339,
    pod_path,
    pod_reference,
    pod_uid,
)
from loadgen.sandbox.kubelet.status.recovered import recovered_states
from loadgen.sandbox.kubelet.status.states import PodState
from loadgen.sandbox.kubelet.status.writer import StatusWriter
from loadgen.sandbox.kubelet.volumes.payload import VolumeError
from loadgen.sandbox.kubelet.volumes.volumes import REFRESH_S

_FIRST_RETRY_S, _MAX_RETRY_S = 0.5, 122.0
_DELETE_RETRY_S = 5.0


class PodWorker:
    """Runs one pod; created when the pod is first observed on the node.

    Args:
        node: Shared by the pods of the node.
        pod: The pod from the API.

    Attributes:
        context: Shared by the containers of the pod.
        supervisors: Supervisors of the containers that the worker has started, by container name.
    """

    def __init__(self, node: NodeContext, pod: Json) -> None:
        status = pod.get("status") or {}
        start = parse_rfc3339(status["startTime"]) if status.get("startTime") else time.time()
        state = PodState(start_unix_s=start, containers=recovered_states(pod, time.time()))
        self._status = StatusWriter(node, pod, state)
        self.context = PodContext(node=node, pod=pod, state=state, status_changed=self._status.changed)
        self.supervisors: dict[str, ContainerSupervisor] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._grace_period: GracePeriod | None = None
        self._deleted = asyncio.Event()
        self._removed = asyncio.Event()
        self.update(pod)

    def update(self, pod: Json) -> None:
        """Take over a new version of the pod from the API; a deletion stops the pod."""
        self.context.pod = pod
        self._status.update(pod)
        if pod["metadata"].get("deletionTimestamp"):
            if self._grace_period:
                self._grace_period.shorten(grace_period_s(pod))
            self._deleted.set()
            self._stopping.set()

    def remove(self) -> None:
        """Stop a pod that is gone from the API, without status updates."""
        self._removed.set()
        self._status.disable()
        self._deleted.set()
        self._stopping.set()

    async def run(self) -> None:
        """Run the pod; returns when it is gone from the API."""
        writing = asyncio.create_task(self._status.run())
        background = [asyncio.create_task(self._watch_active_deadline()), asyncio.create_task(self._refresh_volumes())]
        try:
            if not self._is_already_finished() and not self._stopping.is_set():
                await run_until(self._stopping, self._run_containers())
            await self._stop_containers()
            self._status.finished = True
            await self.context.close()
            self._status.changed()
            await self._deleted.wait()
            if not self._removed.is_set():
                await self._status.wait_written()
                await self._delete()
                await self._removed.wait()  # the watch may still deliver older versions of the pod
        finally:
            for task in [writing, *background, *self._tasks.values()]:
                task.cancel()
            await asyncio.gather(writing, *background, *self._tasks.values(), return_exceptions=True)
            await self.context.close()

    def _is_already_finished(self) -> bool:
        """Return whether the pod had finished before this kubelet started: then no container is started."""
        if (self.context.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            self._status.disable()
            return True
        pod, states = self.context.pod, self.context.state.containers
        return all(
            (terminated := states[each["name"]].terminated) and not should_restart(pod, each, terminated.exit_code)
            for each in main_containers(pod)
        )

    async def _run_containers(self) -> None:
        if any(each.container_id for each in self.context.state.containers.values()):
            message = "Pod sandbox changed, it will be killed and re-created."
            self.context.node.events.normal(pod_reference(self.context.pod), "SandboxChanged", message)
        self.context.status_changed()
        await self._set_up()
        for container in init_containers(self.context.pod):
            task = self._start_container(container, init=True)
            if is_sidecar(container):
                started = asyncio.create_task(self.supervisors[container["name"]].first_started.wait())
                await asyncio.wait({started, task}, return_when=asyncio.FIRST_COMPLETED)
                started.cancel()
            else:
                await asyncio.wait({task})
            if task.done() and not task.cancelled():
                task.result()
                terminated = self.context.state.containers[container["name"]].terminated
                if terminated is None or terminated.exit_code:
                    return
        mains = [each for each in main_containers(self.context.pod) if self._should_start(each)]
        tasks = [self._start_container(each, init=False) for each in mains]
        await asyncio.gather(*(asyncio.shield(each) for each in tasks))

    def _should_start(self, container: Json) -> bool:
        terminated = self.context.state.containers[container["name"]].terminated
        return terminated is None or should_restart(self.context.pod, container, terminated.exit_code)

    async def _set_up(self) -> None:
        """Set up volumes and namespaces, with retries until both exist."""
        retry_s, reference = _FIRST_RETRY_S, pod_reference(self.context.pod)
        while True:
            try:
                await self.context.volumes.set_up(self.context.pod, self.context.placement)
                if not self.context.alive:
                    await self.context.open()
                break
            except VolumeError as error:
                self.context.node.events.warning(reference, "FailedMount", str(error))
            except StartError as error:
                message = f"Failed to create pod sandbox: {error}"
                self.context.node.events.warning(reference, "FailedCreatePodSandBox", message)
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, _MAX_RETRY_S)
        # volumes may hold the pod's address, which is known only now
        await self.context.volumes.refresh(self.context.pod, self.context.placement)
        self.context.status_changed()

    def _start_container(self, container: Json, *, init: bool) -> "asyncio.Task[None]":
        supervisor = ContainerSupervisor(self.context, container, init=init)
        self.supervisors[container["name"]] = supervisor
        self._tasks[container["name"]] = task = asyncio.create_task(supervisor.run())
        return task

    async def _stop_containers(self) -> None:
        """Stop main and init containers at once, and each sidecar after all of those and the later sidecars."""
        self._grace_period = GracePeriod(grace_period_s(self.context.pod))
        earlier: list[asyncio.Task[None]] = []
        stops = []
        sidecars = [each["name"] for each in init_containers(self.context.pod) if is_sidecar(each)]
        for name, supervisor in self.supervisors.items():
            if name not in sidecars:
                stops.append(asyncio.create_task(supervisor.stop(self._grace_period)))
                earlier.append(self._tasks[name])
        for name in reversed(sidecars):
            if name in self.supervisors:
                stops.append(asyncio.create_task(self.supervisors[name].stop(self._grace_period, tuple(earlier))))
                earlier.append(self._tasks[name])
        await asyncio.gather(*stops)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _watch_active_deadline(self) -> None:
        seconds = self.context.pod["spec"].get("activeDeadlineSeconds")
        if seconds is None or self._is_already_finished():
            return
        await asyncio.sleep(max(0.0, self.context.state.start_unix_s + float(seconds) - time.time()))
        state = self.context.state
        if state.phase is None and not self._status.finished:
            state.phase, state.reason = "Failed", "DeadlineExceeded"
            state.message = "Pod was active on the node longer than the specified deadline"
            self.context.node.events.normal(pod_reference(self.context.pod), state.reason, state.message)
            self.context.status_changed()
            self._stopping.set()

    async def _refresh_volumes(self) -> None:
        if self.context.volumes.has_updatable(self.context.pod):
            while True:
                await asyncio.sleep(REFRESH_S)
                if self.context.alive:
                    await self.context.volumes.refresh(self.context.pod, self.context.placement)

    async def _delete(self) -> None:
        """Delete the pod from the API, with retries, after its last status is written."""
        while not self._removed.is_set():
            try:
                await self.context.node.api.delete(pod_path(self.context.pod), uid=pod_uid(self.context.pod))
                return
            except ApiError:
                await asyncio.sleep(_DELETE_RETRY_S)
