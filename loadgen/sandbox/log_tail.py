"""What a program that ended said last."""

from pathlib import Path

_GO_PANICS = ("panic: ", "fatal error: ")
_LENGTH = 500
_TAIL_BYTES = 1 << 16


def last_words(log: Path, count: int = 3) -> str:
    """The end of a log, in one line; of a Go program that panicked, why, and not the stack that follows."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "it wrote no log"
    fatal = [number for number, line in enumerate(lines) if line.startswith(_GO_PANICS)]
    if fatal and lines[-1].startswith("\t"):  # the last line is of a stack
        lines = lines[: fatal[-1] + 1]
    words = " / ".join(line.strip()[:_LENGTH] for line in lines[-count:] if line.strip())
    return words or "its log is empty"
