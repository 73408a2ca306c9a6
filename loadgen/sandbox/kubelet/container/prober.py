"""Runs a container's probes periodically and counts their results against the thresholds."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

ProbeKind = Literal["startup", "readiness", "liveness"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTiming:
    """When a probe runs, and how many equal results in a row change the state of the container."""

    initial_delay_s: float = 0.0
    period_s: float = 10.0
    timeout_s: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3

    @classmethod
    def from_spec(cls, probe: "dict[str, object]") -> "ProbeTiming":
        """Read the timing of a probe of the pod spec, with the defaults of Kubernetes."""

        def number(field: str, default: int) -> int:
            value = probe.get(field)
            return int(str(value)) if value else default

        return cls(
            initial_delay_s=number("initialDelaySeconds", 0),
            period_s=number("periodSeconds", 10),
            timeout_s=number("timeoutSeconds", 1),
            success_threshold=number("successThreshold", 1),
            failure_threshold=number("failureThreshold", 3),
        )

    def next_run_s(self, elapsed_s: float) -> float:
        """Return the first time after `elapsed_s` at which the probe is due, both counted from the container's start.

        The probe is due after the initial delay and then once a period; missed runs are skipped.
        """
        if elapsed_s < self.initial_delay_s:
            return self.initial_delay_s
        periods = int((elapsed_s - self.initial_delay_s) // self.period_s)
        return self.initial_delay_s + (periods + 1) * self.period_s


@dataclass(slots=True)
class ResultCounter:
    """Counts equal probe results in a row.

    Attributes:
        timing: Holds the thresholds.
    """

    timing: ProbeTiming
    _last: bool | None = None
    _count: int = 0

    def add(self, success: bool) -> bool | None:
        """Add a result; return True or False when its threshold is reached, None when nothing changes."""
        self._count = self._count + 1 if success == self._last else 1
        self._last = success
        threshold = self.timing.success_threshold if success else self.timing.failure_threshold
        return success if self._count >= threshold else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prober:
    """Runs one probe of a container.

    Attributes:
        kind: Startup probes run from the start, the others once the container has started.
        timing: When the probe runs.
        age_s: Returns the seconds since the container's start.
        started: Set once the startup probe has passed.
        stopping: Returns whether the container is being stopped; then only readiness probes go on.
        check: Runs the probe once within a timeout in seconds and returns whether it succeeded.
        on_result: Takes a result that has reached its threshold and returns whether this probe is finished.
    """

    kind: ProbeKind
    timing: ProbeTiming
    age_s: Callable[[], float]
    started: asyncio.Event
    stopping: Callable[[], bool]
    check: Callable[[float], Awaitable[bool]]
    on_result: Callable[[bool], bool]

    async def run(self) -> None:
        """Probe until the probe is finished or cancelled."""
        counter = ResultCounter(self.timing)
        due_s = self.timing.initial_delay_s
        if self.kind != "startup" and not self.started.is_set():
            await self.started.wait()
            if self.kind == "liveness":
                due_s = max(due_s, self.timing.next_run_s(self.age_s()))
        while True:
            await asyncio.sleep(max(0.0, due_s - self.age_s()))
            if self.stopping() and self.kind != "readiness":
                return
            result = counter.add(await self.check(self.timing.timeout_s))
            if result is not None and self.on_result(result):
                return
            due_s = self.timing.next_run_s(self.age_s())
