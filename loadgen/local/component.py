"""Runs a long-lived server of the stack beside the replicas (gateway, Prometheus), and restarts it when it ends."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from loadgen.base.clock import Clock
from loadgen.base.errors import StackError
from loadgen.base.log_tail import log_tail
from loadgen.base.processes import Child, spawn
from loadgen.dataset.events import Emit, Event
from loadgen.dataset.names import EventKind
from loadgen.local.loopback import LOOPBACK, Unreachable, free_ports, get

ATTEMPTS = 4
PAUSE_S = 0.5
_POLL_S = 0.05


class Component:
    """A server with an HTTP health endpoint.

    Its ports do not change once it has answered, because clients keep its address. Before that, each attempt to start
    it takes new ports, in case another program took one of the old ones.

    Attributes:
        name: Name in `part_died` events and of its log file.
        ports: Its ports; the last one serves the health endpoint.
    """

    def __init__(
        self,
        name: str,
        *,
        command: Callable[[Sequence[int]], list[str]],
        port_count: int,
        health_path: str,
        logs: Path,
        start_within_s: float = 30.0,
    ) -> None:
        """`command` writes the configuration for the given ports and returns the command line."""
        self.name = name
        self.ports: list[int] = []
        self._command = command
        self._port_count = port_count
        self._health_path = health_path
        self._log = logs / f"{name}.log"
        self._start_within_s = start_within_s
        self._child: Child | None = None
        self._answered = False

    def address(self, number: int = 0) -> str:
        """Return `host:port` of one of its ports."""
        return f"{LOOPBACK}:{self.ports[number]}"

    @property
    def pid(self) -> int | None:
        """Process id of the last start."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            StackError: Several attempts failed; the message has the last line of the log.
        """
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(PAUSE_S * attempt)
            if not self._answered:
                self.ports = free_ports(self._port_count)
            # SIGKILL, because the server has nothing to finish and must not outlive this process.
            self._child = spawn(self._command(self.ports), log=self._log, parent_death_signal=signal.SIGKILL)
            if await self._answers():
                self._answered = True
                return
            self._child.kill()
        raise StackError(f"{self.name} did not start: {log_tail(self._log, 1)}; read {self._log} and start again")

    async def watch(self, *, emit: Emit, clock: Clock) -> None:
        """Restart the server on the same ports whenever it ends, without limit, and record each end as an event."""
        exits = 0
        while True:
            await asyncio.sleep(4 * _POLL_S)
            code = self._child.poll() if self._child else None
            if code is None:
                exits = 0
                continue
            exits += 1
            message = f"{self.name} ended with exit code {code}; it restarts at the same address"
            if exits > 1:
                message = f"{self.name} does not restart ({log_tail(self._log, 1)}); the next attempt follows"
            data = {"part": self.name, "exit_code": code}
            emit(Event(clock.now_s(), EventKind.PART_DIED, message=message, data=data))
            with contextlib.suppress(StackError):
                await asyncio.sleep(PAUSE_S * (exits - 1))
                await self.start()

    async def stop(self, grace_s: float = 3.0) -> None:
        """Stop the server with SIGTERM, then with SIGKILL after `grace_s`."""
        if self._child is None:
            return
        self._child.terminate()
        for _ in range(int(grace_s / _POLL_S)):
            if self._child.poll() is not None:
                break
            await asyncio.sleep(_POLL_S)
        self._child.stop(0.0)

    async def _answers(self) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._start_within_s
        while loop.time() < deadline and self._child is not None and self._child.poll() is None:
            try:
                status, _ = await get(self.address(-1), self._health_path)
                if status == 200:
                    # Another program on the port would answer as well, while ours fails to bind it and ends.
                    await asyncio.sleep(_POLL_S)
                    return self._child.poll() is None
            except Unreachable:
                pass
            await asyncio.sleep(_POLL_S)
        return False
