"""Computes the timeline of a run: all series on a grid of one second (of more in a very long run), and the marks."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from loadgen.analyze.bounds import Bounds, e2e_bounds, ttft_bounds
from loadgen.analyze.observed import Event, Floats, Observed, Series
from loadgen.analyze.queueing import autoscaler_reads, last_sample, stale_s, true_ratio
from loadgen.analyze.results import Direction, Mark, Timeline
from loadgen.analyze.scaling.replicas import UNKNOWN, Fleet
from loadgen.analyze.stats import rank
from loadgen.analyze.steps import Step
from loadgen.dataset.names import EVENT_KINDS, MARK_SYMBOLS, EventKind, SignalName
from loadgen.dataset.tables import MAX_RUN_S

BIN_S = 1.0
MAX_BINS = 86_400
"""A day by the second; a longer run has wider bins."""
MAX_VALUES = 2_000_000
"""Most values of all series: hundreds of replicas for many hours have wider bins, so that memory is bounded."""
_FLEET_SERIES = 25
"""Series of the timeline besides the ratio of each replica."""
BEFORE_S = 60.0
"""Longest time before the load on the timeline: a long start-up would compress the rest."""
MIN_REQUESTS = 20
"""A bin with fewer requests takes its percentiles from neighbouring bins, too."""
_NEIGHBOURS = 2
"""Neighbouring bins on either side that a sparse bin includes: 5 s in all where a bin is one second."""


def timeline(
    run: Observed, fleet: Fleet, by_pod: Mapping[str, Series], ratio: Series, needed: Step = UNKNOWN
) -> Timeline:
    """The run bin by bin, usually of one second, from at most `BEFORE_S` before the load to the last record.

    Args:
        run: The run.
        fleet: Its replicas.
        by_pod: Ratio of every replica as read.
        ratio: Ratio of the fleet, reconstructed from those of the replicas.
        needed: Replicas that the load needed.
    """
    first = math.floor(max(run.first_s, -BEFORE_S))
    length_s = max(math.ceil(min(run.last_s, fleet.end_s, MAX_RUN_S)) - first, 1)
    width_s = bin_width_s(length_s, _FLEET_SERIES + len(by_pod))
    bins = math.ceil(length_s / width_s)
    start = first + width_s * np.arange(bins, dtype=np.float64)
    end = start + width_s
    requests = run.requests
    ended_s = np.where(np.isnan(requests.ended_s), requests.scheduled_s, requests.ended_s)
    sent = np.sort(requests.sent_s[~np.isnan(requests.sent_s)])
    ended = np.sort(requests.ended_s[~np.isnan(requests.sent_s)])
    # Data that a crash left unwritten is unknown and not zero.
    unknown = start >= run.end_s if run.interrupted else np.zeros(bins, dtype=np.bool_)

    def rate(times: Floats) -> tuple[float, ...]:
        index = np.floor((times[np.isfinite(times)] - first) / width_s).astype(np.int64)
        counts = np.bincount(index[(index >= 0) & (index < bins)], minlength=bins) / width_s
        return tuple(np.where(unknown, np.nan, counts).tolist())

    in_flight = np.searchsorted(sent, end, side="left") - np.searchsorted(ended, end, side="left")
    ttft = _bounded_percentiles(requests.scheduled_s, requests.ttft_s, ttft_bounds(run), start, width_s)
    e2e = _bounded_percentiles(requests.scheduled_s, requests.e2e_s, e2e_bounds(run), start, width_s)
    stale = stale_s(run)
    return Timeline(
        t_s=tuple(start.tolist()),
        bin_s=width_s,
        offered_per_s=rate(requests.scheduled_s[requests.due]),
        completed_per_s=rate(ended_s[requests.ok]),
        failed_per_s=rate(ended_s[requests.judged & ~requests.ok]),
        in_flight=tuple(np.where(unknown, np.nan, in_flight).tolist()),
        ttft_p50_s=ttft.known[0],
        ttft_p95_s=ttft.known[1],
        e2e_p50_s=e2e.known[0],
        e2e_p95_s=e2e.known[1],
        ttft_p50_lower_s=ttft.lower[0],
        ttft_p50_upper_s=ttft.upper[0],
        ttft_p95_lower_s=ttft.lower[1],
        ttft_p95_upper_s=ttft.upper[1],
        e2e_p50_lower_s=e2e.lower[0],
        e2e_p50_upper_s=e2e.upper[0],
        e2e_p95_lower_s=e2e.lower[1],
        e2e_p95_upper_s=e2e.upper[1],
        ratio=tuple(last_sample(ratio, end, stale).tolist()),
        ratio_truth=tuple(np.where(_counted(run, end, stale), true_ratio(run, end), np.nan).tolist()),
        ratio_by_pod={pod: tuple(last_sample(series, end, stale).tolist()) for pod, series in by_pod.items() if pod},
        desired=tuple(fleet.desired.at(end).tolist()),
        ready=tuple(fleet.ready.at(end).tolist()),
        serving=tuple(fleet.serving.at(end).tolist()),
        needed=tuple(np.where(end <= run.end_s, needed.at(end), np.nan).tolist()),
        ratio_read=tuple(last_sample(autoscaler_reads(run), end, math.inf).tolist()),
    )


def ttft_p95_of_bins(run: Observed, line: Timeline) -> Floats:
    """TTFT p95 of the requests that were due in each bin alone, NaN without any; neighbours would blur delays."""
    use = np.isfinite(run.requests.ttft_s)
    start = np.asarray(line.t_s)
    _, highs = _percentiles(run.requests.scheduled_s[use], run.requests.ttft_s[use], start, line.bin_s, least=1)
    return np.asarray(highs)


def bin_width_s(length_s: float, series: int) -> float:
    """The width of a bin: a second, or as many seconds as keep this number of series within the bounds."""
    most = max(min(MAX_BINS, MAX_VALUES // series), 1)
    return max(BIN_S, float(math.ceil(length_s / most)))


def marks(run: Observed, fleet: Fleet) -> tuple[Mark, ...]:
    """The events that the figures draw, in order."""
    drawn: list[Mark] = []
    gaps: dict[tuple[str | None, str], float] = {}
    for event in run.events:
        label = _label(event)
        if event.kind == EventKind.COLLECT_GAP and label is not None:
            # Several watches of one API break together: they are one mark.
            until_s = gaps.get((event.pod, label), -math.inf)
            gaps[event.pod, label] = max(event.until_s, until_s)
            label = None if event.t_s <= until_s else label
        if label is not None and event.t_s <= fleet.end_s:
            drawn.append(Mark(t_s=event.t_s, kind=event.kind, label=label, pod=event.pod, direction=_direction(event)))
    return tuple(drawn)


def _label(event: Event) -> str | None:
    """The label of an event's mark; None for kinds that the figures do not draw."""
    data = event.data
    if event.kind == EventKind.HPA_RESCALE:
        return f"{data.get('before', '?')} → {data.get('after', '?')} replicas"
    if event.kind == EventKind.PART_DIED:
        return f"{data.get('part', 'a process')} exited"
    if event.kind == EventKind.NODE_LOST:
        return f"node {data.get('node', '?')} lost"
    if event.kind == EventKind.NODE_BACK:
        return f"node {data.get('node', '?')} back"
    if event.kind == EventKind.COLLECT_GAP:
        return f"no data from {data.get('source', 'a source')}"
    return EVENT_KINDS[event.kind].label if event.kind in MARK_SYMBOLS else None


def _direction(event: Event) -> Direction | None:
    """The direction of a rescale; None for any other event, and where the counts are unknown."""
    counts = event.replica_counts
    return None if counts is None else "up" if counts[1] > counts[0] else "down"


def _counted(run: Observed, t_s: Floats, stale: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether the counters of any replica were read shortly before."""
    counted = np.zeros(len(t_s), dtype=np.bool_)
    for series in run.signals.get(SignalName.RAW_COMPUTE_US, {}).values():
        counted |= np.isfinite(last_sample(series, t_s, stale))
    return counted


_Pair = tuple[tuple[float, ...], tuple[float, ...]]
"""Median and 95th percentile in each bin."""


class _Bounded(NamedTuple):
    """Percentiles of the values that are known, and their bounds over all requests that were due."""

    known: _Pair
    lower: _Pair
    upper: _Pair


def _bounded_percentiles(due_s: Floats, values: Floats, bounds: Bounds, start_s: Floats, width_s: float) -> _Bounded:
    use = np.isfinite(values)
    known = _percentiles(due_s[use], values[use], start_s, width_s)
    if np.isfinite(bounds.upper_s).all():
        return _Bounded(known, known, known)
    lower, upper = (_percentiles(bounds.due_s, each, start_s, width_s) for each in (bounds.lower_s, bounds.upper_s))
    return _Bounded(known, lower, upper)


def _percentiles(due: Floats, values: Floats, start_s: Floats, width_s: float, least: int = MIN_REQUESTS) -> _Pair:
    """Median and 95th percentile of the values by due time, in bins that start at these times.

    Args:
        due: Due times, in order.
        values: The value of each.
        start_s: Starts of the bins.
        width_s: Their width.
        least: A bin with fewer values takes those of its neighbours, too; with 1, one without any has none.
    """
    bins = len(start_s)
    numbers = np.arange(-_NEIGHBOURS, bins + _NEIGHBOURS + 1, dtype=np.float64)
    edges = np.searchsorted(due, start_s[0] + width_s * numbers, side="left")
    medians, highs = np.full(bins, np.nan), np.full(bins, np.nan)
    for number in range(bins):
        low, high = edges[number + _NEIGHBOURS], edges[number + _NEIGHBOURS + 1]
        if high - low < least and least > 1:
            low, high = edges[number], edges[number + 2 * _NEIGHBOURS + 1]
        if high > low:
            ordered = np.sort(values[low:high])
            medians[number] = ordered[rank(high - low, 0.50)]
            highs[number] = ordered[rank(high - low, 0.95)]
    return tuple(medians.tolist()), tuple(highs.tolist())
