"""Condenses replayed syncs into spans, and describes the ones that changed the replicas."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from loadgen.analyze.audit.replay import Replayed
from loadgen.analyze.results import AuditDecision, AuditLink, AuditMetric, AuditSpan, AuditStep, ScalingEvent
from loadgen.autoscale.replicas import Tolerances, tolerances_for
from loadgen.autoscale.rules import Rule, Step
from loadgen.autoscale.spec import (
    DEFAULT_CONTROLLER,
    ExternalMetric,
    HpaSpec,
    MetricSpec,
    ObjectMetric,
    Policy,
    ResourceMetric,
)
from loadgen.autoscale.state import Decision, Proposal

_SAME_S = 5.0
"""A rescale and the sync that made it are at most this far apart: both are seen by watches of their own."""


def spans(replayed: Iterable[Replayed]) -> tuple[AuditSpan, ...]:
    """All syncs in order, those with the same replicas and rule as one span; a decision is a span of its own."""
    single = [(number, span_of(each)) for number, each in enumerate(replayed)]

    def key(item: tuple[int, AuditSpan]) -> tuple[object, ...]:
        number, span = item
        decision = number if span.before != span.after else None
        same = span.before, span.after, span.rule, span.candidates, span.metric, span.target, span.why_undetermined
        return (decision, *same)

    return tuple(_merged([span for _, span in group]) for _, group in groupby(single, key))


def by_rule(replayed: Iterable[Replayed]) -> tuple[AuditSpan, ...]:
    """Syncs by their rule, in order of the first of each."""
    groups: dict[object, list[AuditSpan]] = {}
    for each in replayed:
        span = span_of(each)
        groups.setdefault((span.rule, span.candidates, span.why_undetermined), []).append(span)
    return tuple(_merged(group) for group in groups.values())


Links = Callable[[ScalingEvent], tuple[AuditLink, ...]]


def decisions(
    replayed: Sequence[Replayed], events: Sequence[ScalingEvent], links: Links | None = None
) -> tuple[AuditDecision, ...]:
    """The syncs that changed the replicas, with those before them that held although the signal was over its target.

    Args:
        replayed: All syncs.
        events: The scaling events, to which decisions refer.
        links: The links before a scaling event; None without a known signal.
    """
    made = []
    times_s = [each.sync.t_s for each in replayed]
    decided_s = [event.decided_s for event in events]
    for number, each in enumerate(replayed):
        if not each.sync.rescaled:
            continue
        event = _event_of(each, events, decided_s)
        since_s = None if event is None else _since(events[event])
        first = number if since_s is None else bisect_left(times_s, since_s, hi=number)
        held = [other for other in replayed[first:number] if not other.sync.rescaled]
        decision = each.decision
        made.append(
            AuditDecision(
                event=event,
                sync=span_of(each),
                metrics=() if decision is None else _metrics(each.sync.spec, decision),
                steps=() if decision is None else tuple(_step(step) for step in decision.steps),
                held=by_rule(held),
                links=() if event is None or links is None else links(events[event]),
            )
        )
    return tuple(made)


def _event_of(replayed: Replayed, events: Sequence[ScalingEvent], decided_s: Sequence[float]) -> int | None:
    """Index of the scaling event of a decision: the nearest one with the same replicas."""
    sync = replayed.sync
    first, last = bisect_left(decided_s, sync.t_s - _SAME_S), bisect_right(decided_s, sync.t_s + _SAME_S)
    near = [
        (abs(decided_s[number] - sync.t_s), number)
        for number in range(first, last)
        if (events[number].before, events[number].after) == (sync.current, sync.desired)
    ]
    return min(near)[1] if near else None


def _since(event: ScalingEvent) -> float | None:
    return event.over_target_s if event.over_target_s is not None else event.trigger_s


def span_of(replayed: Replayed) -> AuditSpan:
    """One sync as a span."""
    sync, decision = replayed.sync, replayed.decision
    after = sync.desired if sync.rescaled and sync.desired is not None else sync.current
    span = AuditSpan(
        from_s=sync.t_s,
        to_s=sync.t_s,
        syncs=1,
        inferred=int(sync.inferred),
        before=sync.current,
        after=after,
        rule=replayed.rules[0] if len(replayed.rules) == 1 else None,
        candidates=replayed.rules if len(replayed.rules) > 1 else (),
        why_undetermined=replayed.why_undetermined,
    )
    if decision is None:
        return span
    last = decision.steps[-1] if decision.steps[-1].rule == span.rule else None
    span = replace(
        span,
        proposed=decision.proposed_replicas,
        until_s=last.until_s if last else None,
        policy=_policy(last.policy) if last else None,
    )
    largest = next((each for each in _metrics(sync.spec, decision) if each.name == decision.metric), None)
    if largest is None or largest.value is None or largest.target is None:
        return span
    tolerances = tolerances_for(sync.spec.behavior, DEFAULT_CONTROLLER)
    return replace(
        span,
        metric=largest.name,
        lowest=largest.value,
        highest=largest.value,
        target=largest.target,
        edges=_edges(largest.target, tolerances) if span.rule == Rule.TOLERANCE else None,
        unit=largest.unit,
        without_metric=largest.without_metric,
    )


def _merged(group: Sequence[AuditSpan]) -> AuditSpan:
    last = group[-1]
    lows = [each.lowest for each in group if each.lowest is not None]
    highs = [each.highest for each in group if each.highest is not None]
    return replace(
        last,
        from_s=group[0].from_s,
        syncs=sum(each.syncs for each in group),
        inferred=sum(each.inferred for each in group),
        lowest=min(lows, default=None),
        highest=max(highs, default=None),
        without_metric=max(each.without_metric for each in group),
    )


def _edges(target: int, tolerances: Tolerances) -> tuple[int, int]:
    """The values at the ends of the tolerance: beyond them the replicas would change."""
    return round(target * (1.0 - tolerances.down_ratio)), round(target * (1.0 + tolerances.up_ratio))


def _metrics(spec: HpaSpec, decision: Decision) -> tuple[AuditMetric, ...]:
    return tuple(_metric(metric, each) for metric, each in zip(spec.metrics, decision.proposals, strict=False))


def _metric(metric: MetricSpec, proposal: Proposal) -> AuditMetric:
    percent = metric.target.average_utilization_pct if isinstance(metric, ResourceMetric) else None
    pods = proposal.pods
    return AuditMetric(
        name=proposal.metric,
        value=proposal.current_milli if percent is None else proposal.utilization_pct,
        target=_target_milli(metric) if percent is None else percent,
        unit="milli" if percent is None else "percent",
        replicas=proposal.replicas,
        rule=proposal.rule,
        adjusted_ratio=proposal.adjusted_ratio,
        without_metric=0 if pods is None else len(pods.unready) + len(pods.missing),
        fault=None if proposal.fault is None else proposal.fault.reason,
    )


def _target_milli(metric: MetricSpec) -> int | None:
    """The target that the metric is compared with, in thousandths; None if its type names a field that is not set."""
    target = metric.target
    by_type = isinstance(metric, ObjectMetric) and target.type == "Value"
    total = by_type or (isinstance(metric, ExternalMetric) and target.average_value_milli is None)
    return target.value_milli if total else target.average_value_milli


def _step(step: Step) -> AuditStep:
    return AuditStep(
        rule=step.rule, before=step.before, after=step.after, until_s=step.until_s, policy=_policy(step.policy)
    )


def _policy(policy: Policy | None) -> str | None:
    """Text of a policy: `4 pods in 15 s`, `100 % in 15 s`."""
    if policy is None:
        return None
    size = f"{policy.value} %" if policy.type == "Percent" else f"{policy.value} pod{'' if policy.value == 1 else 's'}"
    return f"{size} in {policy.period_s} s"
