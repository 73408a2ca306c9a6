"""Waits for conditions and for blocking functions without blocking the event loop."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from loadgen.base.errors import StackError

_POLL_S = 0.1
_T = TypeVar("_T")


async def until(condition: Callable[[], Coroutine[Any, Any, bool]], within_s: float, sentence: str) -> None:
    """Poll until the condition holds.

    Raises:
        StackError: The condition did not hold within `within_s`; `sentence` is the message.
    """
    try:
        async with asyncio.timeout(within_s):
            while not await condition():
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise StackError(sentence) from None


async def in_thread(function: Callable[[], _T]) -> _T:
    """Run a blocking function in a daemon thread, which ends with the process when the caller is cancelled."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def settle(result: list[_T], error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result[0])
        else:
            done.set_exception(error)

    def work() -> None:
        result: list[_T] = []
        error: BaseException | None = None
        try:
            result.append(function())
        except Exception as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the event loop has ended, and no task waits
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, daemon=True).start()
    return await done
