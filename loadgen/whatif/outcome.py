"""Condenses simulations with one setup: what users waited, and what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

import numpy as np

from loadgen.whatif.model import Floats, Load
from loadgen.whatif.settings import Setup
from loadgen.whatif.simulation import Simulated, simulate

PHASES = 5
"""Simulations with one setup: its syncs begin at this many moments, evenly spread over a sync period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The span of a run that is simulated: replicas that are ready at its beginning, and its ends in seconds."""

    initial: int
    begin_s: float
    end_s: float


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
