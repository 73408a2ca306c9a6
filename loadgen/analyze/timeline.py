"""Computes the timeline of a run: all series on a grid of one second, and the marks."""

import math
from collections.abc import Mapping

import numpy as np

from loadgen.analyze.observed import Event, Floats, Observed, Series
from loadgen.analyze.queueing import autoscaler_reads, last_sample, stale_s, true_ratio
from loadgen.analyze.results import Direction, Mark, Timeline
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.stats import rank
from loadgen.dataset.names import EVENT_KINDS, MARK_SYMBOLS, EventKind, SignalName
from loadgen.dataset.tables import MAX_RUN_S

BIN_S = 1.0
BEFORE_S = 60.0
"""Longest time before the load on the timeline: a long start-up would compress the rest."""
MIN_REQUESTS = 20
"""A bin with fewer requests takes its percentiles from neighbouring bins, too."""
_NEIGHBOURS = 2
"""Neighbouring bins on either side that a sparse bin includes: 5 s in all."""


def timeline(run: Observed, fleet: Fleet, by_pod: Mapping[str, Series], ratio: Series) -> Timeline:
    """The run second by second, from at most `BEFORE_S` before the load to the last record.

    Args:
        run: The run.
        fleet: Its replicas.
        by_pod: Ratio of every replica as read.
        ratio: Ratio of the fleet, reconstructed from those of the replicas.
    """
    first = math.floor(max(run.first_s, -BEFORE_S))
    bins = max(math.ceil(min(run.last_s, fleet.end_s, MAX_RUN_S)) - first, 1)
    start = first + np.arange(bins, dtype=np.float64)
    end = start + BIN_S
    requests = run.requests
    ended_s = np.where(np.isnan(requests.ended_s), requests.scheduled_s, requests.ended_s)
    sent = np.sort(requests.sent_s[~np.isnan(requests.sent_s)])
    ended = np.sort(requests.ended_s[~np.isnan(requests.sent_s)])
    # Data that a crash left unwritten is unknown and not zero.
    unknown = start >= run.end_s if run.interrupted else np.zeros(bins, dtype=np.bool_)

    def rate(times: Floats) -> tuple[float, ...]:
        index = np.floor(times[np.isfinite(times)] - first).astype(np.int64)
        counts = np.bincount(index[(index >= 0) & (index < bins)], minlength=bins) / BIN_S
        return tuple(np.where(unknown, np.nan, counts).tolist())

    in_flight = np.searchsorted(sent, end, side="left") - np.searchsorted(ended, end, side="left")
    ttft = _percentiles(requests.scheduled_s, requests.ttft_s, first, bins)
    e2e = _percentiles(requests.scheduled_s, requests.e2e_s, first, bins)
    stale = stale_s(run)
    return Timeline(
        t_s=tuple(start.tolist()),
        bin_s=BIN_S,
        offered_per_s=rate(requests.scheduled_s[requests.due]),
        completed_per_s=rate(ended_s[requests.ok]),
        failed_per_s=rate(ended_s[requests.judged & ~requests.ok]),
        in_flight=tuple(np.where(unknown, np.nan, in_flight).tolist()),
        ttft_p50_s=ttft[0],
        ttft_p95_s=ttft[1],
        e2e_p50_s=e2e[0],
        e2e_p95_s=e2e[1],
        ratio=tuple(last_sample(ratio, end, stale).tolist()),
        ratio_truth=tuple(np.where(_counted(run, end, stale), true_ratio(run, end), np.nan).tolist()),
        ratio_by_pod={pod: tuple(last_sample(series, end, stale).tolist()) for pod, series in by_pod.items() if pod},
        desired=tuple(fleet.desired.at(end).tolist()),
        ready=tuple(fleet.ready.at(end).tolist()),
        serving=tuple(fleet.serving.at(end).tolist()),
        ratio_read=tuple(last_sample(autoscaler_reads(run), end, math.inf).tolist()),
    )


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


def _percentiles(due_s: Floats, values: Floats, first: int, bins: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Median and 95th percentile of the known values, by due time."""
    use = np.isfinite(values)
    due, values = due_s[use], values[use]
    edges = np.searchsorted(due, first + np.arange(-_NEIGHBOURS, bins + _NEIGHBOURS + 1, dtype=np.float64), side="left")
    medians, highs = np.full(bins, np.nan), np.full(bins, np.nan)
    for number in range(bins):
        low, high = edges[number + _NEIGHBOURS], edges[number + _NEIGHBOURS + 1]
        if high - low < MIN_REQUESTS:
            low, high = edges[number], edges[number + 2 * _NEIGHBOURS + 1]
        if high > low:
            ordered = np.sort(values[low:high])
            medians[number] = ordered[rank(high - low, 0.50)]
            highs[number] = ordered[rank(high - low, 0.95)]
    return tuple(medians.tolist()), tuple(highs.tolist())
