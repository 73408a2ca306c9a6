"""Estimates the offered rate from arrivals: spans of constant rate, and the changes between them.

A change of a rate is only told by a likelihood-ratio scan over Poisson counts. For a split of a span of length w with m
arrivals into w1 with q and w2 with m − q, the logarithm of the likelihood ratio is

    q · ln(q / w1) + (m − q) · ln((m − q) / w2) − m · ln(m / w)

Spans are those of seeded binary segmentation: the whole load, its overlapping halves, quarters and so on. Where the
highest ratio of a span exceeds the threshold, there is a change; the narrowest such span determines it
(narrowest-over-threshold), and then the spans between changes are scanned. The threshold is that of simulations without
a change: of all runs with a constant rate, `FALSE_ALARM_RATIO` show one. It depends on the number of arrivals only:
given it, they are uniformly distributed.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from loadgen.analyze.observed import Floats
from loadgen.analyze.results.demand import Estimate

FALSE_ALARM_RATIO = 0.01
_THRESHOLDS = ((20, 6.6), (50, 8.4), (100, 9.5), (300, 10.9), (1000, 12.4), (10_000, 14.5), (100_000, 15.8))
"""Number of arrivals → the 99th percentile of the highest ratio of constant rates, from 2,000 (20) to 250 (1,000)
simulations; beyond, where one takes long, from the medians of a few, plus the distance at 1,000."""
_DEEPEST = 10
"""Halvings of the load: the shortest spans are 2⁻¹⁰ of it."""
_FEWEST = 12
"""Arrivals of a span in which a change can be told."""
_FEWEST_SIDE = 5
"""Arrivals on each side of a split, or none: one or two right at an edge would look like a high rate."""
_DROP = 3.68
"""The change is where the ratio is within this of its highest: the chance that it is not is 1 − (1 − e⁻ˣ)² = 5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A span of constant rate.

    Attributes:
        start_s: Its start.
        end_s: Its end.
        rate: Requests per second.
        trend: How much its arrivals lean to its end, in standard deviations: of a constant rate, a standard normal.
    """

    start_s: float
    end_s: float
    rate: Estimate
    trend: float

    @property
    def middle_s(self) -> float:
        """Its middle."""
        return (self.start_s + self.end_s) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """The offered rate as constant segments, and when each changes to the next: one fewer."""

    segments: tuple[Segment, ...]
    changes: tuple[Estimate, ...]

    def at(self, t_s: Floats) -> Floats:
        """The rate at these times of the load."""
        starts = np.array([segment.start_s for segment in self.segments])
        rates = np.array([segment.rate.value for segment in self.segments])
        place = np.searchsorted(starts, t_s, side="right") - 1
        return np.asarray(rates[np.clip(place, 0, len(rates) - 1)], dtype=np.float64)

    def highest(self) -> float:
        """The highest rate of a segment."""
        return max(segment.rate.value for segment in self.segments)


def threshold(count: int) -> float:
    """Ratio beyond which a change is told, for a number of arrivals."""
    numbers, values = zip(*_THRESHOLDS, strict=True)
    return float(np.interp(math.log(max(count, 1)), np.log(numbers), values))


def intensity(due_s: Floats, length_s: float) -> Intensity:
    """Estimate the rate of arrivals in [0, length_s).

    Args:
        due_s: When requests arrive, in order.
        length_s: Length of the load, more than 0.
    """
    due = due_s[(due_s >= 0) & (due_s < length_s)]
    cuts = _refined(due, length_s, sorted(_changes(due, length_s)))
    edges = [0.0, *cuts, length_s]
    changes = tuple(_where(due, start, end, cut) for start, cut, end in zip(edges, cuts, edges[2:], strict=False))
    return Intensity(
        segments=tuple(_segment(due, start, end) for start, end in pairwise(edges)),
        changes=changes,
    )


def highest_ratio(due_s: Floats, length_s: float) -> float:
    """The highest ratio of all spans, which the threshold limits."""
    return max((ratio for _, _, ratio, _ in _spans(due_s, length_s)), default=0.0)


def _spans(due: Floats, length_s: float) -> list[tuple[float, float, float, float]]:
    """Start, end, highest ratio and its place, of each seeded span with enough arrivals."""
    found = []
    for depth in range(_DEEPEST + 1):
        width = length_s / 2**depth
        if len(due) / 2**depth < _FEWEST / 4:
            break
        starts = np.arange(2 ** (depth + 1) - 1) * (width / 2)
        first = np.searchsorted(due, starts, side="left")
        last = np.searchsorted(due, starts + width, side="left")
        for start, low, high in zip(starts.tolist(), first.tolist(), last.tolist(), strict=True):
            if high - low >= _FEWEST:
                ratio, at = _split(due[low:high] - start, width)
                found.append((start, start + width, ratio, start + at))
    return found


def _profile(since: Floats, width: float) -> tuple[Floats, Floats]:
    """Ratios of the splits just before and just after each arrival, and where they are, in order."""
    count = len(since)
    left = np.repeat(np.arange(count, dtype=np.float64), 2)
    left[1::2] += 1
    at = np.repeat(since, 2)
    enough = ((left == 0) | (left >= _FEWEST_SIDE)) & ((left == count) | (left <= count - _FEWEST_SIDE))
    use = enough & (at > 0)
    return _ratio(left[use], at[use], float(count), width), at[use]


def _ratio(left: Floats, at: Floats, count: float, width: float) -> Floats:
    right = count - left
    whole = count * math.log(count / width) if count else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        before = np.where(left > 0, left * np.log(left / at), 0.0)
        after = np.where(right > 0, right * np.log(right / (width - at)), 0.0)
    return before + after - whole


def _split(since: Floats, width: float) -> tuple[float, float]:
    ratios, at = _profile(since, width)
    if not len(ratios):
        return 0.0, width / 2
    best = int(np.argmax(ratios))
    return float(ratios[best]), float(at[best])


def _changes(due: Floats, length_s: float) -> list[float]:
    limit = threshold(len(due))
    over = [span for span in _spans(due, length_s) if span[2] > limit]
    changes: list[float] = []
    while over:
        _, _, _, change = min(over, key=lambda span: (span[1] - span[0], -span[2]))
        changes.append(change)
        over = [span for span in over if not span[0] < change < span[1]]
    # The spans between changes are none of the seeded ones: they are scanned as well.
    rest = list(pairwise([0.0, *sorted(changes), length_s]))
    while rest:
        start, end = rest.pop()
        inside = due[(due >= start) & (due < end)] - start
        ratio, at = _split(inside, end - start)
        if ratio > limit:
            changes.append(start + at)
            rest += [(start, start + at), (start + at, end)]
    return changes


def _refined(due: Floats, length_s: float, cuts: list[float]) -> list[float]:
    """Move each change to the best place between its neighbours, and drop it if it is not needed there."""
    limit = threshold(len(due))
    number = 0
    while number < len(cuts):
        start = cuts[number - 1] if number else 0.0
        end = cuts[number + 1] if number + 1 < len(cuts) else length_s
        inside = due[(due >= start) & (due < end)] - start
        ratios, at = _profile(inside, end - start)
        if not len(ratios) or ratios.max() <= limit:
            cuts = cuts[:number] + cuts[number + 1 :]
            continue
        cuts[number] = start + float(at[int(np.argmax(ratios))])
        number += 1
    return cuts


def _where(due: Floats, start: float, end: float, cut: float) -> Estimate:
    """The interval of a change between its neighbours."""
    inside = due[(due >= start) & (due < end)] - start
    ratios, at = _profile(inside, end - start)
    near = np.flatnonzero(ratios >= ratios.max() - _DROP)
    # Between two arrivals the ratio has no highest point, so the interval includes the gaps around its ends.
    low, high = at[max(near[0] - 1, 0)] + start, at[min(near[-1] + 1, len(at) - 1)] + start
    return Estimate(value=cut, low=min(float(low), cut), high=max(float(high), cut))


def _segment(due: Floats, start: float, end: float) -> Segment:
    inside = due[(due >= start) & (due < end)]
    count, width = len(inside), end - start
    lean = float((inside - (start + end) / 2).sum()) / (width * math.sqrt(count / 12)) if count else 0.0
    low, high = _poisson_interval(count)
    return Segment(
        start_s=start,
        end_s=end,
        rate=Estimate(value=count / width, low=low / width, high=high / width),
        trend=lean,
    )


def _poisson_interval(count: int) -> tuple[float, float]:
    """95 % interval of the mean of a Poisson count, by the Wilson–Hilferty approximation of the exact one."""
    z = 1.959964

    def bound(shape: float, sign: float) -> float:
        return shape * (1 - 1 / (9 * shape) + sign * z / (3 * math.sqrt(shape))) ** 3

    return (bound(count, -1.0) if count else 0.0), bound(count + 1, 1.0)
