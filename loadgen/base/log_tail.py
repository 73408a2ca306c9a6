"""Reads the end of a program's log, for the sentence that reports why the program ended."""

from pathlib import Path

_GO_PANICS = ("panic: ", "fatal error: ")
_MAX_LINE_CHARACTERS = 500
_TAIL_BYTES = 1 << 16


def log_tail(log: Path, lines: int = 3) -> str:
    """Return the last lines of a log that are not blank, joined by ` / `.

    After the panic of a Go program, these are the lines up to the reason for the panic, without the stack trace.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return "no log was written"
    written = [line for line in text.splitlines() if line.strip()]
    panics = [number for number, line in enumerate(written) if line.startswith(_GO_PANICS)]
    ends_with_stack_trace = bool(written) and written[-1].startswith("\t")
    if panics and ends_with_stack_trace:
        written = written[: panics[-1] + 1]
    return " / ".join(line.strip()[:_MAX_LINE_CHARACTERS] for line in written[-lines:]) or "the log is empty"
