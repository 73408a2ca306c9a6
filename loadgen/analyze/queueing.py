"""Computes the queue-to-compute ratio, as the autoscaler read it and from raw counters."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from loadgen.analyze.observed import Floats, Observed, Series
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.dataset.names import EventKind, SignalName

DEFAULT_WINDOW_S = 10.0
"""Rate window without an autoscaler."""
MAX_STEP_S = 5.0
"""Samples further apart than this do not describe the time between them."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Sustained throughput of one replica in requests per second, or the reason why it is unknown."""

    per_s: float | None
    why_missing: str | None = None


def stale_s(run: Observed) -> float:
    """How long a sample stays valid: three scrape intervals, at least 3 s."""
    scaler = run.info.autoscaler
    return 3.0 * max(1.0, scaler.scrape_interval_s if scaler else 1.0)


def window_s(run: Observed) -> float:
    """Rate window of the ratio."""
    scaler = run.info.autoscaler
    return scaler.rate_window_s if scaler else DEFAULT_WINDOW_S


def last_sample(series: Series, t_s: Floats, stale: float) -> Floats:
    """The last sample at or before each time, NaN when it is older than `stale` seconds."""
    if not len(series.t_s):
        return np.full(len(t_s), np.nan)
    index = np.searchsorted(series.t_s, t_s, side="right") - 1
    safe = np.maximum(index, 0)
    fresh = (index >= 0) & (t_s - series.t_s[safe] <= stale)
    return np.where(fresh, series.value[safe], np.nan)


def ratio_by_pod(run: Observed, fleet: Fleet) -> dict[str, Series]:
    """The ratio of every replica until it terminates: the HPA ignores pods that are being deleted."""
    return _until_draining(run.signals.get(SignalName.RATIO, {}), fleet)


def mean_over_pods(pods: Mapping[str, Series], stale: float) -> Series:
    """Mean over replicas of their last sample, at every time at which any of them was sampled.

    The HPA computes the same for a Pods metric with an AverageValue target. Samples of the whole fleet (without a
    replica) are used as they are. Undefined samples (NaN) are skipped and never count as 0.
    """
    if "" in pods:
        return Series(pods[""].t_s, pods[""].value)
    times = np.unique(np.concatenate([series.t_s for series in pods.values()])) if pods else np.empty(0)
    total, known = np.zeros(len(times)), np.zeros(len(times))
    for series in pods.values():
        # The last sample of a replica that stopped is valid for one scrape only, and not for `stale`.
        values = last_sample(series, times, stale)
        values[times > (series.t_s[-1] if len(series.t_s) else 0.0)] = np.nan
        finite = np.isfinite(values)
        total[finite] += values[finite]
        known[finite] += 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return Series(times, np.where(known > 0, total / known, np.nan))


def resets(run: Observed, pod: str) -> Floats:
    """Times at which any counter of a replica fell: the server restarted, and all its counters began at 0."""
    counters = (
        run.signals.get(name, {}).get(pod)
        for name in (SignalName.RAW_QUEUE_US, SignalName.RAW_COMPUTE_US, SignalName.RAW_SUCCESS)
    )
    falls = [each.t_s[1:][np.diff(each.value) < 0] for each in counters if each is not None]
    return np.unique(np.concatenate(falls)) if falls else np.empty(0)


def increments(series: Series, reset_s: Floats) -> Series:
    """The increments of a counter at each sample but the first; after a reset, the new value, as in `rate()`."""
    if len(series.t_s) < 2:
        return Series(np.empty(0), np.empty(0))
    steps = np.diff(series.value)
    reset = (steps < 0) | np.isin(series.t_s[1:], reset_s)
    return Series(series.t_s[1:], np.where(reset, series.value[1:], steps))


def windowed(growth: list[Series], t_s: Floats, window: float) -> Floats:
    """The sum of all increments in (t − window, t] for each time."""
    times = np.concatenate([series.t_s for series in growth]) if growth else np.empty(0)
    values = np.concatenate([series.value for series in growth]) if growth else np.empty(0)
    order = np.argsort(times, kind="stable")
    sums = np.concatenate(([0.0], np.cumsum(values[order])))
    until = np.searchsorted(times[order], t_s, side="right")
    since = np.searchsorted(times[order], t_s - window, side="right")
    return sums[until] - sums[since]


def true_ratio(run: Observed, t_s: Floats, pods: list[str] | None = None) -> Floats:
    """The true ratio Σ Δqueue / Σ Δcompute over the rate window; NaN without compute or counters.

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
    # The sums are differences of running sums in microseconds: below half a microsecond there was no compute.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(compute > 0.5, np.maximum(queue, 0.0) / compute, np.nan)


def true_ratios(run: Observed, fleet: Fleet, t_s: Floats) -> dict[str, Floats]:
    """The true ratio of every replica at each time, as a rule that divides two rates would record it.

    It is 0 for a replica that completed nothing in the window, and NaN after its termination began and where its
    counters were not read. Before their first sample nothing was completed.
    """
    ratios = {}
    for name, series in run.signals.get(SignalName.RAW_COMPUTE_US, {}).items():
        if not len(series.t_s):
            continue
        values = np.where(t_s < series.t_s[0], 0.0, np.nan)
        sampled = (t_s >= series.t_s[0]) & (t_s <= series.t_s[-1] + stale_s(run))
        counted = np.isfinite(last_sample(series, t_s[sampled], stale_s(run)))
        ratio = true_ratio(run, t_s[sampled], [name])
        values[sampled] = np.where(counted & np.isnan(ratio), 0.0, ratio)
        pod = fleet.pods.get(name)
        if pod is not None and pod.draining_s is not None:
            values[t_s >= pod.draining_s] = np.nan
        ratios[name] = values
    return ratios


def mean_true_ratio(run: Observed, fleet: Fleet, t_s: Floats) -> Floats:
    """The mean of the true ratios of the replicas that completed a request in the window."""
    names = list(_until_draining(run.signals.get(SignalName.RAW_COMPUTE_US, {}), fleet))
    total, known = np.zeros(len(t_s)), np.zeros(len(t_s))
    for name in names:
        values = true_ratio(run, t_s, [name])
        pod = fleet.pods.get(name)
        if pod is not None and pod.draining_s is not None:
            values[t_s >= pod.draining_s] = np.nan
        finite = np.isfinite(values)
        total[finite] += values[finite]
        known[finite] += 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known > 0, total / known, np.nan)


def autoscaler_reads(run: Observed) -> Series:
    """The value that the autoscaler read at each of its evaluations, as it recorded it; NaN where it could not read it.

    Empty where its evaluations are not recorded with their values.
    """
    reads = [
        (event.t_s, value / 1000 if isinstance(value, int | float) and not isinstance(value, bool) else np.nan)
        for event in run.of_kind(EventKind.HPA_SYNC)
        for value in (event.data.get("metric_milli"),)
    ]
    if not any(np.isfinite(value) for _, value in reads):
        return Series(np.empty(0), np.empty(0))
    times = np.array([at for at, _ in reads])
    last_of_time = np.append(np.diff(times) > 0, True)
    return Series(times[last_of_time], np.array([value for _, value in reads])[last_of_time])


def _until_draining(pods: Mapping[str, Series], fleet: Fleet) -> dict[str, Series]:
    active: dict[str, Series] = {}
    for name, series in pods.items():
        pod = fleet.pods.get(name)
        if pod is None or pod.draining_s is None:
            active[name] = series
            continue
        before = series.t_s < pod.draining_s
        if before.any():
            active[name] = Series(series.t_s[before], series.value[before])
    return active
