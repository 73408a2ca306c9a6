"""Writes to the console: messages on standard error, results on standard output.

A console may be an ASCII terminal, a pipe whose reader has left, or closed: none of these may change how a run ends.
"""

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from unicodedata import combining, east_asian_width

from loadgen.base.text import printable
from loadgen.base.urls import redacted

Say = Callable[[str], None]
"""Shows a message of one sentence to the user; `say` is one that writes to standard error."""

CLEAR_LINE = "\r\x1b[K"
"""Returns to the start of the line and erases it."""

_COLUMNS = 80
_STALLED_S = 5.0
_ASCII = str.maketrans(
    {
        "≤": "<=",
        "≥": ">=",
        "…": "...",
        "–": "-",
        "—": "-",
        "−": "-",
        "│": "|",
        "×": "x",
        "→": "->",
        "·": "*",
        "’": "'",
        "✗": "x",
        "✓": "v",
    }
)


def protect_streams() -> None:
    """Make standard output and error of this process accept any text and survive the loss of their reader.

    Characters that the encoding lacks are replaced, and what cannot be written is dropped. Streams that were replaced
    already, as by a test, are left alone. Call it once, before anything is written.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: a file that is opened later must not get this number
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - for the whole process
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:  # Python found it closed at its start
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8", errors="replace"))  # noqa: SIM115 - for the whole process
        elif stream is getattr(sys, f"__{name}__"):
            stream.flush()
            protected = _Text(
                io.BufferedWriter(_Stream(number, "wb", closefd=False)),
                encoding=stream.encoding,
                errors="loadgen.ascii",
                line_buffering=stream.line_buffering or stream.write_through or name == "stderr",
            )
            setattr(sys, name, protected)


class _Stream(io.FileIO):
    """A standard stream; drops what cannot be written, and does not wait for ever for a reader that has stalled."""

    _has_failed = False

    def write(self, data: object) -> int:
        size = memoryview(data).nbytes  # type: ignore[arg-type]
        try:
            written = super().write(data)  # type: ignore[arg-type]
            if written is None:  # set to non-blocking by a process that shares the terminal
                select.select([], [self], [], _STALLED_S)
                written = super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO) and self.fileno() == 1 and not self._has_failed:
                self._has_failed = True
                with suppress(OSError):
                    os.write(2, f"error: cannot write to standard output: {error.strerror}\n".encode())
            return size
        return size if written is None else written


class _Text(io.TextIOWrapper):
    """Text over a standard stream; text after a live line begins on that line, for instance a line of Locust's log."""

    has_live_line = False

    def write(self, text: str) -> int:
        if self.has_live_line:
            self.has_live_line = False
            super().write(CLEAR_LINE)
        return super().write(text)


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that the encoding of a stream lacks: by ASCII of the same meaning, or by their code."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_ASCII)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error("loadgen.ascii", _replace)


def is_live() -> bool:
    """Return whether standard error is a terminal, where one line can be updated in place."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """Return the width of the terminal that standard error is, or 80 if it has none."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS


def fitted(parts: Sequence[str], width: int) -> str:
    """Join parts of a line, as many of the first as fit into a width; the first one is cut if even that is too long."""
    line = ""
    for part in parts:
        longer = f"{line} │ {part}" if line else part
        if line and _width(longer) > width:
            break
        line = longer
    while _width(line) > max(width, 0):
        line = line[:-1]
    return line


def _width(text: str) -> int:
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def show_live(text: str) -> None:
    """Replace the line at the end of the terminal; whatever is written to standard error next takes its place."""
    sys.stderr.write(f"{CLEAR_LINE}{text}")
    sys.stderr.flush()
    if isinstance(sys.stderr, _Text):
        sys.stderr.has_live_line = True


def say(text: str) -> None:
    """Write a message to standard error, on a line of its own, without secrets and without control characters."""
    _write("stderr", f"{CLEAR_LINE if is_live() else ''}{printable(redacted(text))}\n")


def show(text: str) -> None:
    """Write a result to standard output."""
    _write("stdout", f"{text}\n")


def _write(name: str, text: str) -> None:
    stream = getattr(sys, name)
    stream.write(text)
    stream.flush()
