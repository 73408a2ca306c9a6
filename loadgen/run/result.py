"""Collects the errors of a run inside Locust, and prints its outcome."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from loadgen.base.console import say, show
from loadgen.base.errors import LoadgenError, unexpected


class Errors:
    """The errors of one run. They are collected, so that the following steps still run; the first one is reported."""

    def __init__(self) -> None:
        self._errors: list[LoadgenError] = []

    def __bool__(self) -> bool:
        return bool(self._errors)

    @property
    def first(self) -> LoadgenError | None:
        """The error that ended the run; None for a run without errors."""
        return self._errors[0] if self._errors else None

    def add(self, error: LoadgenError) -> None:
        """Add an error."""
        self._errors.append(error)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Collect an error of the body instead of raising it; a fault of ours becomes an error with its traceback."""
        try:
            yield
        except LoadgenError as error:
            self.add(error)
        except Exception as fault:
            self.add(unexpected(fault))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended.

    Attributes:
        exit_code: Exit code of the process; None for a run that has neither a verdict nor an error.
        summary: Verdict and findings as printed by `loadgen report`; empty without a report.
        error: The error that ended the run.
    """

    exit_code: int | None = None
    summary: str = ""
    error: LoadgenError | None = None

    def print(self, *, only_messages: bool = False) -> None:
        """Print the summary to standard output and the error to standard error.

        Args:
            only_messages: The summary goes to standard error, too.
        """
        if self.summary:
            (say if only_messages else show)(f"\n{self.summary.rstrip()}")
        if self.error is not None:
            say(f"error: {self.error}")
