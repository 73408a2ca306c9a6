"""Finds the times of the load without a value of the ratio: no sample, no counters, or nothing completed."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from loadgen.analyze.observed import Bools, Floats, Observed, Series
from loadgen.analyze.queueing import last_sample, stale_s, true_ratio
from loadgen.analyze.results import SignalGap
from loadgen.analyze.results.signal import GapKind
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.steps import Interval, runs
from loadgen.dataset.names import SignalName

_COUNTERS = (SignalName.RAW_COMPUTE_US, SignalName.RAW_SUCCESS)


def signal_gaps(run: Observed, fleet: Fleet, ready: Sequence[Interval], sampled: Floats) -> tuple[SignalGap, ...]:
    """All gaps that are longer than a sample is valid, in order of time.

    Args:
        run: The run.
        fleet: Its replicas.
        ready: Spans of the load in which a replica was ready.
        sampled: Times at which the ratio of any replica was sampled, or known to be undefined.
    """
    found: list[SignalGap] = []

    def add(kind: GapKind, replica: str | None, spans: Sequence[Interval]) -> None:
        found.extend(
            SignalGap(kind=kind, replica=replica, start_s=start, end_s=end, in_flight=_in_flight(run, start, end))
            for start, end in spans
            if end - start > stale_s(run)
        )

    if run.info.autoscaler is not None:
        add("no_ratio", None, _between(sampled, ready))
    for name, pod in fleet.pods.items():
        series = next((pods[name] for each in _COUNTERS if name in (pods := run.signals.get(each, {}))), None)
        if series is not None:
            spans = [(max(start, first), min(end, last)) for start, end in pod.ready for first, last in ready]
            add("no_counters", name, _between(series.t_s, [(start, end) for start, end in spans if end > start]))
    add("undefined", None, _undefined(run, ready))
    return tuple(sorted(found, key=lambda gap: (gap.start_s, gap.end_s)))


def _between(times: Floats, spans: Sequence[Interval]) -> list[Interval]:
    """The intervals between consecutive times inside the spans, and to their ends."""
    gaps: list[Interval] = []
    for start, end in spans:
        gaps += pairwise(np.concatenate(([start], times[(times > start) & (times < end)], [end])).tolist())
    return gaps


def _undefined(run: Observed, ready: Sequence[Interval]) -> list[Interval]:
    """Spans in which the counters of a replica were read and their ratio was undefined."""
    computes = run.signals.get(SignalName.RAW_COMPUTE_US, {})
    times = np.unique(np.concatenate([series.t_s for series in computes.values()])) if computes else np.empty(0)
    spans: list[Interval] = []
    for start, end in ready:
        at = times[(times >= start) & (times <= end)]
        if not len(at):
            continue
        undefined = np.isnan(true_ratio(run, at)) & _counted(computes.values(), at, stale_s(run))
        edges = np.append(at, end)
        spans += [(float(edges[first]), float(edges[last + 1])) for first, last in runs(undefined)]
    return spans


def _counted(counters: Iterable[Series], at: Floats, stale: float) -> Bools:
    counted = np.zeros(len(at), dtype=np.bool_)
    for series in counters:
        counted |= np.isfinite(last_sample(series, at, stale))
    return counted


def _in_flight(run: Observed, start_s: float, end_s: float) -> bool:
    """Whether at least one request was in flight at every time of a span, but for pauses of less than a second."""
    requests = run.requests
    sent = ~np.isnan(requests.sent_s)
    ended = np.where(np.isnan(requests.ended_s[sent]), np.inf, requests.ended_s[sent])
    at = np.arange(start_s, end_s, 1.0)
    begun = np.searchsorted(np.sort(requests.sent_s[sent]), at + 1.0, side="right")
    over = np.searchsorted(np.sort(ended), at, side="left")
    return bool((begun > over).all())
