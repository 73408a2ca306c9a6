"""Sentences for the user on standard error, also while a live line is being drawn there."""

import sys

CLEAR_LINE = "\r\x1b[K"
"""Returns to the start of the line and erases it."""


def is_live() -> bool:
    """Whether standard error is a terminal, on which one line can be drawn again and again."""
    return sys.stderr.isatty()


def say(text: str) -> None:
    """Write one sentence to standard error, on a line of its own."""
    sys.stderr.write(f"{CLEAR_LINE if is_live() else ''}{text}\n")
    sys.stderr.flush()
