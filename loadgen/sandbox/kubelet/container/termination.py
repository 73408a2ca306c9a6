"""How long a pod or container has to end, and in which order."""

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any

MINIMUM_S = 2.0  # every container has this long to react to SIGTERM, however late it comes

_CANCEL_AGAIN_S = 0.5


class Deadline:
    """The end of a grace period, which can only come nearer; times of the event loop's clock.

    Args:
        grace_s: Seconds from now.
    """

    def __init__(self, grace_s: float) -> None:
        self.at_s = asyncio.get_running_loop().time() + grace_s

    def shorten(self, grace_s: float) -> None:
        """Bring it to `grace_s` seconds from now, if that is nearer."""
        self.at_s = min(self.at_s, asyncio.get_running_loop().time() + grace_s)

    def left_s(self) -> float:
        """Seconds left; 0 when it is over."""
        return max(0.0, self.at_s - asyncio.get_running_loop().time())

    async def first(self, awaited: Iterable[Awaitable[object]]) -> bool:
        """Wait until all of these are done or the grace period is over; whether they are done."""
        tasks = [asyncio.ensure_future(each) for each in awaited]
        while any(not task.done() for task in tasks) and self.left_s() > 0:
            await asyncio.wait(tasks, timeout=min(1.0, self.left_s()))
        return all(task.done() for task in tasks)


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do some work to its end, unless an event comes before: then it is cancelled, and over when this returns."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        while not working.done():
            working.cancel()  # again and again: what it calls may take one for the end of something else
            await asyncio.wait({working}, timeout=_CANCEL_AGAIN_S)
    with contextlib.suppress(asyncio.CancelledError):
        working.result()
