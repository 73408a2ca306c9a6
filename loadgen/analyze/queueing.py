"""Queue-to-compute ratio: as the autoscaler read it, as the raw counters tell it, and what a replica can carry."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from loadgen.analyze.observed import Floats, Observed, Series
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.dataset.names import SignalName

DEFAULT_WINDOW_S = 10.0
"""Rate window where no autoscaler names one."""
MAX_STEP_S = 5.0
"""Counters further apart than this say nothing about the moments between."""
MIN_SATURATED_S = 5.0
MIN_SATURATED_COUNT = 20


@dataclass(frozen=True, slots=True)
class Capacity:
    """Requests per second that one replica finishes while others wait for it; why not, when it is unknown."""

    per_s: float | None
    why_missing: str | None = None


def stale_s(run: Observed) -> float:
    """How long a sample speaks for the time after it: three scrapes, at least 3 s."""
    scaler = run.info.autoscaler
    return 3.0 * max(1.0, scaler.scrape_interval_s if scaler else 1.0)


def window_s(run: Observed) -> float:
    """Window of the ratio."""
    scaler = run.info.autoscaler
    return scaler.rate_window_s if scaler else DEFAULT_WINDOW_S


def held(series: Series, t_s: Floats, stale: float) -> Floats:
    """The last sample at or before each time, NaN when it is older than `stale` seconds."""
    if not len(series.t_s):
        return np.full(len(t_s), np.nan)
    index = np.searchsorted(series.t_s, t_s, side="right") - 1
    safe = np.maximum(index, 0)
    fresh = (index >= 0) & (t_s - series.t_s[safe] <= stale)
    return np.where(fresh, series.value[safe], np.nan)


def ratio_by_pod(run: Observed, fleet: Fleet) -> dict[str, Series]:
    """The ratio of every replica, as read, until it begins to stop: the HPA leaves out pods that are being deleted."""
    return _until_draining(run.signals.get(SignalName.RATIO, {}), fleet)


def mean_over_pods(pods: Mapping[str, Series], stale: float) -> Series:
    """Mean over replicas of their last sample, at every time at which any of them was sampled.

    This is what a Pods metric with an AverageValue target gives to the HPA. A sample of the fleet itself (no replica
    named) is taken as it is. Undefined samples (NaN) are left out, never read as 0.
    """
    if "" in pods:
        return Series(pods[""].t_s, pods[""].value)
    times = np.unique(np.concatenate([series.t_s for series in pods.values()])) if pods else np.empty(0)
    total, known = np.zeros(len(times)), np.zeros(len(times))
    for series in pods.values():
        # A replica that ended is not averaged on: its last sample speaks for one scrape, not for `stale`.
        values = held(series, times, stale)
        values[times > (series.t_s[-1] if len(series.t_s) else 0.0)] = np.nan
        there = np.isfinite(values)
        total[there] += values[there]
        known[there] += 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return Series(times, np.where(known > 0, total / known, np.nan))


def resets(run: Observed, pod: str) -> Floats:
    """Samples at which any counter of a replica fell: the server was started again, and all of them began at 0."""
    counters = (
        run.signals.get(name, {}).get(pod)
        for name in (SignalName.RAW_QUEUE_US, SignalName.RAW_COMPUTE_US, SignalName.RAW_SUCCESS)
    )
    falls = [each.t_s[1:][np.diff(each.value) < 0] for each in counters if each is not None]
    return np.unique(np.concatenate(falls)) if falls else np.empty(0)


def increments(series: Series, reset_s: Floats) -> Series:
    """What a counter grew by at each sample but the first; after a reset it grew by its new value, as in `rate()`."""
    if len(series.t_s) < 2:
        return Series(np.empty(0), np.empty(0))
    steps = np.diff(series.value)
    again = (steps < 0) | np.isin(series.t_s[1:], reset_s)
    return Series(series.t_s[1:], np.where(again, series.value[1:], steps))


def windowed(grown: list[Series], t_s: Floats, window: float) -> Floats:
    """Σ of all increments in (t − window, t] for each time."""
    times = np.concatenate([series.t_s for series in grown]) if grown else np.empty(0)
    values = np.concatenate([series.value for series in grown]) if grown else np.empty(0)
    order = np.argsort(times, kind="stable")
    sums = np.concatenate(([0.0], np.cumsum(values[order])))
    until = np.searchsorted(times[order], t_s, side="right")
    since = np.searchsorted(times[order], t_s - window, side="right")
    return sums[until] - sums[since]


def truth(run: Observed, t_s: Floats, pods: list[str] | None = None) -> Floats:
    """Σ Δqueue / Σ Δcompute over the rate window, from raw counters; NaN without compute or without counters.

    Args:
        run: The run.
        t_s: End of each window.
        pods: Replicas to count; all when None.
    """
    queues, computes = run.signals.get(SignalName.RAW_QUEUE_US, {}), run.signals.get(SignalName.RAW_COMPUTE_US, {})
    names = [name for name in queues if name in computes and (pods is None or name in pods)]
    fallen = {name: resets(run, name) for name in names}
    queue = windowed([increments(queues[name], fallen[name]) for name in names], t_s, window_s(run))
    compute = windowed([increments(computes[name], fallen[name]) for name in names], t_s, window_s(run))
    # Sums of microseconds by difference of running sums: below half a microsecond there was no compute.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(compute > 0.5, np.maximum(queue, 0.0) / compute, np.nan)


def mean_truth(run: Observed, fleet: Fleet, t_s: Floats) -> Floats:
    """Mean over replicas of each one's true ratio: comparable to what the autoscaler read."""
    names = list(_until_draining(run.signals.get(SignalName.RAW_COMPUTE_US, {}), fleet))
    total, known = np.zeros(len(t_s)), np.zeros(len(t_s))
    for name in names:
        values = truth(run, t_s, [name])
        pod = fleet.pods.get(name)
        if pod is not None and pod.draining_s is not None:
            values[t_s >= pod.draining_s] = np.nan
        there = np.isfinite(values)
        total[there] += values[there]
        known[there] += 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known > 0, total / known, np.nan)


def capacity(run: Observed) -> Capacity:
    """Σ finished / Σ time over all spans between two samples of a replica at both of which requests waited for it.

    A replica with a queue is never idle, so this is what it can carry, whatever the load was.
    """
    waiting, finished = run.signals.get(SignalName.RAW_PENDING, {}), run.signals.get(SignalName.RAW_SUCCESS, {})
    if not any(name in finished for name in waiting):
        return Capacity(None, "the replicas' own counters were not collected")
    seconds = count = 0.0
    for name in waiting:
        if name not in finished:
            continue
        times = finished[name].t_s
        queued = held(waiting[name], times, MAX_STEP_S) > 0
        steps, grown = np.diff(times), np.diff(finished[name].value)
        use = queued[:-1] & queued[1:] & (grown >= 0) & (steps <= MAX_STEP_S)
        seconds += float(steps[use].sum())
        count += float(grown[use].sum())
    if seconds < MIN_SATURATED_S or count < MIN_SATURATED_COUNT:
        return Capacity(None, "requests hardly ever waited for a replica, so what one can carry is not known")
    return Capacity(count / seconds)


def _until_draining(pods: Mapping[str, Series], fleet: Fleet) -> dict[str, Series]:
    kept: dict[str, Series] = {}
    for name, series in pods.items():
        pod = fleet.pods.get(name)
        if pod is None or pod.draining_s is None:
            kept[name] = series
            continue
        before = series.t_s < pod.draining_s
        if before.any():
            kept[name] = Series(series.t_s[before], series.value[before])
    return kept
