"""Starts a container of a pod and restarts it by its restart policy, with an exponential back-off."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable

from loadgen.sandbox.kubelet.container.creator import ContainerCreator, CreateContainerError
from loadgen.sandbox.kubelet.container.process import StartError
from loadgen.sandbox.kubelet.container.restarts import BackOff, should_restart
from loadgen.sandbox.kubelet.container.running_container import RunningContainer
from loadgen.sandbox.kubelet.container.termination import GracePeriod
from loadgen.sandbox.kubelet.context import PodContext
from loadgen.sandbox.kubelet.objects import Json, format_pod, go_duration
from loadgen.sandbox.kubelet.status.states import Terminated

_RETRY_S = 10.0  # the kubelet syncs a pod with an error as often
_BACK_OFF_EVENT_S = 15.0
_START_ERROR_CODE = 128


class ContainerSupervisor:
    """Supervises one container of a pod over all its restarts.

    Args:
        context: Shared by the containers of the pod.
        container: Spec of the container.
        init: Whether it is an init container, sidecars included.

    Attributes:
        container: Spec of the container.
        running: The running container, None between restarts.
        first_started: Set when the container has started for the first time.
    """

    def __init__(self, context: PodContext, container: Json, *, init: bool) -> None:
        self._context = context
        self._state = context.state.containers[container["name"]]
        self._init = init
        self._back_off = BackOff()
        self._stopping = asyncio.Event()
        self._stop_arguments: tuple[GracePeriod, tuple[Awaitable[object], ...]] | None = None
        self._creator = ContainerCreator(context=context, container=container, init=init, stopping=self._stopping)
        self.container = container
        self.running: RunningContainer | None = None
        self.first_started = asyncio.Event()

    async def run(self) -> None:
        """Run the container until it is not to be restarted."""
        previous: Terminated | None = None
        while not self._stopping.is_set():
            by_probe = False
            try:
                self.running = await self._create()
                if self.running is None:
                    return
                by_probe, terminated = await self._run_once(self.running)
            except StartError as error:
                terminated = self._record_start_error(str(error))
            # as in the kubelet, the back-off after a failed probe counts from the exit before
            since, previous = (previous if by_probe else terminated), terminated
            if not should_restart(self._context.pod, self.container, terminated.exit_code, init=self._init):
                return
            if since and not self._stopping.is_set():
                await self._wait_for_back_off(since)

    async def stop(self, grace_period: GracePeriod, after: tuple[Awaitable[object], ...] = ()) -> None:
        """Stop the container for good; see `RunningContainer.kill`."""
        self._stop_arguments = (grace_period, after)
        self._stopping.set()
        if self.running:
            await self._kill(self.running)

    async def _create(self) -> RunningContainer | None:
        """Create the container, with retries; None when it is stopped before."""
        while not self._stopping.is_set():
            try:
                return await self._creator.create()
            except CreateContainerError as error:
                message = error.reason if error.reason in ("ErrImagePull", "ErrImageNeverPull") else str(error)
                self._warn("Failed", f"Error: {message}")
                self._state.set_waiting(error.reason, str(error))
                self._context.status_changed()
            await self._sleep(_RETRY_S)
        return None

    async def _run_once(self, running: RunningContainer) -> tuple[bool, Terminated]:
        """Run the container until it exits; return whether a probe stopped it, and how it terminated."""
        signalling = asyncio.create_task(self._signal_first_start(running))
        # `stop` may have been called while the container was created
        killing = asyncio.create_task(self._kill(running)) if self._stop_arguments else None
        started_unix_s = time.time()
        try:
            code = await running.run()
        finally:
            signalling.cancel()
            if killing:
                await killing
            self.running = None
        reason = "OOMKilled" if running.out_of_memory else "Error" if code else "Completed"
        return running.failed_probe is not None, self._record_termination(code, reason, None, started_unix_s)

    def _record_start_error(self, error: str) -> Terminated:
        message = f"failed to start the container's process: {error}"
        self._warn("Failed", f"Error: {message}")
        terminated = self._record_termination(_START_ERROR_CODE, "StartError", message, None)
        restart = should_restart(self._context.pod, self.container, _START_ERROR_CODE, init=self._init)
        if restart and not self._stopping.is_set():
            self._state.set_waiting("RunContainerError", message)
        return terminated

    def _record_termination(
        self, code: int, reason: str, message: str | None, started_unix_s: float | None
    ) -> Terminated:
        terminated = Terminated(
            exit_code=code,
            reason=reason,
            message=self._creator.termination_message(code) if message is None else message,
            started_unix_s=started_unix_s,
            finished_unix_s=time.time(),
            container_id=self._state.container_id,
        )
        self._state.set_terminated(terminated)
        self._context.status_changed()
        return terminated

    async def _wait_for_back_off(self, since: Terminated) -> None:
        """Wait until the back-off since a termination is over."""
        while not self._stopping.is_set():
            wait_s = self._back_off.wait_s(since.finished_unix_s, time.time())
            if not wait_s:
                self._back_off.restarted(since.finished_unix_s, time.time())
                return
            name, pod = self.container["name"], format_pod(self._context.pod)
            delay = go_duration(self._back_off.delay_s)
            self._warn("BackOff", f"Back-off restarting failed container {name} in pod {pod}")
            message = f"back-off {delay} restarting failed container={name} pod={pod}"
            self._state.set_waiting("CrashLoopBackOff", message)
            self._context.status_changed()
            await self._sleep(min(wait_s, _BACK_OFF_EVENT_S))

    async def _kill(self, running: RunningContainer) -> None:
        assert self._stop_arguments, "`stop` was not called"
        grace_period, after = self._stop_arguments
        await running.kill(grace_period, f"Stopping container {self.container['name']}", after)

    async def _signal_first_start(self, running: RunningContainer) -> None:
        await running.started.wait()
        self.first_started.set()

    async def _sleep(self, duration_s: float) -> None:
        """Sleep until the time is over or the container is stopped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await self._stopping.wait()

    def _warn(self, reason: str, message: str) -> None:
        self._context.node.events.container_event(self._context.pod, self.container, reason, message, warning=True)
