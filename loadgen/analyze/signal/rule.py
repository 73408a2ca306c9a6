"""Finds what the autoscaler's rule computes of the counters: of which models, and with which floor in its divisor.

The run folder has no text of the rule, but what it was given and what it returned, replica by replica. A form of the
rule is accepted if it explains what the plain ratio of the model under test does not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from loadgen.analyze.observed import Bools, Floats, Ints, Observed, Series
from loadgen.analyze.queueing import increments, resets, window_s, windowed
from loadgen.dataset.names import SignalName

Models = Literal["own", "ratios", "sums"]
"""The model under test alone, the sum of the ratios of both, or the ratio of the sums of both."""
NO_OTHER_MODELS = "no counters of other models were recorded"
EXPLAINED = 0.5
"""A form is accepted if its mean error is at most this share of that of every simpler one."""
MIN_READS = 10
MIN_EXPLAINED = 5
"""Fewer samples that a form explains may be an incident, such as the restart of a server."""
MAX_READS = 5_000
_FLOORS = 40
_HIGHEST_FLOOR = 100.0
"""The highest floor that is tried, as a multiple of the highest divisor of the run."""
_US = 1e6
_LEAST_S = 0.5 / _US
"""Sums are differences of running sums in microseconds: below half of one there was no compute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What one replica counted in the rate window before each time, seconds; those of other models, or None."""

    queue_s: Floats
    compute_s: Floats
    other_queue_s: Floats | None
    other_compute_s: Floats | None
    window_s: float

    def at(self, rows: Ints | Bools) -> "Inputs":
        """The inputs at some of the times."""
        other_queue_s = None if self.other_queue_s is None else self.other_queue_s[rows]
        other_compute_s = None if self.other_compute_s is None else self.other_compute_s[rows]
        return Inputs(
            queue_s=self.queue_s[rows],
            compute_s=self.compute_s[rows],
            other_queue_s=other_queue_s,
            other_compute_s=other_compute_s,
            window_s=self.window_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A form of the rule.

    Attributes:
        models: Of which models.
        floor: Least divisor, in seconds of compute per second; 0 for none.
    """

    models: Models = "own"
    floor: float = 0.0

    def of(self, inputs: Inputs) -> Floats:
        """What the rule gives; 0 without compute."""
        queue_s, compute_s = inputs.queue_s, inputs.compute_s
        if self.models == "own" or inputs.other_queue_s is None or inputs.other_compute_s is None:
            return self._divided(queue_s, compute_s, inputs)
        if self.models == "sums":
            return self._divided(queue_s + inputs.other_queue_s, compute_s + inputs.other_compute_s, inputs)
        others = self._divided(inputs.other_queue_s, inputs.other_compute_s, inputs)
        return np.asarray(self._divided(queue_s, compute_s, inputs) + others)

    def _divided(self, queue_s: Floats, compute_s: Floats, inputs: Inputs) -> Floats:
        divisor = np.maximum(compute_s, self.floor * inputs.window_s)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(compute_s > _LEAST_S, queue_s / divisor, 0.0)


PLAIN = Rule()


def together(inputs: Sequence[Inputs]) -> Inputs:
    """The inputs of all replicas, one after the other; of a replica without other models, theirs are 0."""
    with_others = any(each.other_queue_s is not None for each in inputs)
    nothing = [np.zeros(len(each.queue_s)) for each in inputs]

    def joined(parts: Sequence[Floats | None]) -> Floats:
        return np.concatenate([zero if part is None else part for part, zero in zip(parts, nothing, strict=True)])

    return Inputs(
        queue_s=joined([each.queue_s for each in inputs]),
        compute_s=joined([each.compute_s for each in inputs]),
        other_queue_s=joined([each.other_queue_s for each in inputs]) if with_others else None,
        other_compute_s=joined([each.other_compute_s for each in inputs]) if with_others else None,
        window_s=inputs[0].window_s,
    )


def inputs_of(run: Observed, pod: str, at: Floats) -> Inputs | None:
    """What a replica counted in the rate window before each time; None without counters of the model under test."""

    def counted(name: SignalName) -> Floats | None:
        series: Series | None = run.signals.get(name, {}).get(pod)
        if series is None or not len(series.t_s):
            return None
        return np.maximum(windowed([increments(series, fallen)], at, window_s(run)) / _US, 0.0)

    fallen = resets(run, pod)
    queue_s, compute_s = counted(SignalName.RAW_QUEUE_US), counted(SignalName.RAW_COMPUTE_US)
    if queue_s is None or compute_s is None:
        return None
    other_queue_s, other_compute_s = counted(SignalName.RAW_OTHER_QUEUE_US), counted(SignalName.RAW_OTHER_COMPUTE_US)
    both = other_queue_s is not None and other_compute_s is not None
    return Inputs(
        queue_s=queue_s,
        compute_s=compute_s,
        other_queue_s=other_queue_s if both else None,
        other_compute_s=other_compute_s if both else None,
        window_s=window_s(run),
    )


def find_rule(read: Floats, inputs: Inputs) -> Rule:
    """The simplest form that explains what was read; the plain one where none does.

    A constant factor does not count as a form, because the folder does not say whether labels, units or models cause
    it. A form must explain more than the best factor does.

    Args:
        read: Samples of the rule, of all replicas.
        inputs: The counters at the same times.
    """
    use = np.flatnonzero(np.isfinite(read))
    use = use[:: max(1, -(-len(use) // MAX_READS))]
    read, inputs = read[use], inputs.at(use)
    if len(read) < MIN_READS:
        return PLAIN

    def error(values: Floats) -> float:
        return float(np.abs(read - values).mean())

    plain = PLAIN.of(inputs)
    most = error(plain)
    with np.errstate(invalid="ignore", divide="ignore"):
        factors = (read / plain)[plain > 0]
    if len(factors):
        most = min(most, error(float(np.median(factors)) * plain))
    others: list[Models] = [] if inputs.other_queue_s is None or inputs.other_compute_s is None else ["ratios", "sums"]
    one_respect = [*(Rule(models=each) for each in others), _with_floor(PLAIN, inputs, error)]
    two_respects = [_with_floor(Rule(models=each), inputs, error) for each in others]
    best = PLAIN
    for forms in (one_respect, two_respects):
        found = min(forms, key=lambda each: error(each.of(inputs)), default=best)
        least = error(found.of(inputs))
        closer = np.abs(read - found.of(inputs)) < EXPLAINED * np.abs(read - best.of(inputs))
        if least < EXPLAINED * most and np.count_nonzero(closer) >= MIN_EXPLAINED:
            best, most = found, least
    return best


def _with_floor(rule: Rule, inputs: Inputs, error: Callable[[Floats], float]) -> Rule:
    """The same form with the floor that fits best, to 0.1 %: first of all divisors of the run, then near the best."""
    rates = inputs.compute_s / inputs.window_s
    rates = rates[rates > 0]
    if not len(rates):
        return rule
    low, high = float(rates.min()), _HIGHEST_FLOOR * float(rates.max())
    for _ in range(3):
        floors = np.geomspace(low, high, _FLOORS)
        errors = [error(replace(rule, floor=floor).of(inputs)) for floor in floors.tolist()]
        best = int(np.argmin(errors))
        low, high = float(floors[max(best - 1, 0)]), float(floors[min(best + 1, _FLOORS - 1)])
    return replace(rule, floor=float(floors[best]))
