"""Findings: checked conditions, and where in the run each was measured."""

import math
from dataclasses import dataclass
from typing import Literal

from loadgen.base.display import clock

Severity = Literal["fail", "invalid", "warning", "info"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A named span of time, such as a stage or a lag window.

    Attributes:
        name: Its name.
        start_s: Its start.
        end_s: Its end.
    """

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Window:
    """Part of the load that a finding is about; its text is `from 0:31 to 0:58` or `at 0:31`.

    Attributes:
        start_s: Its start.
        end_s: Its end; None for a moment.
    """

    start_s: float
    end_s: float | None = None

    def __str__(self) -> str:
        start, end = clock(self.start_s), clock(self.end_s)
        return f"at {start}" if self.end_s is None or start == end else f"from {start} to {end}"

    @property
    def in_seconds(self) -> str:
        """The same in seconds, for programs: `from 31.0 s to 58.0 s` or `at 31.0 s`."""
        if self.end_s is None:
            return f"at {self.start_s:.1f} s"
        return f"from {self.start_s:.1f} s to {self.end_s:.1f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One checked condition; page, JUnit and exit code follow from the findings.

    Attributes:
        code: Stable identifier, declared in `loadgen.analyze.findings.codes`.
        severity: `fail` and `invalid` decide the verdict; `warning` and `info` do not.
        passed: Whether the limit was met; always False for warning and info.
        title: Title of the condition, such as "TTFT p95".
        measured: The measured value in base units (seconds, ratio, count), None when not measured.
        limit: The limit in the same unit, None when there is none.
        unit: `s`, `ratio` (of a whole, 0..1), `count`, `per_s`, or empty for a plain number.
        window: Where it was measured: a stage or a window; None for the whole run.
        advice: What the finding means and what to do next.
        unknown: Number of values that a stop of the run left open and that could turn the result; 0 when none could.
        low: Lower end of the 95 % interval of the measured value; None where it has none.
        high: Upper end of that interval. A limit from `low` to `high` is too close to call.
    """

    code: str
    severity: Severity
    passed: bool
    title: str
    measured: float | None
    limit: float | None
    unit: str
    window: Span | Window | None
    advice: str
    unknown: int = 0
    low: float | None = None
    high: float | None = None

    @property
    def too_close_to_call(self) -> bool:
        """Whether the limit lies inside the interval of the measured value."""
        bounds = (self.low, self.limit, self.high)
        low, limit, high = (math.nan if each is None else each for each in bounds)
        return low < high and low <= limit <= high
