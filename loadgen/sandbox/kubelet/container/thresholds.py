"""What a row of probe results says about a container: pure counting against thresholds."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["startup", "readiness", "liveness"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When a probe runs and how often it must say the same; times in seconds."""

    initial_delay_s: float = 0.0
    period_s: float = 10.0
    timeout_s: float = 1.0
    successes: int = 1
    failures: int = 3

    @classmethod
    def of(cls, probe: "dict[str, object]") -> "Rhythm":
        """The rhythm that a probe of the API asks for."""

        def number(field: str, missing: int) -> int:
            value = probe.get(field)
            return int(str(value)) if value else missing

        return cls(
            initial_delay_s=number("initialDelaySeconds", 0),
            period_s=number("periodSeconds", 10),
            timeout_s=number("timeoutSeconds", 1),
            successes=number("successThreshold", 1),
            failures=number("failureThreshold", 3),
        )

    def next_tick_s(self, elapsed_s: float) -> float:
        """The first moment after `elapsed_s` at which it runs, both counted from the container's start.

        Runs are due at the initial delay and every period after it; those that were missed are left out.
        """
        if elapsed_s < self.initial_delay_s:
            return self.initial_delay_s
        done = int((elapsed_s - self.initial_delay_s) // self.period_s)
        return self.initial_delay_s + (done + 1) * self.period_s


@dataclass(slots=True)
class Counter:
    """Counts equal results in a row.

    Attributes:
        rhythm: The thresholds.
    """

    rhythm: Rhythm
    _last: bool | None = None
    _run: int = 0

    def add(self, success: bool) -> bool | None:
        """The verdict after one more result: True or False once its threshold is reached, None to leave it as it is."""
        self._run = self._run + 1 if success == self._last else 1
        self._last = success
        needed = self.rhythm.successes if success else self.rhythm.failures
        return success if self._run >= needed else None
