"""How long a pod or container has to end, and in which order."""

import asyncio
from collections.abc import Awaitable, Iterable

MINIMUM_S = 2.0  # every container has this long to react to SIGTERM, however late it comes


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
