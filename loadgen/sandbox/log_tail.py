"""Summarizes the end of a program's log for error messages."""

from pathlib import Path

_GO_PANICS = ("panic: ", "fatal error: ")
_MAX_LINE_LENGTH = 500
_TAIL_BYTES = 1 << 16


def log_tail(log: Path, count: int = 3) -> str:
    """Return the last lines of a log in one line; after a panic of a Go program without the stack trace.

    Args:
        log: The log.
        count: Maximum number of lines.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "it wrote no log"
    panics = [number for number, line in enumerate(lines) if line.startswith(_GO_PANICS)]
    if panics and lines[-1].startswith("\t"):  # the log ends with a stack trace
        lines = lines[: panics[-1] + 1]
    tail = " / ".join(line.strip()[:_MAX_LINE_LENGTH] for line in lines[-count:] if line.strip())
    return tail or "its log is empty"
