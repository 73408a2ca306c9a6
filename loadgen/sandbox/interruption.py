"""Ctrl-C and SIGTERM during a step that leaves nothing half done."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from loadgen.base.errors import StackError


@contextmanager
def interruptible(sentence: str) -> Iterator[None]:
    """Run a block that clears up after itself when SIGINT or SIGTERM interrupts it.

    Args:
        sentence: What has become of it then, and what to do next.

    Raises:
        StackError: it was interrupted.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # SIGINT, too: a shell's background job begins with it ignored
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        raise StackError(sentence) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
