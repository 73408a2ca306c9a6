"""Determines the needed replicas over time: the least n with λ(t) < C_slo(n), and when that changes.

The offered rate λ(t) of a test's own schedule is known, so a change of the need is solved from λ(t) = C_slo(n), and is
as uncertain as C_slo(n). Of recorded arrivals it is estimated, which adds the uncertainty of each change.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from loadgen.analyze.demand.intensity import Intensity
from loadgen.analyze.observed import Floats
from loadgen.analyze.results.demand import Estimate, NeededSpan
from loadgen.analyze.steps import Interval, Step

_GRID = 4096
_HALVINGS = 60
LEANS = 1.64
"""Standard deviations by which the arrivals on both sides of a change must lean for it to be a part of a ramp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The rate of a schedule.

    Attributes:
        at: The rate at these times, requests per second.
        edges_s: Times at which it may jump, from the start to the end of the load.
    """

    at: Callable[[Floats], Floats]
    edges_s: Floats

    def highest(self) -> float:
        """The highest rate."""
        return float(self.at(self._grid()).max())

    def over(self, rate_per_s: float) -> list[Interval]:
        """The spans in which the rate is at least this."""
        grid = self._grid()
        high = self.at(grid) >= rate_per_s
        flips = np.flatnonzero(high[1:] != high[:-1])
        low_s, high_s = grid[flips], grid[flips + 1]
        before = high[flips]
        for _ in range(_HALVINGS):
            middle = (low_s + high_s) / 2
            same = (self.at(middle) >= rate_per_s) == before
            low_s, high_s = np.where(same, middle, low_s), np.where(same, high_s, middle)
        edges = high_s.tolist()
        if high[0]:
            edges.insert(0, float(grid[0]))
        if len(edges) % 2:
            edges.append(math.inf)
        return list(zip(edges[::2], edges[1::2], strict=True))

    def _grid(self) -> Floats:
        start, end = float(self.edges_s[0]), float(self.edges_s[-1])
        # Just before and at each edge, so that a jump lies between two points; the end itself has no rate.
        points = np.concatenate((np.linspace(start, end, _GRID), self.edges_s, np.nextafter(self.edges_s, -np.inf)))
        return np.unique(points[(points >= start) & (points < end)])


def needed_of_plan(plan: Planned, rates: Sequence[Estimate]) -> tuple[NeededSpan, ...]:
    """The spans that need more than 1, 2, … replicas, for the rates that these can carry."""
    spans = []
    last_s = float(plan.edges_s[-1])
    for number, rate in enumerate(rates, start=1):
        early, late = plan.over(rate.low), plan.over(rate.high)
        for start, end in plan.over(rate.value):
            around = next((span for span in early if span[0] <= start and end <= span[1]), (start, end))
            inside = [span for span in late if start <= span[0] and span[1] <= end]
            spans.append(
                NeededSpan(
                    replicas=number + 1,
                    start=Estimate(value=start, low=around[0], high=min(inside[0][0] if inside else end, last_s)),
                    end=None
                    if end == math.inf
                    else Estimate(value=end, low=inside[-1][1] if inside else start, high=min(around[1], last_s)),
                )
            )
    return tuple(sorted(spans, key=lambda span: (span.start.value, span.replicas)))


def needed_of_arrivals(estimate: Intensity, rates: Sequence[Estimate]) -> tuple[NeededSpan, ...]:
    """The same for an estimated rate."""
    spans = []
    segments = estimate.segments
    for number, rate in enumerate(rates, start=1):
        over = [segment.rate.value >= rate.value for segment in segments]
        first = None
        for place, high in enumerate([*over, False]):
            if high and first is None:
                first = place
            if high or first is None:
                continue
            start = _crossing(estimate, first, rate) if first else Estimate(value=0.0, low=0.0, high=0.0)
            end = _crossing(estimate, place, rate) if place < len(segments) else None
            # Without a segment that is over for certain, there may be no crossing at all.
            if not any(segment.rate.low >= rate.value for segment in segments[first:place]):
                last = segments[place - 1].end_s
                start = Estimate(value=start.value, low=start.low, high=max(start.high, last))
            spans.append(NeededSpan(replicas=number + 1, start=start, end=end))
            first = None
    return tuple(sorted(spans, key=lambda span: (span.start.value, span.replicas)))


def _crossing(estimate: Intensity, place: int, rate: Estimate) -> Estimate:
    """When the rate crosses a limit at the change before segment `place`.

    On a ramp the segments are steps of a slope: the crossing is where the line between their middles has the limit, and
    it lies between these middles.
    """
    before, after, change = estimate.segments[place - 1], estimate.segments[place], estimate.changes[place - 1]
    if not _is_ramp(estimate, place):
        return change
    slope = (after.rate.value - before.rate.value) / (after.middle_s - before.middle_s)

    def at(limit: float) -> float:
        return min(max(before.middle_s + (limit - before.rate.value) / slope, before.middle_s), after.middle_s)

    return Estimate(value=at(rate.value), low=min(before.middle_s, change.low), high=max(after.middle_s, change.high))


def _is_ramp(estimate: Intensity, place: int) -> bool:
    """Whether the change before segment `place` may be a part of a ramp, which does not change at one moment.

    It may if another change before or after it has the same direction, or if the rate also changes within the segments.
    """
    rates = np.array([segment.rate.value for segment in estimate.segments])
    rises = np.diff(rates) > 0
    number = place - 1
    beside = rises[max(number - 1, 0) : number + 2]
    if (beside == rises[number]).sum() > 1:
        return True
    lean = (estimate.segments[number].trend + estimate.segments[place].trend) / math.sqrt(2)
    return lean > LEANS if rises[number] else lean < -LEANS


def needed_replicas(spans: Sequence[NeededSpan], end_s: float) -> Step:
    """The needed replicas over the load, at least one."""
    times = sorted({0.0, *(t for span in spans for t in _ends(span, end_s) if t < end_s)})
    counts = [
        max([1, *(span.replicas for span in spans if span.start.value <= at < _ends(span, end_s)[1])]) for at in times
    ]
    changed = [0, *(i for i, (a, b) in enumerate(pairwise(counts), start=1) if a != b)]
    return Step(np.array(times)[changed], np.array(counts, dtype=np.float64)[changed])


def _ends(span: NeededSpan, end_s: float) -> Interval:
    return span.start.value, end_s if span.end is None else span.end.value
