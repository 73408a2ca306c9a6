"""Simulates setups, condenses what users waited and what it cost, and chooses among them."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

import numpy as np

from loadgen.base.errors import SettingsError
from loadgen.whatif.model import Floats, Load
from loadgen.whatif.settings import Setup, Span, split, with_settings
from loadgen.whatif.simulation import Simulated, simulate

PHASES = 5
"""Simulations with one setup: its syncs begin at this many moments, evenly spread over a sync period."""
_RANGE = re.compile(r"-?[\d.]*\d(\.\.+|-|:)-?[\d.]+")
MOST = 500
"""Combinations of one sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A value over all phases of the HPA: that of the luckiest, the median and that of the unluckiest phase."""

    best: float
    median: float
    worst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one setup does with the load; a percentile of TTFT is infinite if it is a request that was not served.

    Attributes:
        ttft_p50_s: Median time to the first token.
        ttft_p95_s: 95th percentile of it.
        ttft_p99_s: 99th percentile of it.
        slow_ratio: Share of requests over the limit on TTFT; 0 … 1.
        replica_hours: Σ over replicas of the time from created to gone.
        peak_replicas: Most desired replicas.
        rescales: Changes of the desired replicas.
    """

    ttft_p50_s: Range
    ttft_p95_s: Range
    ttft_p99_s: Range
    slow_ratio: Range
    replica_hours: Range
    peak_replicas: Range
    rescales: Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One setup of a sweep.

    Attributes:
        changes: What differs from the run, each as `name=value`; empty for the run's own setup.
        setup: The setup.
        outcome: What it does with the load.
        efficient: Whether no other setup is better in one of violation and cost and at least as good in the other.
    """

    changes: tuple[str, ...]
    setup: Setup
    outcome: Outcome
    efficient: bool = False


def combinations(sweeps: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of swept values, each swept setting given as `name=a,b,c`.

    Raises:
        SettingsError: a sweep is wrong, names a setting twice, or there are too many combinations.
    """
    names: list[str] = []
    values: list[list[str]] = []
    for each in sweeps:
        name, text = split(each)
        if name in names:
            raise SettingsError(f"{name} is swept twice: give all of its values in one sweep")
        names.append(name)
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if not parts:
            raise SettingsError(f"the sweep {each!r} has no value: write name=a,b,c, such as {name}=1,2,3")
        for part, times in Counter(parts).items():
            if times > 1:
                raise SettingsError(f"the sweep of {name} has the value {part} more than once: give it once")
            if _RANGE.fullmatch(part):
                raise SettingsError(f"{name}={part}: a sweep has single values and no ranges: write {name}=1,2,3")
        values.append(parts)
    count = 1
    for each_values in values:
        count *= len(each_values)
    if count > MOST:
        raise SettingsError(f"the sweeps have {count} combinations: use at most {MOST}")
    chosen = itertools.product(*values)
    return [tuple(f"{name}={value}" for name, value in zip(names, row, strict=True)) for row in chosen]


def possible(
    setup: Setup, fixed: Sequence[str], chosen: Sequence[tuple[str, ...]]
) -> tuple[list[tuple[str, ...]], list[str]]:
    """The combinations that a setup can have, each with the fixed changes, and a sentence on each of the others.

    A value that no combination can have is wrong by itself.

    Raises:
        SettingsError: a setting is wrong, or both fixed and swept.
    """
    able: list[tuple[str, ...]] = []
    errors: dict[tuple[str, ...], SettingsError] = {}
    for each in chosen:
        try:
            with_settings(setup, (*fixed, *each))
        except SettingsError as error:
            errors[each] = error
        else:
            able.append(each)
    used = {value for each in able for value in each}
    for each, reason in errors.items():
        if not each or any(value not in used for value in each):
            raise reason
    changes = [(*fixed, *each) for each in able if fixed or each]
    return changes, [f"{', '.join(each)} is left out: {reason}" for each, reason in errors.items()]


def sweep(
    load: Load, setup: Setup, span: Span, limit_s: float, changes: Sequence[Sequence[str]]
) -> tuple[Variant, ...]:
    """Simulate the setup of a run, and that setup with each of these changes, in order.

    Raises:
        SettingsError: a change is wrong.
    """
    setups = [((), setup), *((tuple(each), with_settings(setup, each)) for each in changes)]
    results = [outcome(load, each, span, limit_s) for _, each in setups]
    efficient = set(_efficient(results))
    return tuple(
        Variant(changes=each_changes, setup=each, outcome=result, efficient=number in efficient)
        for number, ((each_changes, each), result) in enumerate(zip(setups, results, strict=True))
    )


def recommended(variants: Sequence[Variant], limit_s: float) -> Variant | None:
    """The cheapest setup that keeps the limit at every phase of the HPA; None if none does.

    Of those that cost as much, it is the one that costs least at its worst phase, and then the fastest.
    """

    def cost(each: Variant) -> tuple[float, ...]:
        result = each.outcome
        return result.replica_hours.median, result.replica_hours.worst, result.ttft_p95_s.worst

    return min((each for each in variants if meets(each.outcome, limit_s)), key=cost, default=None)


def _efficient(results: Sequence[Outcome]) -> Iterator[int]:
    points = [(each.slow_ratio.median, each.replica_hours.median) for each in results]
    for number, (slow, hours) in enumerate(points):
        if not any(
            other_slow <= slow and other_hours <= hours and (other_slow, other_hours) != (slow, hours)
            for other_slow, other_hours in points
        ):
            yield number


def outcome(load: Load, setup: Setup, span: Span, limit_s: float, *, phases: int = PHASES) -> Outcome:
    """Simulate a load with a setup at several phases of the HPA.

    Args:
        load: The requests.
        setup: The setup.
        span: What is simulated.
        limit_s: Limit on TTFT; infinite without one.
        phases: How many.
    """
    rows = []
    for number in range(phases):
        simulated = run(load, setup, span, phase=number / phases)
        ttft_s = first_token_s(load, simulated)
        replicas = [each.after for each in simulated.syncs] or [span.initial]
        rows.append(
            (
                *(percentile(ttft_s, share) for share in (0.50, 0.95, 0.99)),
                float(np.mean(ttft_s > limit_s)) if len(ttft_s) else 0.0,
                simulated.replica_seconds(span.begin_s, span.end_s) / 3600.0,
                float(max(replicas)),
                float(sum(each.before != each.after for each in simulated.syncs)),
            )
        )
    ranges = [_range(column) for column in zip(*rows, strict=True)]
    names = ("ttft_p50_s", "ttft_p95_s", "ttft_p99_s", "slow_ratio", "replica_hours", "peak_replicas", "rescales")
    return Outcome(**dict(zip(names, ranges, strict=True)))


def run(load: Load, setup: Setup, span: Span, *, phase: float = 0.0) -> Simulated:
    """Simulate a load with a setup; `phase` shifts the syncs by this share of their period."""
    path = replace(setup.path, sync_offset_s=setup.path.sync_offset_s + phase * setup.path.sync_s)
    # an HPA with other bounds would have kept them before the load, too
    initial = min(max(span.initial, setup.hpa.lowest), setup.hpa.max_replicas)
    return simulate(
        load,
        setup.replicas,
        path,
        setup.hpa,
        initial=initial,
        begin_s=span.begin_s,
        end_s=span.end_s,
        metrics=setup.metrics,
    )


def first_token_s(load: Load, simulated: Simulated) -> Floats:
    """Time from arrival to first token of each request; infinite for those that were not served."""
    return simulated.first_token_s - load.arrival_s + load.overhead_s


def percentile(values: Floats, share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed; 0 without values."""
    if not len(values):
        return 0.0
    index = min(max(ceil(share * len(values)), 1), len(values)) - 1
    return float(np.partition(values, index)[index])


def _range(values: Sequence[float]) -> Range:
    ordered = sorted(values)
    return Range(best=ordered[0], median=ordered[(len(ordered) - 1) // 2], worst=ordered[-1])


def meets(result: Outcome, limit_s: float) -> bool:
    """Whether TTFT p95 is within the limit at every phase of the HPA."""
    return limit_s == inf or result.ttft_p95_s.worst <= limit_s
