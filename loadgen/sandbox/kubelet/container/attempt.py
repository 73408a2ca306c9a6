"""One life of a container: from its first process to the end of its last."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from loadgen.base.quantity import parse_bytes
from loadgen.sandbox.kubelet.container.environment import expand
from loadgen.sandbox.kubelet.container.hooks import HookFault, run_hook
from loadgen.sandbox.kubelet.container.probes import Result, probe
from loadgen.sandbox.kubelet.container.process import Process, StartError
from loadgen.sandbox.kubelet.container.termination import MINIMUM_S, Deadline
from loadgen.sandbox.kubelet.container.thresholds import Counter, Kind, Rhythm
from loadgen.sandbox.kubelet.context import PodRoom
from loadgen.sandbox.kubelet.meta import Json
from loadgen.sandbox.kubelet.status.states import ContainerState

_TURN: tuple[Awaitable[object], ...] = ()


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A running container.

    Attributes:
        room: What it shares with its pod.
        container: Its spec.
        state: What is known of it.
        process: Its first process.
        env: Its environment.
        workdir: Its working directory.
        init: Whether it is an init container, sidecars included.
        out_of_memory: Whether it was killed for its memory.
        failed_probe: The probe that ended it, if one did.
        up: Set when it has started: its startup probe has passed, or it has none.
    """

    room: PodRoom
    container: Json
    state: ContainerState
    process: Process
    env: Mapping[str, str]
    workdir: str
    init: bool
    out_of_memory: bool = False
    failed_probe: Kind | None = None
    up: asyncio.Event = field(default_factory=asyncio.Event)
    _since_s: float = field(default_factory=time.monotonic)
    _deadline: Deadline | None = None
    _killing: "asyncio.Task[None] | None" = None
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def live(self) -> int:
        """Run hooks and probes until the container has ended; its exit code as a shell counts."""
        limit = ((self.container.get("resources") or {}).get("limits") or {}).get("memory")
        if limit:
            self.room.node.memory_watch.add(self.process.pid, parse_bytes(limit), self._exceeded)
        try:
            self._spawn(self._begin())
            code = await self.process.wait()
        finally:
            self.room.node.memory_watch.remove(self.process.pid)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        return code if code >= 0 else 128 - code

    async def kill(self, deadline: Deadline, message: str, turn: tuple[Awaitable[object], ...] = _TURN) -> None:
        """End it: preStop hook, SIGTERM, and SIGKILL for all of it at the deadline.

        Args:
            deadline: The grace period; the hook and the wait for its turn count in it.
            message: What the event says.
            turn: What must be over before it is told to end.
        """
        if self._deadline or self.process.code is not None:
            if self._deadline:
                self._deadline.shorten(deadline.left_s())
            await self.process.wait()
            return
        self._deadline = deadline
        self.room.node.events.of_container(self.room.pod, self.container, "Killing", message)
        handler = (self.container.get("lifecycle") or {}).get("preStop")
        if handler and deadline.left_s() > 0:
            await deadline.first([self._pre_stop(handler)])
        await deadline.first(turn)
        self.process.send(signal.SIGTERM)
        loop = asyncio.get_running_loop()
        at_least_s = loop.time() + MINIMUM_S
        while self.process.code is None:
            left_s = max(deadline.at_s, at_least_s) - loop.time()
            if left_s <= 0:
                self.process.send(signal.SIGKILL)
                await self.process.wait()
            else:
                await self.process.ended_within(min(1.0, left_s))

    async def run_inside(self, argv: list[str], timeout_s: float) -> tuple[int, bytes]:
        """Run a command in the container; see `PodRoom.exec`."""
        return await self.room.exec(self.process.pid, argv, self.env, self.workdir, timeout_s)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin(self) -> None:
        """The postStart hook, before which the container does not count as running, then the probes."""
        handler = (self.container.get("lifecycle") or {}).get("postStart")
        if handler:
            try:
                await run_hook(handler, self.container, self.room.place.pod_ip, self.run_inside)
            except HookFault:
                self._warn("FailedPostStartHook", "PostStartHook failed")
                # not one of the tasks that this container's end cancels before it has come
                await self.kill(Deadline(self._grace_s({})), "FailedPostStartHook")
                return
        self.state.run(self.state.container_id, self.state.running_unix_s or time.time())
        if not self.container.get("startupProbe"):
            self._started()
        self.room.changed()
        for kind in ("startup", "liveness", "readiness"):
            spec = self.container.get(f"{kind}Probe")
            if spec:
                self._spawn(self._probe(kind, spec))

    def _started(self) -> None:
        self.state.started = True
        self.state.ready = not self.container.get("readinessProbe")
        self.up.set()
        self.room.changed()

    async def _probe(self, kind: Kind, spec: Json) -> None:
        """Probe in its rhythm: startup until it has passed, the others from then on."""
        counter = Counter(Rhythm.of(spec))
        due_s = counter.rhythm.initial_delay_s
        if kind != "startup" and not self.up.is_set():
            await self.up.wait()
            if kind == "liveness":
                due_s = max(due_s, counter.rhythm.next_tick_s(self._age_s()))
        while True:
            await asyncio.sleep(max(0.0, due_s - self._age_s()))
            if self._deadline and kind != "readiness":
                return
            verdict = counter.add(await self._ask(kind, spec, counter.rhythm))
            if verdict is not None and self._judge(kind, verdict, spec):
                return
            due_s = counter.rhythm.next_tick_s(self._age_s())

    async def _ask(self, kind: Kind, spec: Json, rhythm: Rhythm) -> bool:
        try:
            result = await probe(spec, self.container, self.room.place.pod_ip, rhythm.timeout_s, self._run_probe)
        except StartError as error:
            result = Result(success=False, said=str(error))
        if not result.success and self.process.code is None:
            self._warn("Unhealthy", f"{kind.capitalize()} probe failed: {result.said}")
        return result.success

    def _judge(self, kind: Kind, verdict: bool, spec: Json) -> bool:
        """Act on a verdict; whether this probe has nothing more to do."""
        if kind == "readiness":
            if self.state.ready != verdict:
                self.state.ready = verdict
                self.room.changed()
            return False
        if verdict:
            if kind == "startup":
                self._started()
            return kind == "startup"
        if not self._deadline:
            self.failed_probe = kind
            # its end cancels the probes, so the one that ends it is none of them
            self._killing = asyncio.create_task(self._kill_unhealthy(kind, spec))
        return True

    async def _kill_unhealthy(self, kind: Kind, spec: Json) -> None:
        name = self.container["name"]
        word = "Init container" if self.init else "Container"
        restarts = self.init or self.room.pod["spec"].get("restartPolicy", "Always") != "Never"
        tail = ", will be restarted" if restarts and not self.init else ""
        await self.kill(Deadline(self._grace_s(spec)), f"{word} {name} failed {kind} probe{tail}")

    def _grace_s(self, spec: Json) -> float:
        meta, pod_spec = self.room.pod["metadata"], self.room.pod["spec"]
        asked = meta.get("deletionGracePeriodSeconds")
        if asked is None:
            asked = spec.get("terminationGracePeriodSeconds")
        if asked is None:
            asked = pod_spec.get("terminationGracePeriodSeconds", 30)
        return float(asked)

    async def _run_probe(self, argv: list[str], timeout_s: float) -> tuple[int, bytes]:
        plain = {each["name"]: each.get("value", "") for each in self.container.get("env") or []}
        return await self.run_inside([expand(part, plain) for part in argv], timeout_s)

    async def _pre_stop(self, handler: Json) -> None:
        hook = asyncio.ensure_future(run_hook(handler, self.container, self.room.place.pod_ip, self.run_inside))
        gone = asyncio.ensure_future(self.process.wait())
        try:
            await asyncio.wait({hook, gone}, return_when=asyncio.FIRST_COMPLETED)
            if hook.done():
                hook.result()
        except HookFault:
            self._warn("FailedPreStopHook", "PreStopHook failed")
        finally:
            for task in (hook, gone):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, HookFault):
                    await task

    def _exceeded(self) -> None:
        self.out_of_memory = True
        self.process.send(signal.SIGKILL)

    def _warn(self, reason: str, message: str) -> None:
        self.room.node.events.of_container(self.room.pod, self.container, reason, message, warning=True)

    def _age_s(self) -> float:
        return time.monotonic() - self._since_s
