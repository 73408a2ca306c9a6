"""Runs one component of the control plane: starts it, waits until it is healthy, and restarts it when it exits."""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import aiohttp

from loadgen.base.errors import StackError
from loadgen.base.log_tail import log_tail
from loadgen.base.processes import Child, spawn

_POLL_S = 0.05
_READY_WITHIN_S = 60.0
_RESET_BACK_OFF_S = 60.0
_BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_HEALTH_TIMEOUT = aiohttp.ClientTimeout(total=3.0)


class Component:
    """A component of the control plane, such as etcd or kube-apiserver.

    Args:
        name: Name of the component and of its log.
        command: Command line of its program.
        health: URL that answers 200 when it is healthy; None for a component that is ready once it has started.
        logs: Folder of the logs.
        env: Environment; None passes on the environment of this process.
        grace_s: Seconds between SIGTERM and SIGKILL.

    Attributes:
        name: Name of the component.
        restarts: Number of restarts.
        exit_message: Message about its last unexpected exit; empty if there was none.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        health: str | None,
        logs: Path,
        env: Mapping[str, str] | None = None,
        grace_s: float = 5.0,
    ) -> None:
        self.name = name
        self.restarts = 0
        self.exit_message = ""
        self._command, self._health, self._env, self._grace_s = list(command), health, env, grace_s
        self._log = logs / f"{name}.log"
        self._child: Child | None = None
        self._stopped = False

    @property
    def pid(self) -> int:
        """Process id inside the sandbox; 0 before the first start."""
        return self._child.pid if self._child else 0

    async def start(self, session: aiohttp.ClientSession, timeout_s: float = _READY_WITHIN_S) -> None:
        """Start the component and wait until it is healthy.

        Raises:
            StackError: it exited or did not become healthy in time; the message includes the end of its log.
        """
        self._child = spawn(self._command, log=self._log, parent_death_signal=signal.SIGKILL, env=self._env)
        deadline = asyncio.get_running_loop().time() + timeout_s
        while asyncio.get_running_loop().time() < deadline:
            code = self._child.poll()
            if code is not None:
                raise StackError(
                    f"{self.name} exited with {code} while it started: {log_tail(self._log)}; see {self._log}"
                )
            if self._health is None or await self._is_healthy(session, self._health):
                return
            await asyncio.sleep(_POLL_S)
        raise StackError(
            f"{self.name} did not become healthy within {timeout_s:g} s: {log_tail(self._log)}; see {self._log}"
        )

    async def watch(self, session: aiohttp.ClientSession, report: Callable[[str], None]) -> None:
        """Restart the component whenever it exits, with a back-off, until it is stopped; report every exit."""
        exits = 0
        while True:
            started_s = asyncio.get_running_loop().time()
            while self._child is None or self._child.poll() is None:
                await asyncio.sleep(4 * _POLL_S)
            if self._stopped:
                return
            code = self._child.poll()
            exits = 1 if asyncio.get_running_loop().time() - started_s > _RESET_BACK_OFF_S else exits + 1
            self.exit_message = (
                f"{self.name} exited with {code} and is restarted: {log_tail(self._log)}; see {self._log}"
            )
            report(self.exit_message)
            await asyncio.sleep(_BACK_OFF_S[min(exits, len(_BACK_OFF_S)) - 1])
            self.restarts += 1
            try:
                await self.start(session)
            except StackError as error:
                report(str(error))

    async def stop(self) -> None:
        """Stop the component: SIGTERM, then SIGKILL after the grace period."""
        self._stopped = True
        if self._child is None:
            return
        self._child.terminate()
        for _ in range(int(self._grace_s / _POLL_S)):
            if self._child.poll() is not None:
                break
            await asyncio.sleep(_POLL_S)
        self._child.stop(0.0)

    async def _is_healthy(self, session: aiohttp.ClientSession, url: str) -> bool:
        try:
            async with session.get(url, timeout=_HEALTH_TIMEOUT) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False
