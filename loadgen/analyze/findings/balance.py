"""Findings about the use of the replicas: overload at the maximum count, and a backlog beside idle replicas."""

from collections.abc import Sequence

import numpy as np

from loadgen.analyze.balance.served import served
from loadgen.analyze.findings import codes
from loadgen.analyze.observed import Bools, Floats, Observed, Series
from loadgen.analyze.queueing import MAX_STEP_S, Capacity, last_sample, stale_s
from loadgen.analyze.results import Finding, ScalingEvent, Window
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.analyze.steps import Interval, runs
from loadgen.base.display import rounded_duration
from loadgen.dataset.names import SignalName

LOAD_S = 10.0
"""The load is averaged over this time."""
MERGE_S = 5.0
"""Overloads with shorter pauses between them are one episode."""
BACKLOG_S = 5.0
"""A shorter backlog is not reported."""


def overload_at_max(run: Observed, fleet: Fleet, ratio: Series, capacity: Capacity) -> list[Finding]:
    """The longest time in which all allowed replicas were ready and overloaded.

    The ratio alone does not prove an overload: it trails the load, and it is a mean that one long queue can raise.
    """
    scaler = run.info.autoscaler
    assert scaler is not None
    at = np.arange(0.0, run.end_s, 1.0)
    ready = fleet.ready.at(at)
    over = last_sample(ratio, at, stale_s(run)) > scaler.target * (1 + scaler.tolerance)
    overloaded = (
        over
        & (ready >= scaler.max_replicas)
        & (_exceeds_capacity(run, at, ready, capacity) | _all_queue(run, fleet, at))
    )
    episodes = _merged([(float(at[first]), float(at[last]) + 1.0) for first, last in runs(overloaded)])
    long = [episode for episode in episodes if episode[1] - episode[0] > scaler.sync_period_s]
    if not long:
        return []
    start, end = max(long, key=lambda episode: episode[1] - episode[0])
    longest_of = "" if len(long) == 1 else f" This was the longest of {len(long)} such periods."
    return [
        codes.SCALING_AT_MAX.finding(
            measured=end - start,
            limit=scaler.sync_period_s,
            window=Window(start, end),
            advice=f"All {scaler.max_replicas} replicas were ready, and the load exceeded their capacity or requests "
            f"queued on every one of them: raise maxReplicas, or lower the load.{longest_of}",
        )
    ]


def old_backlog(run: Observed, fleet: Fleet, scaling: Sequence[ScalingEvent]) -> list[Finding]:
    """The longest time in which old replicas worked off their queues while a new one had no queue."""
    if SignalName.RAW_PENDING not in run.signals:
        return []
    backlogs = [span for event in scaling if (span := _old_backlog(run, fleet, event)) is not None]
    long = [(span, count) for span, count in backlogs if span[1] - span[0] > BACKLOG_S]
    if not long:
        return []
    (start, end), count = max(long, key=lambda each: each[0][1] - each[0][0])
    longest_of = "" if len(long) == 1 else f" This was the longest of {len(long)} such periods."
    old, queues = ("the old replica", "its queue") if count == 1 else ("the old replicas", "their queues")
    return [
        codes.OLD_BACKLOG.finding(
            measured=end - start,
            limit=BACKLOG_S,
            window=Window(start, end),
            advice=f"After the new replicas became ready, {old} took {rounded_duration(end - start)} to work off "
            f"{queues}, while a new one had no queue: a gateway cannot move requests that a replica has queued, so new "
            f"replicas serve only new requests. Scale earlier, or queue requests in the gateway (limit the requests in "
            f"flight per replica).{longest_of}",
        )
    ]


def unused_replicas(run: Observed, fleet: Fleet) -> list[Finding]:
    """Replicas that were ready and answered no request, by the requests if they name their replica, or by counters."""
    counted = run.signals.get(SignalName.RAW_SUCCESS, {})
    by = served(run, fleet)
    answered = {by.names[number] for number in np.unique(by.number[by.number >= 0])} if by.by_name else None
    findings = []
    for name, pod in fleet.pods.items():
        used = name in answered if answered is not None else pod.answered_s is not None or name not in counted
        if not pod.ready or used:
            continue
        start, end = max(pod.ready[0][0], 0.0), min(pod.ready[-1][1], run.end_s)
        if end <= start:
            continue
        advice = (
            f"{pod.name} was ready but answered no request, so the fleet was scaled but not used: it became ready "
            f"after the load, or clients keep their connections to older replicas; balance requests and not "
            f"connections."
        )
        window = Window(start, end)
        findings.append(codes.REPLICA_UNUSED.finding(measured=end - start, limit=None, window=window, advice=advice))
    return findings


def _exceeds_capacity(run: Observed, at: Floats, ready: Floats, capacity: Capacity) -> Bools:
    """Whether the load of the last `LOAD_S` exceeded the capacity of the ready replicas."""
    if capacity.per_s is None:
        return np.zeros(len(at), dtype=np.bool_)
    due = run.requests.scheduled_s[run.requests.due]
    until, since = np.searchsorted(due, at, side="right"), np.searchsorted(due, at - LOAD_S, side="right")
    exceeded: Bools = (until - since) / LOAD_S > ready * capacity.per_s
    return exceeded


def _all_queue(run: Observed, fleet: Fleet, at: Floats) -> Bools:
    """Whether requests queued on every ready replica, by its ratio where queues were not collected."""
    scaler = run.info.autoscaler
    assert scaler is not None
    waiting, threshold = run.signals.get(SignalName.RAW_PENDING), 0.0
    if waiting is None:
        waiting, threshold = run.signals.get(SignalName.RATIO, {}), scaler.target * (1 + scaler.tolerance)
    all_queue, any_ready = np.ones(len(at), dtype=np.bool_), np.zeros(len(at), dtype=np.bool_)
    for pod in fleet.pods.values():
        ready = _ready(pod, at)
        queued = (
            last_sample(waiting[pod.name], at, MAX_STEP_S) > threshold if pod.name in waiting else np.zeros_like(ready)
        )
        all_queue &= queued | ~ready
        any_ready |= ready
    return all_queue & any_ready


def _ready(pod: Replica, at: Floats) -> Bools:
    ready = np.zeros(len(at), dtype=np.bool_)
    for start, end in pod.ready:
        ready |= (at >= start) & (at < end)
    return ready


def _merged(spans: Sequence[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for start, end in spans:
        if merged and start - merged[-1][1] < MERGE_S:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def _old_backlog(run: Observed, fleet: Fleet, event: ScalingEvent) -> tuple[Interval, int] | None:
    """The span of the backlog after one scale-up, and the number of old replicas with a queue.

    It lasts from ready until the old replicas have no queue, or every new one has.
    """
    if event.direction == "down" or event.ready_s is None:
        return None
    waiting = run.signals[SignalName.RAW_PENDING]
    at = np.arange(event.ready_s, run.end_s, 1.0)
    new = [name for name in event.pods if name in waiting]
    old = [
        name
        for name, pod in fleet.pods.items()
        if name in waiting and name not in event.pods and len(at) and _ready(pod, at[:1])[0]
    ]
    if not new or not old:
        return None
    queued = {name: last_sample(waiting[name], at, MAX_STEP_S) > 0 for name in (*old, *new)}
    uneven = np.any([queued[name] for name in old], axis=0) & ~np.all([queued[name] for name in new], axis=0)
    length = int(np.argmin(np.append(uneven, False)))
    with_queue = sum(bool(queued[name][:length].any()) for name in old)
    return ((float(at[0]), float(at[0]) + length), with_queue) if length else None
