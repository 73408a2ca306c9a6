"""Bounds how long containers and pods take to stop."""

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any

MIN_STOP_S = 2.0
"""Every container has at least this long between SIGTERM and SIGKILL."""

_CANCEL_AGAIN_S = 0.5


class GracePeriod:
    """A termination grace period, which can be shortened but never extended.

    Attributes:
        deadline_s: End of the period, by the clock of the event loop.

    Args:
        duration_s: Seconds from now.
    """

    def __init__(self, duration_s: float) -> None:
        self.deadline_s = asyncio.get_running_loop().time() + duration_s

    def shorten(self, duration_s: float) -> None:
        """End the period `duration_s` seconds from now, unless it ends earlier anyway."""
        self.deadline_s = min(self.deadline_s, asyncio.get_running_loop().time() + duration_s)

    def left_s(self) -> float:
        """Return the remaining seconds; 0 once the period has expired."""
        return max(0.0, self.deadline_s - asyncio.get_running_loop().time())

    async def wait_for(self, awaitables: Iterable[Awaitable[object]]) -> bool:
        """Wait until all of them are done or the period expires; return whether all are done."""
        tasks = [asyncio.ensure_future(each) for each in awaitables]
        while any(not task.done() for task in tasks) and self.left_s() > 0:
            await asyncio.wait(tasks, timeout=min(1.0, self.left_s()))
        return all(task.done() for task in tasks)


async def run_until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, or cancel it when an event is set; it has ended when this returns."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        while not working.done():
            working.cancel()  # repeatedly: a library may mistake a cancellation for its own timeout and swallow it
            await asyncio.wait({working}, timeout=_CANCEL_AGAIN_S)
    with contextlib.suppress(asyncio.CancelledError):
        working.result()
