"""Defines the exceptions and the exit codes.

Every message says in one sentence what is wrong and what to do next.
"""

import traceback
from enum import IntEnum

from loadgen.base.text import printable
from loadgen.base.urls import redacted


class ExitCode(IntEnum):
    """Exit codes for CI; the numbers are stable."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INVALID = 3
    TOOL = 4


INTERRUPTED = 130
"""Exit code of a command that the user stopped before it had a result; shells give the same after Ctrl-C."""


class LoadgenError(Exception):
    """Base of all errors that are shown to the user as one sentence, without a traceback.

    Its message may quote a server: secrets are replaced in it, and what a terminal would obey.
    """

    exit_code: int = ExitCode.TOOL

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(redacted(message)))


class SettingsError(LoadgenError):
    """The scenario, a flag or a prompt file is invalid, and the run did not start."""

    exit_code = ExitCode.USAGE


class Interrupted(LoadgenError):
    """The user stopped the command before there was anything to judge."""

    exit_code = INTERRUPTED


class StackError(LoadgenError):
    """The local stack, or one of its programs, could not be built, started or kept running."""


class TargetError(LoadgenError):
    """The server under test is unreachable, is not Triton, or serves no supported model."""

    exit_code = ExitCode.USAGE


class SelfCheckError(LoadgenError):
    """This process would measure wrong token times, so the run is invalid."""

    exit_code = ExitCode.INVALID


class CollectError(LoadgenError):
    """The collector could not observe the run."""


class DatasetError(LoadgenError):
    """A run folder is unreadable, incomplete or has another schema version."""

    exit_code = ExitCode.USAGE


class RecordError(DatasetError):
    """The run folder cannot be written, for instance on a full disk; earlier records are kept."""

    exit_code = ExitCode.TOOL


class FolderGoneError(RecordError):
    """A folder that a run writes to was deleted or moved, so waiting for space does not help."""

    def __init__(self, folder: object) -> None:
        super().__init__(
            f"{folder} was deleted or moved during the run, and what was recorded there is lost: run again, and leave "
            "the folder in place until the report is written"
        )


def unexpected(fault: BaseException) -> LoadgenError:
    """Return a bug as an error with advice, and print its traceback to standard error."""
    traceback.print_exception(fault)
    return LoadgenError(f"unexpected {fault!r}: please report it with the lines above")
