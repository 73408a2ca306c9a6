"""Measures what this process and its machine do, once a second: CPU time, lateness of the event loop, and contention.

The samples say whether a late request is the fault of the load generator or of something else on its machine.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadgen.dataset.names import SignalName

PERIOD_S = 1.0
_STAT, _PRESSURE = Path("/proc/stat"), Path("/proc/pressure/cpu")


@dataclass(frozen=True, slots=True)
class _Machine:
    """Counters of the machine; None where the kernel has none."""

    total: int | None = None
    idle: int | None = None
    steal: int | None = None
    stalled_us: int | None = None


class Monitor:
    """Makes the samples of one process of the load generator.

    Args:
        worker: Number of the process, from 0.
        stat: CPU times of the machine.
        pressure: CPU pressure of the machine (PSI).
    """

    def __init__(self, worker: int, stat: Path = _STAT, pressure: Path = _PRESSURE) -> None:
        self._name = f"load{worker}"
        self._stat, self._pressure = stat, pressure
        self._before = self._machine()
        self._before_s: float | None = None

    def samples(self, t_s: float, lag_s: float) -> list[dict[str, Any]]:
        """Return the rows of `samples/` of one moment.

        Args:
            t_s: The time on the axis of the run.
            lag_s: By how much the event loop woke up this process too late.
        """
        own = os.times()
        values = {
            SignalName.GENERATOR_CPU_S: own.user + own.system,
            SignalName.GENERATOR_LOOP_LAG_S: max(lag_s, 0.0),
            **dict(self._of_machine(t_s)),
        }
        return [{"t_s": t_s, "signal": name, "pod": self._name, "value": value} for name, value in values.items()]

    def _of_machine(self, t_s: float) -> Iterator[tuple[SignalName, float]]:
        """The shares since the last call; nothing at the first."""
        now, before = self._machine(), self._before
        elapsed_s = None if self._before_s is None else t_s - self._before_s
        self._before, self._before_s = now, t_s
        if not elapsed_s or elapsed_s <= 0:
            return
        total = _between(before.total, now.total)
        if total:
            for name, share in (
                (SignalName.HOST_CPU_RATIO, 1 - (_between(before.idle, now.idle) or 0) / total),
                (SignalName.HOST_STEAL_RATIO, (_between(before.steal, now.steal) or 0) / total),
            ):
                yield name, min(max(share, 0.0), 1.0)
        stalled_us = _between(before.stalled_us, now.stalled_us)
        if stalled_us is not None:
            yield SignalName.HOST_CPU_PRESSURE_RATIO, min(max(stalled_us / 1e6 / elapsed_s, 0.0), 1.0)

    def _machine(self) -> _Machine:
        return _Machine(**(_cpu_times(self._stat) | _stalled(self._pressure)))


def _between(before: int | None, now: int | None) -> int | None:
    return None if before is None or now is None else now - before


def _cpu_times(file: Path) -> dict[str, int]:
    """Total, idle and stolen time of all CPUs, in ticks; guests count as user time."""
    try:
        first = file.read_text(encoding="ascii").split("\n", 1)[0].split()
        ticks = [int(field) for field in first[1:9]]
    except (OSError, ValueError):
        return {}
    if first[:1] != ["cpu"] or len(ticks) < 8:
        return {}
    return {"total": sum(ticks), "idle": ticks[3] + ticks[4], "steal": ticks[7]}


def _stalled(file: Path) -> dict[str, int]:
    """Time in which some process waited for a CPU, µs."""
    try:
        some = next(line for line in file.read_text(encoding="ascii").splitlines() if line.startswith("some "))
        return {"stalled_us": int(some.rpartition("total=")[2])}
    except (OSError, ValueError, StopIteration):
        return {}
