"""Reconstructs scaling events, from the need of the load to the recovery of latency."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from loadgen.analyze.demand.lag import lags, worst
from loadgen.analyze.demand.need import Need
from loadgen.analyze.demand.served import supply
from loadgen.analyze.observed import Event, Observed, Series
from loadgen.analyze.results import Direction, ScalingEvent, Span
from loadgen.analyze.results.demand import LevelLag
from loadgen.analyze.scaling.recovery import broke_limit, recovered_s, recovery_limit
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.analyze.steps import runs
from loadgen.base.display import clock
from loadgen.dataset.names import EventKind, RescaleReason

EARLY_S = 1.0
"""A replica may seem to be created this much before the decision: Kubernetes stamps whole seconds."""


@dataclass(frozen=True, slots=True)
class _Decision:
    """One rescale, with the times of the decisions before and after it, and of the one that took back a scale-up."""

    event: Event
    before: int
    after: int
    previous_s: float
    next_s: float
    taken_back_s: float

    @property
    def direction(self) -> Direction:
        return "up" if self.after > self.before else "down"


def scaling_events(run: Observed, fleet: Fleet, ratio: Series, needed: Need | str) -> tuple[ScalingEvent, ...]:
    """Every change of the desired count that the autoscaler may have made, in order.

    Args:
        run: The run.
        fleet: Its replicas.
        ratio: The fleet's ratio as the autoscaler read it.
        needed: The replicas that the load needed, or why they are unknown.
    """
    found = () if isinstance(needed, str) else lags(needed.spans, supply(fleet), run.end_s)
    events: list[ScalingEvent] = []
    assigned: set[str] = set()
    for decision in _decisions(run, fleet):
        missing: list[str] = []
        crossed = _crossed(run, decision, ratio, missing)
        # A crossing before the previous decision does not belong to this step.
        over = None if crossed is None else max(crossed, decision.previous_s)
        trigger = lag = at_least = None
        if decision.direction == "down":
            trigger = _fell(run, decision, needed, missing)
        elif (answered := _answered(run, decision, needed, found, missing)) is not None:
            trigger = answered.needed.value
            lag, at_least = None if answered.lag is None else answered.lag.value, answered.lag_at_least_s
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
            needless=decision.direction == "up" and trigger is None and _is_comparable(run, decision, needed),
            lag_s=lag,
            lag_at_least_s=at_least,
        )
        complete = _added if decision.direction == "up" else _removed
        event = complete(run, fleet, decision, event, assigned, missing)
        assigned |= set(event.pods)
        events.append(replace(event, complete=not missing, missing=tuple(missing)))
    return tuple(events)


def lag_windows(run: Observed, events: Sequence[ScalingEvent]) -> tuple[Span, ...]:
    """For each scale-up, the span from its first known time to the first response of the last new replica.

    One that served before it was needed has none.
    """
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
    downs = [(event.t_s, after) for event, before, after in changes if after < before]
    return [
        _Decision(
            event=event,
            before=before,
            after=after,
            previous_s=times[number],
            next_s=times[number + 2],
            taken_back_s=next((at for at, left in downs if at > event.t_s and left <= before), math.inf),
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
        missing.append("over target: the run has no autoscaler whose metric is known")
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


def _is_comparable(run: Observed, decision: _Decision, needed: Need | str) -> bool:
    """Whether the need is known, and the decision came during the load."""
    return not isinstance(needed, str) and run.length_s is not None and decision.event.t_s >= 0


def _answered(
    run: Observed, decision: _Decision, needed: Need | str, found: Sequence[LevelLag], missing: list[str]
) -> LevelLag | None:
    """The worst lag of the needs that a scale-up answered; None, with the reason, if it answered none."""
    if isinstance(needed, str):
        missing.append(f"load step: {needed}")
        return None
    if not _is_comparable(run, decision, needed):
        missing.append("load step: the decision came before the load")
        return None
    gone_s = min(decision.taken_back_s, run.end_s)
    levels = range(decision.before + 1, decision.after + 1)
    lag = worst(found, needed.spans, levels, decision.event.t_s, gone_s)
    if lag is None:
        until = "the next scale-down" if decision.taken_back_s < run.end_s else "its end"
        missing.append(
            f"load step: from the decision until {until} the load did not exceed the capacity of "
            f"{_replicas(decision.before)} ({_rate(needed, decision.before)})"
        )
    return lag


def _fell(run: Observed, decision: _Decision, needed: Need | str, missing: list[str]) -> float | None:
    """When the need last fell to the replicas after a scale-down; None, with the reason, if it did not."""
    if isinstance(needed, str):
        missing.append(f"load step: {needed}")
        return None
    if not _is_comparable(run, decision, needed):
        missing.append("load step: the decision came before the load")
        return None
    spans = [span for span in needed.spans if span.replicas == decision.after + 1]
    begun = [span for span in spans if span.start.value <= decision.event.t_s]
    capacity = f"the capacity of {_replicas(decision.after)} ({_rate(needed, decision.after)})"
    if not begun:
        missing.append(f"load step: the load never exceeded {capacity} before")
        return None
    end = begun[-1].end
    if end is None or end.value > decision.event.t_s:
        missing.append(f"load step: at the decision the load still exceeded {capacity}")
        return None
    return end.value


def _rate(needed: Need, replicas: int) -> str:
    """The rate that a number of replicas carries; of more than the load needed, that of the most it needed."""
    if replicas < 1:
        return "0/s"
    more = replicas > len(needed.rates)
    return f"{'over ' if more else ''}{needed.rates[min(replicas, len(needed.rates)) - 1].value:.3g}/s"


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
    start = min(at for at in (event.trigger_s, event.over_target_s, event.decided_s) if at is not None)
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
        end = None if phase in ("draining_s", "stopped_s") else first_known(pod.draining_s, pod.stopped_s)
        until = "before the end of the run" if end is None else f"before it began to terminate at {clock(end)}"
        missing.append(f"{label}: {pod.name} was not observed {label} {until}")
    if unobserved or not pods:
        return None
    return max(decision.event.t_s, *(float(getattr(pod, phase)) for pod in pods))


def _replicas(count: int) -> str:
    return f"{count} replica" + ("" if count == 1 else "s")
