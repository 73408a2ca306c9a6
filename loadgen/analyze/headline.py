"""Computes the figures of a report's summary."""

from collections.abc import Sequence

import numpy as np

from loadgen.analyze.bounds import ttft_bounds
from loadgen.analyze.findings.slo import in_spans
from loadgen.analyze.observed import Observed
from loadgen.analyze.results import Headline, ScalingEvent, Span
from loadgen.analyze.scaling.events import first_known
from loadgen.analyze.scaling.recovery import request_limit
from loadgen.analyze.scaling.replicas import Fleet


def headline(run: Observed, fleet: Fleet, scaling: Sequence[ScalingEvent], lag_windows: Sequence[Span]) -> Headline:
    """The worst scale-up, the requests that exceeded the TTFT limit, and the range of ready replicas."""
    number = _worst(scaling)
    parts = _parts(None if number is None else scaling[number])
    limit = request_limit(run.info.limits, "ttft")
    slow = slow_in_lag = None
    judged, unknown = int((run.requests.judged & run.warm).sum()), 0
    if limit is not None:
        ttft = ttft_bounds(run)
        ttft = ttft.where(run.warm[ttft.row])
        exceeded = ttft.broken(limit.limit)
        slow = int(exceeded.sum())
        slow_in_lag = int((exceeded & in_spans(lag_windows, ttft.due_s)).sum())
        unknown = int(ttft.unknown(limit.limit).sum())
        judged = len(ttft) - unknown
    peak, lowest, last = _ready(run, fleet)
    return Headline(
        worst_event=number,
        lag_s=parts[0],
        signal_s=parts[1],
        decide_s=parts[2],
        start_s=parts[3],
        traffic_s=parts[4],
        slow_requests=slow,
        slow_in_lag=slow_in_lag,
        judged_requests=judged,
        ttft_limit_s=None if limit is None else limit.limit,
        peak_replicas=peak,
        lowest_replicas=lowest,
        last_replicas=last,
        unknown_requests=unknown,
        lag_at_least=number is not None and scaling[number].lag_at_least_s is not None,
    )


def _parts(event: ScalingEvent | None) -> tuple[float | None, ...]:
    """The lag of a scale-up and its four parts."""
    if event is None:
        return (None,) * 5
    lag = lag_of(event)
    steps = (
        _between(event.trigger_s, event.over_target_s),
        _between(event.over_target_s, event.decided_s),
        _between(event.decided_s, event.ready_s),
    )
    known = [step for step in steps if step is not None]
    whole = event.lag_at_least_s is None and lag is not None and len(known) == len(steps)
    rest = lag - sum(known) if whole and lag is not None else _between(event.ready_s, event.serving_s)
    return (lag, *steps, rest)


def lag_of(event: ScalingEvent) -> float | None:
    """The lag of a scale-up, at least; None if it is unknown."""
    known = first_known(event.lag_s, event.lag_at_least_s)
    return _between(event.trigger_s, event.serving_s) if known is None else known


def _between(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else end_s - start_s


def _worst(scaling: Sequence[ScalingEvent]) -> int | None:
    """The scale-up with the longest lag; those with a known load step and first response take precedence."""
    ups = [number for number, event in enumerate(scaling) if event.direction == "up"]
    if not ups:
        return None

    def lag(number: int) -> tuple[bool, float]:
        event = scaling[number]
        whole = lag_of(event)
        if whole is not None:
            return True, whole
        start = first_known(event.trigger_s, event.over_target_s, event.decided_s)
        end = first_known(event.serving_s, event.ready_s, event.started_s, event.created_s, event.decided_s)
        return False, _between(start, end) or 0.0

    return max(ups, key=lag)


def _ready(run: Observed, fleet: Fleet) -> tuple[int | None, int | None, int | None]:
    """The most and fewest ready replicas during the load, and the ready replicas at the end of the observation."""
    if not fleet.pods:
        return None, None, None
    last = fleet.ready.at(np.array([np.nextafter(fleet.end_s, -np.inf)]))[0]
    if run.length_s is None:
        return None, None, int(last) if np.isfinite(last) else None
    counts, _ = fleet.ready.within(0.0, run.end_s)
    since = [pod.ready_s for pod in fleet.pods.values() if pod.ready_s is not None]
    after = fleet.ready.within(max(min(since), 0.0), run.end_s)[0] if since and min(since) <= run.end_s else counts
    return (
        int(np.nanmax(counts)) if np.isfinite(counts).any() else None,
        int(np.nanmin(after)) if np.isfinite(after).any() else None,
        int(last) if np.isfinite(last) else None,
    )
