"""One program of the control plane: started, asked whether it serves, watched, started again when it dies."""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import aiohttp

from loadgen.base.errors import StackError
from loadgen.base.processes import Child, spawn
from loadgen.sandbox.log_tail import last_words

_POLL_S = 0.05
_PATIENCE_S = 60.0
_BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_ASK_TIMEOUT = aiohttp.ClientTimeout(total=3.0)


class Part:
    """A program of the control plane; its addresses are its own for ever, as the network is the sandbox's own.

    Attributes:
        name: Also the name of its log.
        restarts: How often it was started again.
        death: How it last ended by itself, as a sentence; empty if it never did.
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
        """`health` is a URL that answers 200 when the program serves."""
        self.name = name
        self.restarts = 0
        self.death = ""
        self._command, self._health, self._env, self._grace_s = list(command), health, env, grace_s
        self._log = logs / f"{name}.log"
        self._child: Child | None = None
        self._wanted = True

    @property
    def pid(self) -> int:
        """Process id inside the sandbox; 0 before the first start."""
        return self._child.pid if self._child else 0

    async def start(self, session: aiohttp.ClientSession, patience_s: float = _PATIENCE_S) -> None:
        """Start it and wait until it serves.

        Raises:
            StackError: it ended, or does not serve in time; the sentence holds the end of its log.
        """
        self._child = spawn(self._command, log=self._log, parent_death_signal=signal.SIGKILL, env=self._env)
        deadline = asyncio.get_running_loop().time() + patience_s
        while asyncio.get_running_loop().time() < deadline:
            code = self._child.poll()
            if code is not None:
                raise StackError(
                    f"{self.name} ended with {code} while it started: {last_words(self._log)}; see {self._log}"
                )
            if self._health is None or await self._serves(session, self._health):
                return
            await asyncio.sleep(_POLL_S)
        raise StackError(f"{self.name} did not serve within {patience_s:g} s: {last_words(self._log)}; see {self._log}")

    async def watch(self, session: aiohttp.ClientSession, tell: Callable[[str], None]) -> None:
        """Start it again whenever it dies, later each time it dies young; runs for ever."""
        deaths = 0
        while True:
            started_s = asyncio.get_running_loop().time()
            while self._child is None or self._child.poll() is None:
                await asyncio.sleep(4 * _POLL_S)
            if not self._wanted:
                return
            code = self._child.poll()
            deaths = 1 if asyncio.get_running_loop().time() - started_s > _PATIENCE_S else deaths + 1
            self.death = f"{self.name} ended with {code} and is started again: {last_words(self._log)}; see {self._log}"
            tell(self.death)
            await asyncio.sleep(_BACK_OFF_S[min(deaths, len(_BACK_OFF_S)) - 1])
            self.restarts += 1
            try:
                await self.start(session)
            except StackError as error:
                tell(str(error))

    async def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL after its grace period."""
        self._wanted = False
        if self._child is None:
            return
        self._child.terminate()
        for _ in range(int(self._grace_s / _POLL_S)):
            if self._child.poll() is not None:
                break
            await asyncio.sleep(_POLL_S)
        self._child.stop(0.0)

    async def _serves(self, session: aiohttp.ClientSession, url: str) -> bool:
        try:
            async with session.get(url, timeout=_ASK_TIMEOUT) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False
