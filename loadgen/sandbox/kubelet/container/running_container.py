"""Runs a container from its first process to its exit: hooks, probes, memory limit and termination."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from loadgen.base.quantity import parse_bytes
from loadgen.sandbox.kubelet.container.environment import expand
from loadgen.sandbox.kubelet.container.hooks import HookError, run_hook
from loadgen.sandbox.kubelet.container.prober import ProbeKind, Prober, ProbeTiming
from loadgen.sandbox.kubelet.container.probes import ProbeResult, probe
from loadgen.sandbox.kubelet.container.process import Process, StartError
from loadgen.sandbox.kubelet.container.termination import MIN_STOP_S, GracePeriod
from loadgen.sandbox.kubelet.context import PodContext
from loadgen.sandbox.kubelet.objects import Json
from loadgen.sandbox.kubelet.status.states import ContainerState


@dataclass(slots=True, kw_only=True)
class RunningContainer:
    """A container that runs; a restart makes a new one.

    Attributes:
        context: Shared by the containers of the pod.
        container: Spec of the container.
        state: State of the container for the pod's status.
        process: First process of the container.
        env: Environment of the container.
        workdir: Working directory of the container.
        init: Whether it is an init container, sidecars included.
        out_of_memory: Whether it was killed because it exceeded its memory limit.
        failed_probe: The probe that made the kubelet stop it, if any.
        started: Set once its startup probe has passed, or at once without a startup probe.
    """

    context: PodContext
    container: Json
    state: ContainerState
    process: Process
    env: Mapping[str, str]
    workdir: str
    init: bool
    out_of_memory: bool = False
    failed_probe: ProbeKind | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    _created_s: float = field(default_factory=time.monotonic)
    _grace_period: GracePeriod | None = None
    _killing: "asyncio.Task[None] | None" = None
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def run(self) -> int:
        """Run hooks and probes until the container exits; return its exit code, 128 + the signal that killed it."""
        limit = ((self.container.get("resources") or {}).get("limits") or {}).get("memory")
        if limit:
            self.context.node.memory_limiter.add(self.process.pid, parse_bytes(limit), self._kill_out_of_memory)
        try:
            self._spawn(self._start())
            code = await self.process.wait()
        finally:
            self.context.node.memory_limiter.remove(self.process.pid)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        return code if code >= 0 else 128 - code

    async def kill(self, grace_period: GracePeriod, message: str, after: tuple[Awaitable[object], ...] = ()) -> None:
        """Stop the container: preStop hook, SIGTERM, and SIGKILL when the grace period expires.

        Args:
            grace_period: Includes the preStop hook and the wait for `after`.
            message: Message of the Killing event.
            after: SIGTERM is sent when all of these are done.
        """
        if self._grace_period or self.process.code is not None:
            if self._grace_period:
                self._grace_period.shorten(grace_period.left_s())
            await self.process.wait()
            return
        self._grace_period = grace_period
        self.context.node.events.container_event(self.context.pod, self.container, "Killing", message)
        handler = (self.container.get("lifecycle") or {}).get("preStop")
        if handler and grace_period.left_s() > 0:
            await grace_period.wait_for([self._pre_stop(handler)])
        await grace_period.wait_for(after)
        self.process.send(signal.SIGTERM)
        loop = asyncio.get_running_loop()
        earliest_kill_s = loop.time() + MIN_STOP_S
        while self.process.code is None:
            left_s = max(grace_period.deadline_s, earliest_kill_s) - loop.time()
            if left_s <= 0:
                self.process.send(signal.SIGKILL)
                await self.process.wait()
            else:
                await self.process.exited_within(min(1.0, left_s))

    async def exec(self, argv: list[str], timeout_s: float) -> tuple[int, bytes]:
        """Run a command in the container; see `PodContext.exec`."""
        return await self.context.exec(self.process.pid, argv, self.env, self.workdir, timeout_s)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self) -> None:
        """Run the postStart hook, then set the container to running and start its probes."""
        handler = (self.container.get("lifecycle") or {}).get("postStart")
        if handler:
            try:
                await run_hook(handler, self.container, self.context.placement.pod_ip, self.exec)
            except HookError:
                self._warn("FailedPostStartHook", "PostStartHook failed")
                # this task is cancelled only after the container has exited, so it can wait for the exit
                await self.kill(GracePeriod(self._grace_period_s({})), "FailedPostStartHook")
                return
        self.state.set_running(self.state.container_id, self.state.running_unix_s or time.time())
        if not self.container.get("startupProbe"):
            self._set_started()
        self.context.status_changed()
        kinds: tuple[ProbeKind, ...] = ("startup", "liveness", "readiness")
        for kind in kinds:
            spec = self.container.get(f"{kind}Probe")
            if spec:
                prober = Prober(
                    kind=kind,
                    timing=ProbeTiming.from_spec(spec),
                    age_s=lambda: time.monotonic() - self._created_s,
                    started=self.started,
                    stopping=lambda: self._grace_period is not None,
                    check=partial(self._check, kind, spec),
                    on_result=partial(self._apply_result, kind, spec),
                )
                self._spawn(prober.run())

    def _set_started(self) -> None:
        self.state.started = True
        self.state.ready = not self.container.get("readinessProbe")
        self.started.set()
        self.context.status_changed()

    async def _check(self, kind: ProbeKind, spec: Json, timeout_s: float) -> bool:
        """Run a probe once and record a failure as an event."""
        try:
            result = await probe(spec, self.container, self.context.placement.pod_ip, timeout_s, self._exec_probe)
        except StartError as error:
            result = ProbeResult(success=False, message=str(error))
        if not result.success and self.process.code is None:
            self._warn("Unhealthy", f"{kind.capitalize()} probe failed: {result.message}")
        return result.success

    def _apply_result(self, kind: ProbeKind, spec: Json, success: bool) -> bool:
        """Act on a result that has reached its threshold; return whether the probe is finished."""
        if kind == "readiness":
            if self.state.ready != success:
                self.state.ready = success
                self.context.status_changed()
            return False
        if success:
            if kind == "startup":
                self._set_started()
            return kind == "startup"
        if not self._grace_period:
            self.failed_probe = kind
            # the exit cancels the probe tasks, so a task of its own kills the container
            self._killing = asyncio.create_task(self._kill_unhealthy(kind, spec))
        return True

    async def _kill_unhealthy(self, kind: ProbeKind, spec: Json) -> None:
        name = self.container["name"]
        prefix = "Init container" if self.init else "Container"
        restarts = self.init or self.context.pod["spec"].get("restartPolicy", "Always") != "Never"
        suffix = ", will be restarted" if restarts and not self.init else ""
        await self.kill(GracePeriod(self._grace_period_s(spec)), f"{prefix} {name} failed {kind} probe{suffix}")

    def _grace_period_s(self, spec: Json) -> float:
        """Return the grace period of the deletion, else of the probe, else of the pod."""
        meta, pod_spec = self.context.pod["metadata"], self.context.pod["spec"]
        seconds = meta.get("deletionGracePeriodSeconds")
        if seconds is None:
            seconds = spec.get("terminationGracePeriodSeconds")
        if seconds is None:
            seconds = pod_spec.get("terminationGracePeriodSeconds", 30)
        return float(seconds)

    async def _exec_probe(self, argv: list[str], timeout_s: float) -> tuple[int, bytes]:
        declared = {each["name"]: each.get("value", "") for each in self.container.get("env") or []}
        return await self.exec([expand(part, declared) for part in argv], timeout_s)

    async def _pre_stop(self, handler: Json) -> None:
        """Run the preStop hook, at most until the container exits."""
        hook = asyncio.ensure_future(run_hook(handler, self.container, self.context.placement.pod_ip, self.exec))
        exited = asyncio.ensure_future(self.process.wait())
        try:
            await asyncio.wait({hook, exited}, return_when=asyncio.FIRST_COMPLETED)
            if hook.done():
                hook.result()
        except HookError:
            self._warn("FailedPreStopHook", "PreStopHook failed")
        finally:
            for task in (hook, exited):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, HookError):
                    await task

    def _kill_out_of_memory(self) -> None:
        self.out_of_memory = True
        self.process.send(signal.SIGKILL)

    def _warn(self, reason: str, message: str) -> None:
        self.context.node.events.container_event(self.context.pod, self.container, reason, message, warning=True)
