"""Whether the replicas that are there are used: a fleet at its limit, an old queue beside idle replicas."""

from collections.abc import Sequence

import numpy as np

from loadgen.analyze.findings.validity import span_text
from loadgen.analyze.findings.warning import warn
from loadgen.analyze.observed import Bools, Floats, Observed, Series
from loadgen.analyze.queueing import MAX_STEP_S, Capacity, held, stale_s
from loadgen.analyze.results import Finding, ScalingEvent
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.analyze.steps import Interval, runs
from loadgen.dataset.names import SignalName

LOAD_S = 10.0
"""The load is a mean over this time: counts of one second are chance."""
JOIN_S = 5.0
"""Moments of shortage with less than this between them are one episode."""
BACKLOG_S = 5.0
"""An old queue that is gone within this time is not worth a word."""


def at_max(run: Observed, fleet: Fleet, ratio: Series, capacity: Capacity) -> list[Finding]:
    """The longest time for which all replicas that are allowed were ready, and still too few.

    The ratio alone is no proof: it trails the load, and it is a mean, which the queue of a single replica can lift.
    """
    scaler = run.info.autoscaler
    assert scaler is not None
    at = np.arange(0.0, run.end_s, 1.0)
    ready = fleet.ready.at(at)
    over = held(ratio, at, stale_s(run)) > scaler.target * (1 + scaler.tolerance)
    stuck = over & (ready >= scaler.max_replicas) & (_outgrown(run, at, ready, capacity) | _all_queue(run, fleet, at))
    episodes = _joined([(float(at[first]), float(at[last]) + 1.0) for first, last in runs(stuck)])
    long = [episode for episode in episodes if episode[1] - episode[0] > scaler.sync_period_s]
    if not long:
        return []
    start, end = max(long, key=lambda episode: episode[1] - episode[0])
    many = "" if len(long) == 1 else f" This was the longest of {len(long)} such times."
    return [
        warn(
            "scaling.at_max",
            "Time over target with all replicas ready",
            end - start,
            scaler.sync_period_s,
            "s",
            span_text(start, end),
            f"All {scaler.max_replicas} replicas were ready, and the load was more than they carry or requests waited "
            f"at every one of them: allow more replicas, or the load is more than this fleet is meant for.{many}",
        )
    ]


def old_backlog(run: Observed, fleet: Fleet, scaling: Sequence[ScalingEvent]) -> list[Finding]:
    """The longest time for which replicas of before worked off their queue while new ones had nothing waiting."""
    if SignalName.RAW_PENDING not in run.signals:
        return []
    found = [span for event in scaling if (span := _old_backlog(run, fleet, event)) is not None]
    long = [(span, count) for span, count in found if span[1] - span[0] > BACKLOG_S]
    if not long:
        return []
    (start, end), count = max(long, key=lambda each: each[0][1] - each[0][0])
    many = "" if len(long) == 1 else f" This was the longest of {len(long)} such times."
    who, theirs = ("replica that was", "its queue") if count == 1 else ("replicas that were", "their queues")
    return [
        warn(
            "balance.old_backlog",
            "Old queue beside new replicas without one",
            end - start,
            BACKLOG_S,
            "s",
            span_text(start, end),
            f"When the new replicas were ready, the {who} there before took {end - start:.0f} s to work off {theirs}, "
            f"while new ones had nothing waiting: a gateway cannot move what a replica has queued, so new replicas "
            f"help new requests only. Scale earlier, or let requests wait in the gateway (a limit of requests in "
            f"flight for each replica).{many}",
        )
    ]


def _outgrown(run: Observed, at: Floats, ready: Floats, capacity: Capacity) -> Bools:
    """Whether more was due in the last `LOAD_S` than the ready replicas carry."""
    if capacity.per_s is None:
        return np.zeros(len(at), dtype=np.bool_)
    due = run.requests.scheduled_s[run.requests.due]
    until, since = np.searchsorted(due, at, side="right"), np.searchsorted(due, at - LOAD_S, side="right")
    outgrown: Bools = (until - since) / LOAD_S > ready * capacity.per_s
    return outgrown


def _all_queue(run: Observed, fleet: Fleet, at: Floats) -> Bools:
    """Whether requests waited at every ready replica, by its own ratio where what waits was not collected."""
    scaler = run.info.autoscaler
    assert scaler is not None
    waiting, edge = run.signals.get(SignalName.RAW_PENDING), 0.0
    if waiting is None:
        waiting, edge = run.signals.get(SignalName.RATIO, {}), scaler.target * (1 + scaler.tolerance)
    every, any_ready = np.ones(len(at), dtype=np.bool_), np.zeros(len(at), dtype=np.bool_)
    for pod in fleet.pods.values():
        there = _ready(pod, at)
        queued = held(waiting[pod.name], at, MAX_STEP_S) > edge if pod.name in waiting else np.zeros_like(there)
        every &= queued | ~there
        any_ready |= there
    return every & any_ready


def _ready(pod: Replica, at: Floats) -> Bools:
    there = np.zeros(len(at), dtype=np.bool_)
    for start, end in pod.ready:
        there |= (at >= start) & (at < end)
    return there


def _joined(spans: Sequence[Interval]) -> list[Interval]:
    joined: list[Interval] = []
    for start, end in spans:
        if joined and start - joined[-1][1] < JOIN_S:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _old_backlog(run: Observed, fleet: Fleet, event: ScalingEvent) -> tuple[Interval, int] | None:
    """From ready until nothing waits at the old replicas, or something waits at each new one; and how many are old."""
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
    queued = {name: held(waiting[name], at, MAX_STEP_S) > 0 for name in (*old, *new)}
    uneven = np.any([queued[name] for name in old], axis=0) & ~np.all([queued[name] for name in new], axis=0)
    length = int(np.argmin(np.append(uneven, False)))
    with_queue = sum(bool(queued[name][:length].any()) for name in old)
    return ((float(at[0]), float(at[0]) + length), with_queue) if length else None
