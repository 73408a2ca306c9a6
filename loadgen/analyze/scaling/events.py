"""Reconstructs scaling events, from the need of the load to the recovery of latency."""

from collections.abc import Sequence
from dataclasses import replace

from loadgen.analyze.demand.lag import lags, worst
from loadgen.analyze.demand.need import Need
from loadgen.analyze.demand.served import supply
from loadgen.analyze.observed import Observed, Series
from loadgen.analyze.results import ScalingEvent, Span
from loadgen.analyze.results.demand import LevelLag
from loadgen.analyze.scaling.decisions import Crossings, Decision, decisions
from loadgen.analyze.scaling.recovery import broke_limit, recovered_s, recovery_limit
from loadgen.analyze.scaling.replicas import Fleet, Replica
from loadgen.base.display import clock

EARLY_S = 1.0
"""A replica may seem to be created this much before the decision: Kubernetes stamps whole seconds."""


def scaling_events(run: Observed, fleet: Fleet, ratio: Series, needed: Need | str) -> tuple[ScalingEvent, ...]:
    """The first `MAX_SCALING_EVENTS` changes of the desired count that the autoscaler may have made, in order.

    Args:
        run: The run.
        fleet: Its replicas.
        ratio: The fleet's ratio as the autoscaler read it.
        needed: The replicas that the load needed, or why they are unknown.
    """
    found = () if isinstance(needed, str) else lags(needed.spans, supply(fleet), run.end_s)
    events: list[ScalingEvent] = []
    assigned: set[str] = set()
    crossings = Crossings(run.info.autoscaler, ratio)
    for decision in decisions(run, fleet):
        missing: list[str] = []
        crossed = crossings.before(decision, missing)
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


def _is_comparable(run: Observed, decision: Decision, needed: Need | str) -> bool:
    """Whether the need is known, and the decision came during the load."""
    return not isinstance(needed, str) and run.length_s is not None and decision.event.t_s >= 0


def _answered(
    run: Observed, decision: Decision, needed: Need | str, found: Sequence[LevelLag], missing: list[str]
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


def _fell(run: Observed, decision: Decision, needed: Need | str, missing: list[str]) -> float | None:
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
    run: Observed, fleet: Fleet, decision: Decision, event: ScalingEvent, assigned: set[str], missing: list[str]
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
    run: Observed, fleet: Fleet, decision: Decision, event: ScalingEvent, assigned: set[str], missing: list[str]
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


def _last(pods: list[Replica], phase: str, label: str, decision: Decision, missing: list[str]) -> float | None:
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
