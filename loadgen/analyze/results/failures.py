"""Failed requests by what caused them, inside and outside the windows of scaling events."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedWindow:
    """Failed requests of one window.

    Attributes:
        event: Index into `Analysis.scaling` of its scaling event; None for all times outside scaling events.
        start_s: Its start; None outside.
        end_s: Its end; None outside.
        failed: Number of failed requests.
        causes: Their number by cause (`FailureCause`), which adds up to `failed`.
    """

    event: int | None
    start_s: float | None
    end_s: float | None
    failed: int
    causes: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Failed requests, each with exactly one cause and in exactly one window.

    Attributes:
        failed: Due requests that were not answered, without those that were in flight when the run was stopped.
        named: How many of them name the replica that they reached.
        causes: Their number by cause (`FailureCause`), which adds up to `failed`.
        windows: The windows with failed requests in order of the events, and at last the times outside.
    """

    failed: int
    named: int
    causes: dict[str, int]
    windows: tuple[FailedWindow, ...] = ()
