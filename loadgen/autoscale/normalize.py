"""Applies stabilization windows and rate limits to the proposed replicas.

The controller has two different algorithms. Without `spec.behavior`, there is one window for scaling down, and a limit
of twice the replicas or 4. With it, each direction has a window and policies that limit the recent changes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from loadgen.autoscale.arithmetic import ceil_float, to_int32, wrap_int32
from loadgen.autoscale.spec import Behavior, Policy, ScalingRules
from loadgen.autoscale.state import NS_PER_S, Memory, Recommendation, ScaleEvent, to_ns

_WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_UP_LIMIT = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
_READY = ("ReadyForNewScale", "recommended size matches current size")
_UP_STABILIZED = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_DOWN_STABILIZED = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalized:
    """Replicas after the windows and after the limits, with the conditions.

    Attributes:
        stabilized: Replicas after the windows.
        replicas: Replicas after the limits.
        able_to_scale: Reason and message of AbleToScale, which is always true here.
        scaling_limited: Reason and message of ScalingLimited, which is true if the limits changed the count.
        recommendations: The new memory of recommendations.
    """

    stabilized: int
    replicas: int
    able_to_scale: tuple[str, str]
    scaling_limited: tuple[str, str]
    recommendations: tuple[Recommendation, ...]


def normalize_legacy(
    proposed: int,
    recommendations: tuple[Recommendation, ...],
    *,
    current: int,
    lowest: int,
    highest: int,
    now_ns: int,
    window_s: float,
) -> Normalized:
    """Normalize without `spec.behavior` (`normalizeDesiredReplicas`).

    Args:
        proposed: Replicas that the metrics propose.
        recommendations: Earlier proposals.
        current: Replicas of the scale.
        lowest: Lower bound, which applies even if nothing else changes.
        highest: Upper bound.
        now_ns: Time of the sync.
        window_s: The controller's downscale stabilization.
    """
    cutoff_ns = now_ns - to_ns(window_s)
    stabilized = max([proposed, *(each.replicas for each in recommendations if each.at_ns >= cutoff_ns)])
    replicas, limited = stabilized, _WITHIN
    limit = to_int32(max(2.0 * current, 4.0))
    if stabilized < lowest:
        replicas, limited = lowest, _TOO_FEW
    elif stabilized > min(highest, limit):
        replicas, limited = (limit, _UP_LIMIT) if highest > limit else (highest, _TOO_MANY)
    return Normalized(
        stabilized=stabilized,
        replicas=replicas,
        able_to_scale=_READY if stabilized == proposed else _DOWN_STABILIZED,
        scaling_limited=limited,
        recommendations=_remember(recommendations, proposed, now_ns, cutoff_ns),
    )


def normalize_with_behavior(
    proposed: int,
    memory: Memory,
    behavior: Behavior,
    *,
    current: int,
    lowest: int,
    highest: int,
    now_ns: int,
    window_s: float,
) -> Normalized:
    """Normalize with `spec.behavior` (`normalizeDesiredReplicasWithBehaviors`).

    Bounds apply only in the direction of the change, so an unchanged count is not moved into them.

    Args:
        proposed: Replicas that the metrics propose.
        memory: Earlier recommendations and changes.
        behavior: The scaling rules.
        current: Replicas of the scale.
        lowest: Lower bound.
        highest: Upper bound.
        now_ns: Time of the sync.
        window_s: The controller's downscale stabilization, used if the rules have no window.
    """
    up_s, down_s = behavior.scale_up.stabilization_window_s, behavior.scale_down.stabilization_window_s
    assert up_s is not None
    up_cutoff_ns = now_ns - up_s * NS_PER_S
    down_cutoff_ns = now_ns - (int(window_s) if down_s is None else down_s) * NS_PER_S
    past = memory.recommendations
    floor = min([proposed, *(each.replicas for each in past if each.at_ns > up_cutoff_ns)])
    ceiling = max([proposed, *(each.replicas for each in past if each.at_ns > down_cutoff_ns)])
    stabilized = min(max(current, floor), ceiling)
    able = _READY
    if stabilized != proposed:
        able = _UP_STABILIZED if proposed >= current else _DOWN_STABILIZED

    replicas, limited = stabilized, _WITHIN
    if stabilized > current:
        limit = max(scale_up_limit(behavior.scale_up, memory, current=current, now_ns=now_ns), current)
        if stabilized > min(highest, limit):
            replicas, limited = (limit, _UP_LIMIT) if highest > limit else (highest, _TOO_MANY)
    elif stabilized < current:
        limit = min(scale_down_limit(behavior.scale_down, memory, current=current, now_ns=now_ns), current)
        if stabilized < max(lowest, limit):
            replicas, limited = (limit, _DOWN_LIMIT) if lowest < limit else (lowest, _TOO_FEW)
    return Normalized(
        stabilized=stabilized,
        replicas=replicas,
        able_to_scale=able,
        scaling_limited=limited,
        recommendations=_remember(past, proposed, now_ns, min(up_cutoff_ns, down_cutoff_ns)),
    )


def _remember(
    recommendations: tuple[Recommendation, ...], proposed: int, now_ns: int, cutoff_ns: int
) -> tuple[Recommendation, ...]:
    new = Recommendation(replicas=proposed, at_ns=now_ns)
    return _put(recommendations, new, lambda each: each.at_ns < cutoff_ns)


def scale_up_limit(rules: ScalingRules, memory: Memory, *, current: int, now_ns: int) -> int:
    """Find the most replicas the policies allow now (`calculateScaleUpLimitWithScalingRules`).

    A Percent policy rounds up in float64: 50 replicas and 10 % are 55.00000000000001, hence 56.
    """

    def allowed(policy: Policy, start: int) -> int:
        if policy.type == "Pods":
            return wrap_int32(start + policy.value)
        return to_int32(ceil_float(start * (1 + policy.value / 100)))

    return _limit(rules, memory, allowed, current=current, now_ns=now_ns, widest=max, narrowest=min)


def scale_down_limit(rules: ScalingRules, memory: Memory, *, current: int, now_ns: int) -> int:
    """Find the fewest replicas the policies allow now (`calculateScaleDownLimitWithBehaviors`).

    A Percent policy drops the fraction in float64: 10 replicas and 90 % are 0.9999999999999998, hence 0.
    """

    def allowed(policy: Policy, start: int) -> int:
        if policy.type == "Pods":
            return wrap_int32(start - policy.value)
        return to_int32(start * (1 - policy.value / 100))

    return _limit(rules, memory, allowed, current=current, now_ns=now_ns, widest=min, narrowest=max)


def _limit(
    rules: ScalingRules,
    memory: Memory,
    allowed: Callable[[Policy, int], int],
    *,
    current: int,
    now_ns: int,
    widest: Callable[[Iterable[int]], int],
    narrowest: Callable[[Iterable[int]], int],
) -> int:
    if rules.select_policy == "Disabled":
        return current
    limits = []
    for policy in rules.policies:
        cutoff_ns = now_ns - policy.period_s * NS_PER_S
        added = sum(each.change for each in memory.scale_ups if each.at_ns > cutoff_ns)
        removed = sum(each.change for each in memory.scale_downs if each.at_ns > cutoff_ns)
        limits.append(allowed(policy, wrap_int32(current - added + removed)))
    return narrowest(limits) if rules.select_policy == "Min" else widest(limits)


def remember_change(memory: Memory, behavior: Behavior | None, *, before: int, after: int, now_ns: int) -> Memory:
    """Store a change of the scale for the policies; without behavior nothing is stored (`storeScaleEvent`)."""
    if behavior is None:
        return memory
    if after > before:
        return replace(memory, scale_ups=_store(memory.scale_ups, after - before, behavior.scale_up, now_ns))
    return replace(memory, scale_downs=_store(memory.scale_downs, before - after, behavior.scale_down, now_ns))


def _store(events: tuple[ScaleEvent, ...], change: int, rules: ScalingRules, now_ns: int) -> tuple[ScaleEvent, ...]:
    cutoff_ns = now_ns - max(policy.period_s for policy in rules.policies) * NS_PER_S
    marked = tuple(replace(each, outdated=True) if each.at_ns < cutoff_ns else each for each in events)
    return _put(marked, ScaleEvent(change=change, at_ns=now_ns), lambda each: each.outdated)


_Entry = TypeVar("_Entry")


def _put(entries: tuple[_Entry, ...], new: _Entry, reusable: Callable[[_Entry], bool]) -> tuple[_Entry, ...]:
    slots = [index for index, entry in enumerate(entries) if reusable(entry)]
    if not slots:
        return (*entries, new)
    return (*entries[: slots[-1]], new, *entries[slots[-1] + 1 :])
