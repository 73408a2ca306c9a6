"""Writes messages to standard error, also while a progress line is displayed there."""

import sys
from collections.abc import Callable

from loadgen.base.text import printable
from loadgen.base.urls import redacted

Say = Callable[[str], None]
"""Shows a message of one sentence to the user; `say` is one that writes to standard error."""

CLEAR_LINE = "\r\x1b[K"
"""Returns to the start of the line and erases it."""


def is_live() -> bool:
    """Return whether standard error is a terminal, where one line can be updated in place."""
    return sys.stderr.isatty()


def say(text: str) -> None:
    """Write a message to standard error, on a line of its own, without secrets and without control characters."""
    sys.stderr.write(f"{CLEAR_LINE if is_live() else ''}{printable(redacted(text))}\n")
    sys.stderr.flush()
