"""Turns Ctrl-C and SIGTERM during a step into an error with a message and the exit code of an interruption."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from loadgen.base.errors import Interrupted


@contextmanager
def interruptible(message: str) -> Iterator[None]:
    """Run a block that cleans up after itself on SIGINT or SIGTERM.

    Args:
        message: Message of the error: what state the interruption leaves, and what to do next.

    Raises:
        Interrupted: the block was interrupted.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # SIGINT too: a shell starts background jobs with SIGINT ignored
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(message) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
