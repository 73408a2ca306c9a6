"""What a colleague would point out although it decides nothing."""

import math
from collections.abc import Sequence

import numpy as np

from loadgen.analyze.findings.balance import at_max, old_backlog
from loadgen.analyze.findings.cluster import cluster_caveats
from loadgen.analyze.findings.incidents import incidents, window_of
from loadgen.analyze.findings.losses import losses
from loadgen.analyze.findings.placement import unplaced
from loadgen.analyze.findings.validity import longest_gap, ready_spans, sample_times, span_text
from loadgen.analyze.findings.warning import warn
from loadgen.analyze.observed import Observed, Series
from loadgen.analyze.queueing import Capacity, held, mean_truth, stale_s, truth
from loadgen.analyze.results import Finding, ScalingEvent
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.dataset.names import EventKind, Outcome, RescaleReason, SignalName

TRUTH_TOLERANCE = 0.25
MAX_SIGNAL_LAG_S = 5
DRAIN_S = 1.0
"""A broken stream is told to the client at most this long after the replica was gone."""


def caveats(
    run: Observed, fleet: Fleet, ratio: Series, scaling: Sequence[ScalingEvent], capacity: Capacity
) -> list[Finding]:
    """All warnings, in the order in which they are worth reading."""
    found: list[Finding] = cluster_caveats(run, ratio)
    if run.info.autoscaler is not None and len(ratio.t_s) and run.length_s:
        found += _never_crossed(run, ratio)
        found += at_max(run, fleet, ratio, capacity)
        found += _untrue(run, fleet, ratio)
        found += _pod_gaps(run, fleet)
    found += old_backlog(run, fleet, scaling)
    found += _needless(scaling, capacity)
    found += _flapping(run, scaling)
    found += _by_others(run)
    found += _blind(run)
    found += _unused(run, fleet)
    found += losses(run, fleet)
    found += unplaced(run, fleet)
    found += _broken_in_drain(run, fleet)
    found += incidents(run)
    return found


def _never_crossed(run: Observed, ratio: Series) -> list[Finding]:
    scaler = run.info.autoscaler
    assert scaler is not None
    edge = scaler.target * (1 + scaler.tolerance)
    during = (ratio.t_s >= 0) & (ratio.t_s <= run.end_s) & np.isfinite(ratio.value)
    if scaler.min_replicas == scaler.max_replicas or not during.any() or ratio.value[during].max() > edge:
        return []
    real = truth(run, ratio.t_s[during])
    real = real[np.isfinite(real)]
    if len(real) and real.max() > edge:
        advice = (
            f"The raw counters of the replicas reached a ratio of {real.max():.2f}, so the signal is blind: "
            f"check model and labels in the recording rule."
        )
    else:
        advice = (
            "The autoscaler had no reason to scale, so this run proves nothing about scaling: raise the peak, "
            "lower the target, or check that the model driven has a queue of its own."
        )
    highest = float(ratio.value[during].max())
    return [warn("signal.never_crossed", "Highest ratio", highest, edge, "", "whole run", advice)]


def _untrue(run: Observed, fleet: Fleet, ratio: Series) -> list[Finding]:
    """The ratio as read against the mean over replicas of the true one, at the lag that suits it best."""
    scaler = run.info.autoscaler
    assert scaler is not None
    at = np.arange(0.0, run.end_s, 1.0)
    read = held(ratio, at, stale_s(run))
    best: tuple[float, int] | None = None
    for lag in range(MAX_SIGNAL_LAG_S + 1):
        real = mean_truth(run, fleet, at - lag)
        both = np.isfinite(read) & np.isfinite(real)
        # Below its target the ratio decides nothing.
        both &= np.maximum(read, real) > scaler.target / 2
        if both.sum() < 10:
            continue
        off = float(np.median(np.abs(read[both] - real[both]) / np.maximum(real[both], scaler.target)))
        if best is None or off < best[0]:
            best = (off, int(both.sum()))
    if best is None or best[0] <= TRUTH_TOLERANCE:
        return []
    return [
        warn(
            "signal.untrue",
            "Ratio as read, off from the raw counters",
            best[0],
            TRUTH_TOLERANCE,
            "ratio",
            "whole run",
            f"In the {best[1]} s in which it mattered, the autoscaler's ratio was off by this share of the true one "
            f"(median): check that the rule divides sums of one model only, and its window.",
        )
    ]


FIRST_SAMPLE_S = 5.0
"""How long a new replica's first sample may take: Prometheus hands discovered targets over every five seconds."""


def _pod_gaps(run: Observed, fleet: Fleet) -> list[Finding]:
    limit = run.info.validity.scrape_gap_s
    load = ready_spans(run, fleet)
    found = []
    for name, pod in fleet.pods.items():
        series = run.signals.get(SignalName.RATIO, {}).get(name, Series(np.empty(0), np.empty(0)))
        spans = [
            (max(start + FIRST_SAMPLE_S, first), min(end, last))
            for start, end in pod.ready
            for first, last in load
            if min(end, last) > max(start + FIRST_SAMPLE_S, first)
        ]
        gap = longest_gap(series.t_s, spans)
        fleet_gap = longest_gap(sample_times(run), spans)
        if gap is None or fleet_gap is None or gap[1] - gap[0] <= limit or fleet_gap[1] - fleet_gap[0] > limit:
            continue
        advice = (
            f"{name} was ready but its ratio was not seen: the autoscaler counted without it; see its scrape in logs/."
        )
        found.append(warn("signal.replica_gap", f"Gap of {name}", gap[1] - gap[0], limit, "s", span_text(*gap), advice))
    return found


def _needless(scaling: Sequence[ScalingEvent], capacity: Capacity) -> list[Finding]:
    """Scale-ups from a number of replicas that the load never outgrew."""
    found = [(number, event) for number, event in enumerate(scaling) if event.needless]
    if not found or capacity.per_s is None:
        return []
    each = "; ".join(
        f"{event.before} → {event.after} at {event.decided_s:.1f} s, with the load not above the "
        f"{event.before * capacity.per_s:.3g}/s that {event.before} can carry"
        for _, event in found
    )
    # A decision on a crossing that an earlier scale-up had answered already is made on what that one left behind.
    left = any(
        number > 0
        and scaling[number - 1].direction == "up"
        and event.over_target_s is not None
        and event.over_target_s <= scaling[number - 1].decided_s
        for number, event in found
    )
    why = (
        "A queue that an old replica still works off lifts the mean over replicas, and a longer rate window only "
        "keeps it up for longer. Give scale-ups a stabilization window of the time that a replica takes to start, or "
        "a second metric that counts requests"
        if left
        else "The ratio crossed its target although the replicas carry this load: raise the target, give scale-ups a "
        "stabilization window, or add a second metric that counts requests"
    )
    times = [event.decided_s for _, event in found]
    window = span_text(times[0], times[-1]) if len(times) > 1 else f"at {times[0]:.1f} s"
    return [
        warn("scaling.needless", "Scale-ups without need", float(len(found)), 0.0, "count", window, f"{each}. {why}.")
    ]


def _flapping(run: Observed, scaling: Sequence[ScalingEvent]) -> list[Finding]:
    """Up, down and up again faster than a scale-down window and a pass, twice over."""
    scaler = run.info.autoscaler
    if scaler is None:
        return []
    limit = 2 * (scaler.scale_down_window_s + scaler.sync_period_s)
    turns = [event for i, event in enumerate(scaling) if i == 0 or event.direction != scaling[i - 1].direction]
    tight = [
        (first, third)
        for first, third in zip(turns, turns[2:], strict=False)
        if first.direction == "up" and third.decided_s - first.decided_s < limit
    ]
    if not tight:
        return []
    first, third = min(tight, key=lambda pair: pair[1].decided_s - pair[0].decided_s)
    advice = (
        f"The fleet went up, down and up again {len(tight)} time{'s' if len(tight) > 1 else ''}: lengthen the "
        f"scale-down window, or add a metric that does not fall to 0 below saturation."
    )
    window = span_text(first.decided_s, third.decided_s)
    taken = third.decided_s - first.decided_s
    return [warn("scaling.flapping", "Up, down and up again", taken, limit, "s", window, advice)]


def _by_others(run: Observed) -> list[Finding]:
    """Changes of the desired count that the autoscaler did not make."""
    events = [
        event
        for event in run.of_kind(EventKind.HPA_RESCALE)
        if event.reason == RescaleReason.NOT_BY_AUTOSCALER and 0 <= event.t_s <= run.end_s
    ]
    if not events:
        return []
    each = "; ".join(f"{e.data.get('before')} → {e.data.get('after')} at {e.t_s:.1f} s" for e in events)
    advice = (
        f"{each}: something other than the autoscaler changed the number of replicas (a person, a rollout, another "
        f"autoscaler). This is not judged as a decision of the autoscaler; keep others from it to judge the autoscaler."
    )
    title = "Changes of the replicas by others"
    return [warn("scaling.by_others", title, float(len(events)), 0.0, "count", window_of(events), advice)]


_NOT_BLIND = {"ValidMetricFound", "ScalingDisabled"}
"""Reasons of its condition ScalingActive: the last is that of a workload that KEDA or a person has scaled to zero."""


def _blind(run: Observed) -> list[Finding]:
    """The time in which the autoscaler could not read its metric: it holds then, whatever the load does."""
    syncs = [(event.t_s, event.reason) for event in run.of_kind(EventKind.HPA_SYNC) if event.reason is not None]
    ends = [*(at for at, _ in syncs[1:]), run.last_s]
    spans = [
        (max(at, 0.0), min(end, run.end_s), reason)
        for (at, reason), end in zip(syncs, ends, strict=False)
        if reason not in _NOT_BLIND and min(end, run.end_s) > max(at, 0.0)
    ]
    if not spans or run.length_s is None:
        return []
    reasons = ", ".join(sorted({reason for *_, reason in spans}))
    advice = (
        f"The autoscaler could not read its metric ({reasons}) and held the number of replicas: see the metrics API, "
        f"its adapter and Prometheus in this time."
    )
    blind_s = sum(end - start for start, end, _ in spans)
    window = span_text(spans[0][0], spans[-1][1])
    return [warn("autoscaler.blind", "Autoscaler without its metric", blind_s, 0.0, "s", window, advice)]


def _unused(run: Observed, fleet: Fleet) -> list[Finding]:
    if SignalName.RAW_SUCCESS not in run.signals:
        return []
    found = []
    for pod in fleet.pods.values():
        if not pod.ready or pod.answered_s is not None or pod.name not in run.signals[SignalName.RAW_SUCCESS]:
            continue
        start, end = max(pod.ready[0][0], 0.0), min(pod.ready[-1][1], run.end_s)
        if end <= start:
            continue
        advice = (
            f"{pod.name} was ready but answered nothing: it came after the load, or connections stick to older "
            f"replicas; balance every request, not every connection."
        )
        found.append(
            warn("replica.unused", "Ready without an answer", end - start, None, "s", span_text(start, end), advice)
        )
    return found


def _broken_in_drain(run: Observed, fleet: Fleet) -> list[Finding]:
    requests = run.requests
    broken = requests.judged & ((requests.outcome == Outcome.CUT_OFF) | (requests.outcome == Outcome.ERROR))
    ended = requests.ended_s[broken]
    inside = np.zeros(len(ended), dtype=np.bool_)
    for pod in fleet.pods.values():
        if pod.draining_s is not None and pod.draining_s < fleet.end_s:
            until = pod.gone_s if pod.gone_s is not None else math.inf
            inside |= (ended >= pod.draining_s) & (ended <= until + DRAIN_S)
    if not inside.any():
        return []
    times = ended[inside]
    return [
        warn(
            "drain.broken",
            "Requests broken while a replica stopped",
            float(len(times)),
            0.0,
            "count",
            span_text(float(times.min()), float(times.max())),
            "Streams did not survive a scale-down: take a replica out of the balancer before it is stopped, and give "
            "it a grace period longer than the longest answer.",
        )
    ]
