"""Cleans up at the end of a block, also where the process ends while a daemon thread is inside of it."""

import atexit
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def cleanup(action: Callable[[], object]) -> Iterator[None]:
    """Call `action` when the block is left, or when the process ends before that.

    Args:
        action: What to do; it may be called twice. Of nested blocks the inner one cleans up first.
    """

    def clean() -> None:
        action()

    atexit.register(clean)
    try:
        yield
    finally:
        atexit.unregister(clean)
        clean()
