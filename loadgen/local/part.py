"""One long-lived program of the stack beside the replicas (gateway, Prometheus): started, watched, started again."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from loadgen.base.clock import Clock
from loadgen.base.errors import StackError
from loadgen.base.processes import Child, spawn
from loadgen.dataset.names import EventKind
from loadgen.dataset.stack import Emit
from loadgen.local.http import Unreachable, get
from loadgen.local.triton import LOOPBACK, free_ports

ATTEMPTS = 4
PAUSE_S = 0.5
_POLL_S = 0.05


class Part:
    """A server with an HTTP health page.

    It keeps its ports for life, because clients hold its address; only before it has first answered does it change
    them, when another program was faster to take one.

    Attributes:
        name: As in `part_died` and in the name of its log.
        ports: Its ports, the one with the health page last.
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
        """`command` writes what the program needs for these ports and returns its command line."""
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
        """`host:port` of one of its ports."""
        return f"{LOOPBACK}:{self.ports[number]}"

    @property
    def pid(self) -> int | None:
        """Process id of its last start."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            StackError: it did not, several times; the sentence holds the last line of its log.
        """
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(PAUSE_S * attempt)
            if not self._answered:
                self.ports = free_ports(self._port_count)
            # SIGKILL: nothing that the kernel would have to let it finish, and it must not outlive us
            self._child = spawn(self._command(self.ports), log=self._log, parent_death_signal=signal.SIGKILL)
            if await self._answers():
                self._answered = True
                return
            self._child.kill()
        raise StackError(f"{self.name} did not start: {last_line(self._log)!r}; read {self._log} and start again")

    async def watch(self, *, emit: Emit, clock: Clock) -> None:
        """Look after it for ever: journal its death and start it again, on the same ports, as often as it takes."""
        deaths = 0
        while True:
            await asyncio.sleep(4 * _POLL_S)
            code = self._child.poll() if self._child else None
            if code is None:
                deaths = 0
                continue
            deaths += 1
            message = f"{self.name} ended with {code}; it is started again at the same address"
            if deaths > 1:
                message = f"{self.name} does not come up again ({last_line(self._log)!r}); it is tried on"
            data = {"part": self.name, "exit_code": code}
            emit(EventKind.PART_DIED, t_s=clock.now_s(), message=message, data=data)
            with contextlib.suppress(StackError):
                await asyncio.sleep(PAUSE_S * (deaths - 1))
                await self.start()

    async def stop(self, grace_s: float = 3.0) -> None:
        """End it: SIGTERM, then SIGKILL after `grace_s`."""
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
                    # a stranger on our port would answer as well, while our program dies of it
                    await asyncio.sleep(_POLL_S)
                    return self._child.poll() is None
            except Unreachable:
                pass
            await asyncio.sleep(_POLL_S)
        return False


def last_line(log: Path) -> str:
    """Last line of a log with something in it; empty without one."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
