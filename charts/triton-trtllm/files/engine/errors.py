"""What goes wrong is a sentence: on stderr, in the termination log of the container, and as an exit code."""

import sys
from collections.abc import Callable
from pathlib import Path

FAILED, SETTINGS, NOT_READY = 1, 2, 3
STOPPED = 143  # 128 + SIGTERM, what a shell reports of a program that a signal ended
TERMINATION_LOG = "/dev/termination-log"
_KUBELET_READS_BYTES = 4096


class EngineError(Exception):
    """A failure that a person can act on; the message says what to do next."""

    exit_code = FAILED


class SettingsError(EngineError):
    """The settings, or the machine that they are used on, are not what they should be."""

    exit_code = SETTINGS


class NotReadyError(EngineError):
    """There is no engine yet and no reason to think that one comes soon."""

    exit_code = NOT_READY


class Stopped(EngineError):
    """The container was asked to end."""

    exit_code = STOPPED


def say(sentence: str) -> None:
    """Writes one line of progress at once, also when stdout is a pipe to the kubelet."""
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


def tell(sentence: str) -> None:
    """Writes one line beside a program's own output."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def run(program: Callable[[], int], termination_log: str = TERMINATION_LOG) -> int:
    """Runs a program and turns an error into its exit code.

    Args:
        program: Returns an exit code or raises.
        termination_log: The kubelet shows this file's text as the container's last message (`kubectl describe pod`).
            A path that cannot be written is no reason to fail.
    """
    try:
        return program()
    except EngineError as error:
        tell(f"error: {error}")
        _tell_kubelet(str(error), Path(termination_log))
        return error.exit_code


def _tell_kubelet(message: str, path: Path) -> None:
    try:
        if path.exists() or path.parent != Path("/dev"):  # the kubelet makes it; a developer's machine has none
            path.write_bytes(message.encode()[:_KUBELET_READS_BYTES])
    except OSError:
        pass  # the sentence is on stderr already
