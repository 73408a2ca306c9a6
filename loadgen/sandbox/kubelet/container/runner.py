"""One container of a pod over all its restarts."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable

from loadgen.sandbox.kubelet.container.attempt import Attempt
from loadgen.sandbox.kubelet.container.backoff import BackOff
from loadgen.sandbox.kubelet.container.creation import Creation, NotCreated
from loadgen.sandbox.kubelet.container.process import StartError
from loadgen.sandbox.kubelet.container.restarts import should_restart
from loadgen.sandbox.kubelet.container.termination import Deadline
from loadgen.sandbox.kubelet.context import PodRoom
from loadgen.sandbox.kubelet.meta import Json, described, go_duration
from loadgen.sandbox.kubelet.status.states import Ended

_RETRY_S = 10.0  # what cannot be created is tried again as often as a kubelet looks at a pod with an error
_TOLD_EVERY_S = 15.0
_START_ERROR = 128


class Runner:
    """Starts a container, and starts it again as its policy and the back-off say.

    Args:
        room: What it shares with its pod.
        container: Its spec.
        init: Whether it is an init container, sidecars included.

    Attributes:
        container: Its spec.
        attempt: Its running life, if it runs.
        first_up: Set when it has started for the first time.
    """

    def __init__(self, room: PodRoom, container: Json, *, init: bool) -> None:
        self._room = room
        self._state = room.state.containers[container["name"]]
        self._init = init
        self._back_off = BackOff()
        self._stop = asyncio.Event()
        self._ending: tuple[Deadline, tuple[Awaitable[object], ...]] | None = None
        self._creation = Creation(room=room, container=container, init=init, stop=self._stop)
        self.container = container
        self.attempt: Attempt | None = None
        self.first_up = asyncio.Event()

    async def run(self) -> None:
        """Run it until it is not to be started again."""
        before: Ended | None = None
        while not self._stop.is_set():
            by_probe = False
            try:
                self.attempt = await self._created()
                if self.attempt is None:
                    return
                by_probe, ended = await self._live(self.attempt)
            except StartError as error:
                ended = self._not_started(str(error))
            # a container that a probe ended is started again from its end before, as a kubelet reckons
            since, before = (before if by_probe else ended), ended
            if not should_restart(self._room.pod, self.container, ended.exit_code, init=self._init):
                return
            if since and not self._stop.is_set():
                await self._back_off_from(since)

    async def end(self, deadline: Deadline, turn: tuple[Awaitable[object], ...] = ()) -> None:
        """End it for good; see `Attempt.kill`."""
        self._ending = (deadline, turn)
        self._stop.set()
        if self.attempt:
            await self._kill(self.attempt)

    async def _created(self) -> Attempt | None:
        """The container, running; None when it is to end before it could be created."""
        while not self._stop.is_set():
            try:
                return await self._creation.create()
            except NotCreated as fault:
                told = fault.reason if fault.reason == "ErrImageNeverPull" else str(fault)
                self._warn("Failed", f"Error: {told}")
                self._state.wait(fault.reason, str(fault))
                self._room.changed()
            await self._pause(_RETRY_S)
        return None

    async def _live(self, attempt: Attempt) -> tuple[bool, Ended]:
        """Run it to its end; whether a probe ended it, and how it ended."""
        up = asyncio.create_task(self._tell_up(attempt))
        # told to end while it was being started
        late = asyncio.create_task(self._kill(attempt)) if self._ending else None
        started_unix_s = time.time()
        try:
            code = await attempt.live()
        finally:
            up.cancel()
            if late:
                await late
            self.attempt = None
        reason = "OOMKilled" if attempt.out_of_memory else "Error" if code else "Completed"
        return attempt.failed_probe is not None, self._ended(code, reason, None, started_unix_s)

    def _not_started(self, why: str) -> Ended:
        message = f"failed to start the container's process: {why}"
        self._warn("Failed", f"Error: {message}")
        ended = self._ended(_START_ERROR, "StartError", message, None)
        if not self._stop.is_set() and should_restart(self._room.pod, self.container, _START_ERROR, init=self._init):
            self._state.wait("RunContainerError", message)
        return ended

    def _ended(self, code: int, reason: str, message: str | None, started_unix_s: float | None) -> Ended:
        ended = Ended(
            exit_code=code,
            reason=reason,
            message=self._creation.last_words(code) if message is None else message,
            started_unix_s=started_unix_s,
            finished_unix_s=time.time(),
            container_id=self._state.container_id,
        )
        self._state.end(ended)
        self._room.changed()
        return ended

    async def _back_off_from(self, since: Ended) -> None:
        """Wait as long as the back-off says, reckoned from an end of the container."""
        while not self._stop.is_set():
            wait_s = self._back_off.wait_s(since.finished_unix_s, time.time())
            if not wait_s:
                self._back_off.restarted(since.finished_unix_s, time.time())
                return
            name, pod = self.container["name"], described(self._room.pod)
            delay = go_duration(self._back_off.delay_s)
            self._warn("BackOff", f"Back-off restarting failed container {name} in pod {pod}")
            self._state.wait("CrashLoopBackOff", f"back-off {delay} restarting failed container={name} pod={pod}")
            self._room.changed()
            await self._pause(min(wait_s, _TOLD_EVERY_S))

    async def _kill(self, attempt: Attempt) -> None:
        assert self._ending, "not told to end"
        deadline, turn = self._ending
        await attempt.kill(deadline, f"Stopping container {self.container['name']}", turn)

    async def _tell_up(self, attempt: Attempt) -> None:
        await attempt.up.wait()
        self.first_up.set()

    async def _pause(self, duration_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await self._stop.wait()

    def _warn(self, reason: str, message: str) -> None:
        self._room.node.events.of_container(self._room.pod, self.container, reason, message, warning=True)
