"""Reports errors on stderr, in the container's termination log, and as an exit code."""

import sys
from collections.abc import Callable
from pathlib import Path

FAILED, SETTINGS, NOT_READY = 1, 2, 3
STOPPED = 143  # 128 + SIGTERM, as shells report it
TERMINATION_LOG = "/dev/termination-log"
_KUBELET_READS_BYTES = 4096


class EngineError(Exception):
    """A failure whose message says what to do next."""

    exit_code = FAILED


class SettingsError(EngineError):
    """The settings are invalid, or do not fit this machine."""

    exit_code = SETTINGS


class NotReadyError(EngineError):
    """Something that was waited for did not become ready in time."""

    exit_code = NOT_READY


class Stopped(EngineError):
    """The container received SIGTERM."""

    exit_code = STOPPED


def say(sentence: str) -> None:
    """Writes a line of progress to stdout and flushes it."""
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


def warn(sentence: str) -> None:
    """Writes a line to stderr."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def run(program: Callable[[], int], termination_log: str = TERMINATION_LOG) -> int:
    """Runs a program and converts an `EngineError` into its exit code.

    Args:
        program: Returns an exit code or raises.
        termination_log: The kubelet shows this file's text as the container's last message (`kubectl describe pod`).
            Errors in writing it are ignored.
    """
    try:
        return program()
    except EngineError as error:
        warn(f"error: {error}")
        _write_termination_log(str(error), Path(termination_log))
        return error.exit_code


def _write_termination_log(message: str, path: Path) -> None:
    try:
        if path.exists() or path.parent != Path("/dev"):  # the kubelet creates it; other machines have none
            path.write_bytes(message.encode()[:_KUBELET_READS_BYTES])
    except OSError:
        pass  # the message is on stderr, too
