"""Waiting without blocking the stack's one event loop."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from loadgen.base.errors import StackError

_POLL_S = 0.1
_T = TypeVar("_T")


async def until(condition: Callable[[], Coroutine[Any, Any, bool]], within_s: float, sentence: str) -> None:
    """Ask again and again until the condition holds.

    Raises:
        StackError: it did not within `within_s`; `sentence` is what the user is told.
    """
    try:
        async with asyncio.timeout(within_s):
            while not await condition():
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise StackError(sentence) from None


async def in_thread(function: Callable[[], _T]) -> _T:
    """Run what blocks, without waiting for it when the stack is to end meanwhile: then it ends with the process."""
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
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, daemon=True).start()
    return await done
