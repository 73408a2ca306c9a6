"""Reconstructs scaling events, from the load step to the recovery of latency."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from loadgen.analyze.observed import Event, Observed, Series
from loadgen.analyze.queueing import Capacity
from loadgen.analyze.results import Direction, ScalingEvent, Span
from loadgen.analyze.scaling.recovery import broke_limit, recovered_s, recovery_limit
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.analyze.scaling.trigger import MIN_STEP_S, load_fell, load_rose, longest_wait_s
from loadgen.analyze.steps import runs
from loadgen.dataset.names import EventKind, RescaleReason

EARLY_S = 1.0
"""A replica may seem to be created this much before the decision: Kubernetes stamps whole seconds."""


@dataclass(frozen=True, slots=True)
class _Decision:
    """One rescale, with the times of the decisions before and after it."""

    event: Event
    before: int
    after: int
    previous_s: float
    next_s: float
    next_down_s: float

    @property
    def direction(self) -> Direction:
        return "up" if self.after > self.before else "down"


def scaling_events(run: Observed, fleet: Fleet, ratio: Series, capacity: Capacity) -> tuple[ScalingEvent, ...]:
    """Every change of the desired count that the autoscaler may have made, in order.

    Args:
        run: The run.
        fleet: Its replicas.
        ratio: The fleet's ratio as the autoscaler read it.
        capacity: Capacity of one replica.
    """
    events: list[ScalingEvent] = []
    assigned: set[str] = set()
    for decision in _decisions(run, fleet):
        missing: list[str] = []
        crossed = _crossed(run, decision, ratio, missing)
        trigger = _load_step(run, decision, crossed, capacity, events, missing)
        # A crossing before the previous decision, or before this step, does not belong to this step.
        over = None if crossed is None else max(crossed, decision.previous_s, -math.inf if trigger is None else trigger)
        event = ScalingEvent(
            direction=decision.direction,
            before=decision.before,
            after=decision.after,
            reason=decision.event.message or decision.event.reason or "",
            trigger_s=trigger,
            over_target_s=over,
            decided_s=decision.event.t_s,
            created_s=None,
            scheduled_s=None,
            started_s=None,
            ready_s=None,
            serving_s=None,
            recovered_s=None,
            pods=(),
            complete=False,
            needless=trigger is None and _needless(run, decision, capacity, events),
        )
        complete = _added if decision.direction == "up" else _removed
        event = complete(run, fleet, decision, event, assigned, missing)
        assigned |= set(event.pods)
        events.append(replace(event, complete=not missing, missing=tuple(missing)))
    return tuple(events)


def lag_windows(run: Observed, events: Sequence[ScalingEvent]) -> tuple[Span, ...]:
    """For each scale-up, the span from its first known time to the first response of the last new replica."""
    spans = []
    for event in events:
        if event.direction == "down":
            continue
        start = first_known(event.trigger_s, event.over_target_s, event.decided_s)
        end = first_known(event.serving_s, event.ready_s, run.end_s)
        if start is not None and end is not None and end > start:
            spans.append(Span(name=f"{event.before} → {event.after} replicas", start_s=start, end_s=end))
    return tuple(spans)


def first_known(*values: float | None) -> float | None:
    """The first value that is not None."""
    return next((value for value in values if value is not None), None)


def _decisions(run: Observed, fleet: Fleet) -> list[_Decision]:
    """The decisions of the autoscaler; changes by others are not decisions, but they end the span of the one before."""
    changes: list[tuple[Event, int, int]] = []
    for event in run.of_kind(EventKind.HPA_RESCALE):
        before, after = event.replica_counts or (0, 0)
        if before != after:
            changes.append((_corrected(fleet, event, up=after > before), before, after))
    times = [-math.inf, *(event.t_s for event, _, _ in changes), math.inf]
    downs = [event.t_s for event, before, after in changes if after < before]
    return [
        _Decision(
            event=event,
            before=before,
            after=after,
            previous_s=times[number],
            next_s=times[number + 2],
            next_down_s=next((at for at in downs if at > event.t_s), math.inf),
        )
        for number, (event, before, after) in enumerate(changes)
        if event.reason != RescaleReason.NOT_BY_AUTOSCALER
    ]


def _corrected(fleet: Fleet, event: Event, *, up: bool) -> Event:
    """A rescale that was observed late happened no later than the first replica that it can have created or stopped."""
    late_s = event.data.get("late_s")
    if not isinstance(late_s, int | float):
        return event
    times = (pod.created_s if up else pod.draining_s for pod in fleet.pods.values())
    consequences = [at for at in times if at is not None and event.t_s - late_s <= at <= event.t_s]
    return replace(event, t_s=min(consequences, default=event.t_s))


def _crossed(run: Observed, decision: _Decision, ratio: Series, missing: list[str]) -> float | None:
    """Start of the last span beyond the target that contains the decision or closely precedes it."""
    scaler = run.info.autoscaler
    if scaler is None:
        missing.append("over target: there is no autoscaler with a known metric")
        return None
    known = np.isfinite(ratio.value) & (ratio.t_s <= decision.event.t_s)
    times, values = ratio.t_s[known], ratio.value[known]
    if not len(times):
        missing.append("over target: there is no ratio sample before the decision")
        return None
    up = decision.direction == "up"
    threshold = scaler.target * (1 + scaler.tolerance if up else 1 - scaler.tolerance)
    spans = runs(values > threshold if up else values < threshold)
    if not spans or times[spans[-1][1]] < decision.event.t_s - scaler.sync_period_s:
        missing.append(
            f"over target: the sampled ratio was not {'above' if up else 'below'} {threshold:g} at the decision"
        )
        return None
    return float(times[spans[-1][0]])


def _is_comparable(run: Observed, decision: _Decision, capacity: Capacity) -> bool:
    """Whether load and capacity can be compared: the capacity is known, and the decision came during the load."""
    return capacity.per_s is not None and run.length_s is not None and decision.event.t_s >= 0


def _needless(run: Observed, decision: _Decision, capacity: Capacity, earlier: list[ScalingEvent]) -> bool:
    """Whether the load did not exceed the capacity of the replicas before, until the next scale-down."""
    if decision.direction == "down" or not _is_comparable(run, decision, capacity):
        return False
    assert capacity.per_s is not None
    start = _since_last("down", earlier)
    end = min(decision.next_down_s, run.end_s)
    due = run.requests.scheduled_s[run.requests.due]
    due = due[(due >= start) & (due <= end)]
    return not len(due) or longest_wait_s(due, decision.before * capacity.per_s) < MIN_STEP_S


def _since_last(direction: Direction, earlier: list[ScalingEvent]) -> float:
    """Time of the last decision in this direction; the start of the load without one."""
    return max([event.decided_s for event in earlier if event.direction == direction] + [0.0])


def _load_step(
    run: Observed,
    decision: _Decision,
    crossed_s: float | None,
    capacity: Capacity,
    earlier: list[ScalingEvent],
    missing: list[str],
) -> float | None:
    if capacity.per_s is None:
        missing.append(f"load step: {capacity.why_missing}")
        return None
    decided = decision.event.t_s
    if run.length_s is None or not _is_comparable(run, decision, capacity):
        missing.append("load step: the decision came before the load")
        return None
    start = _since_last("down" if decision.direction == "up" else "up", earlier)
    due = run.requests.scheduled_s[run.requests.due]
    if decision.direction == "down":
        capacity_per_s = decision.after * capacity.per_s
        fell_s = load_fell(due, capacity_per_s, start, decided)
        if fell_s is None:
            missing.append(
                f"load step: at the decision the load still exceeded the capacity of {_replicas(decision.after)} "
                f"({capacity_per_s:.3g}/s)"
            )
        return fell_s
    # A queue proves the step, unless an earlier step caused it. If the target is crossed below saturation, the
    # autoscaler scales before the load exceeds the capacity; then the load until the next scale-down counts.
    is_new = crossed_s is not None and crossed_s > decision.previous_s
    capacity_per_s = decision.before * capacity.per_s
    latest, proven_by, until = decided, decided, "the decision"
    if is_new and crossed_s is not None:
        latest, until = crossed_s, "the next scale-down" if math.isfinite(decision.next_down_s) else "its end"
        proven_by = min(decision.next_down_s, run.length_s)
    rose_s = load_rose(due, capacity_per_s, start, latest, proven_by)
    if rose_s is None:
        missing.append(
            f"load step: until {until} the load did not exceed the capacity of {_replicas(decision.before)} "
            f"({capacity_per_s:.3g}/s)"
        )
    return rose_s


def _added(
    run: Observed, fleet: Fleet, decision: _Decision, event: ScalingEvent, assigned: set[str], missing: list[str]
) -> ScalingEvent:
    """Complete a scale-up with the replicas that were created after this decision and before the next."""
    created = [
        (pod.created_s, name)
        for name, pod in fleet.pods.items()
        if pod.created_s is not None
        and name not in assigned
        and decision.event.t_s - EARLY_S <= pod.created_s < decision.next_s
    ]
    pods = [fleet.pods[name] for _, name in sorted(created)][: decision.after - decision.before]
    expected = decision.after - decision.before
    if len(pods) < expected:
        missing.append(f"created: {len(pods)} of {expected} new replicas were created before the next decision")
    event = replace(
        event,
        pods=tuple(pod.name for pod in pods),
        created_s=_last(pods, "created_s", "created", decision, missing),
        scheduled_s=_last(pods, "scheduled_s", "scheduled", decision, missing),
        started_s=_last(pods, "started_s", "started", decision, missing),
        ready_s=_last(pods, "ready_s", "ready", decision, missing),
        serving_s=_last(pods, "answered_s", "serving", decision, missing),
    )
    if recovery_limit(run.info.limits) is None:
        return event
    since = first_known(event.serving_s, event.ready_s)
    if since is None:
        missing.append("recovered: unknown, because the new replicas did not become ready")
        return event
    recovered = recovered_s(run, since)
    if recovered is None:
        missing.append("recovered: latency did not stay within the SLO for 10 s before the load ended")
        return event
    start = first_known(event.trigger_s, event.over_target_s, event.decided_s)
    assert start is not None  # every event was decided
    return replace(event, recovered_s=recovered, broke_limit=broke_limit(run, start, recovered))


def _removed(
    run: Observed, fleet: Fleet, decision: _Decision, event: ScalingEvent, assigned: set[str], missing: list[str]
) -> ScalingEvent:
    """Complete a scale-down with the replicas that began to terminate after this decision and before the next."""
    terminating = [
        (pod.draining_s, name)
        for name, pod in fleet.pods.items()
        if pod.draining_s is not None
        and decision.event.t_s - EARLY_S <= pod.draining_s < min(decision.next_s, fleet.end_s)
    ]
    expected = decision.before - decision.after
    pods = [fleet.pods[name] for _, name in sorted(terminating)][:expected]
    if len(pods) < expected:
        missing.append(f"terminating: {len(pods)} of {expected} replicas began to terminate before the next decision")
    return replace(
        event,
        pods=tuple(pod.name for pod in pods),
        created_s=_last(pods, "draining_s", "terminating", decision, missing),
        ready_s=_last(pods, "stopped_s", "terminated", decision, missing),
    )


def _last(pods: list[Replica], phase: str, label: str, decision: _Decision, missing: list[str]) -> float | None:
    """When the last of the pods reached a phase; None, with the reason, when one of them did not.

    A timestamp in whole seconds may be before the decision; the event then happened in the rest of that second.
    """
    unobserved = [pod for pod in pods if getattr(pod, phase) is None]
    for pod in unobserved:
        end = first_known(pod.draining_s, pod.stopped_s)
        until = "until the end" if end is None else f"before it was stopped at {end:.1f} s"
        missing.append(f"{label}: {pod.name} was not observed {label} {until}")
    if unobserved or not pods:
        return None
    return max(decision.event.t_s, *(float(getattr(pod, phase)) for pod in pods))


def _replicas(count: int) -> str:
    return f"{count} replica" + ("" if count == 1 else "s")
