"""The exception tree and the exit codes.

Every message says what happened and what to do next, in one sentence a user can act on.
"""

import traceback
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells CI: the numbers are part of the contract."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INVALID = 3
    TOOL = 4


class LoadgenError(Exception):
    """Base of all errors that are told to the user as one sentence, without a traceback."""

    exit_code = ExitCode.TOOL


class SettingsError(LoadgenError):
    """The scenario, a flag or a prompt file is wrong: the run did not start."""

    exit_code = ExitCode.USAGE


class StackError(LoadgenError):
    """The local stack could not be built, started or kept alive."""


class TargetError(LoadgenError):
    """The server under test cannot be reached, is not Triton, or serves no model that we can drive."""

    exit_code = ExitCode.USAGE


class SelfCheckError(LoadgenError):
    """This process would report wrong token times: the run is refused rather than falsified."""

    exit_code = ExitCode.INVALID


class CollectError(LoadgenError):
    """The collector could not observe the run."""


class DatasetError(LoadgenError):
    """A run folder is unreadable, incomplete or of another schema version."""

    exit_code = ExitCode.USAGE


class RecordError(DatasetError):
    """The run folder cannot be written, as when the disk is full; the data recorded before is kept."""

    exit_code = ExitCode.TOOL


def unexpected(fault: Exception) -> LoadgenError:
    """A fault of ours as a sentence; its traceback goes to standard error."""
    traceback.print_exception(fault)
    return LoadgenError(f"unexpected {fault!r}: please report it with the lines above")
