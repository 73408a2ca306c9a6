"""Applies stabilization windows and rate limits to the proposed replicas.

The controller has two different algorithms. Without `spec.behavior`, there is one window for scaling down, and a limit
of twice the replicas or 4. With it, each direction has a window and policies that limit the recent changes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from loadgen.autoscale.arithmetic import ceil_float, to_int32, wrap_int32
from loadgen.autoscale.rules import Rule, Step
from loadgen.autoscale.spec import Behavior, Policy, ScalingRules, SelectPolicy
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
        steps: The window and the limit that changed the count, in this order.
        recommendations: The new memory of recommendations.
    """

    stabilized: int
    replicas: int
    able_to_scale: tuple[str, str]
    scaling_limited: tuple[str, str]
    steps: tuple[Step, ...]
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
    recent = [each for each in recommendations if each.at_ns >= cutoff_ns]
    stabilized = max([proposed, *(each.replicas for each in recent)])
    steps: list[Step] = []
    if stabilized != proposed:
        last_ns = max(each.at_ns for each in recent if each.replicas >= stabilized)
        steps.append(_window(Rule.DOWN_WINDOW, proposed, stabilized, last_ns, to_ns(window_s)))
    replicas, limited = stabilized, _WITHIN
    rule: Rule | None = None
    limit = to_int32(max(2.0 * current, 4.0))
    if stabilized < lowest:
        replicas, limited, rule = lowest, _TOO_FEW, Rule.MIN
    elif stabilized > min(highest, limit):
        within = highest > limit
        replicas, limited, rule = (limit, _UP_LIMIT, Rule.DOUBLING) if within else (highest, _TOO_MANY, Rule.MAX)
    if rule is not None:
        steps.append(Step(rule=rule, before=stabilized, after=replicas))
    return Normalized(
        stabilized=stabilized,
        replicas=replicas,
        able_to_scale=_READY if stabilized == proposed else _DOWN_STABILIZED,
        scaling_limited=limited,
        steps=tuple(steps),
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
    up_ns, down_ns = up_s * NS_PER_S, (int(window_s) if down_s is None else down_s) * NS_PER_S
    up_cutoff_ns, down_cutoff_ns = now_ns - up_ns, now_ns - down_ns
    past = memory.recommendations
    lows = [each for each in past if each.at_ns > up_cutoff_ns]
    highs = [each for each in past if each.at_ns > down_cutoff_ns]
    floor = min([proposed, *(each.replicas for each in lows)])
    ceiling = max([proposed, *(each.replicas for each in highs)])
    stabilized = min(max(current, floor), ceiling)
    able = _READY
    steps: list[Step] = []
    if stabilized != proposed and proposed >= current:
        able = _UP_STABILIZED
        last_ns = max(each.at_ns for each in lows if each.replicas <= stabilized)
        steps.append(_window(Rule.UP_WINDOW, proposed, stabilized, last_ns, up_ns))
    elif stabilized != proposed:
        able = _DOWN_STABILIZED
        last_ns = max(each.at_ns for each in highs if each.replicas >= stabilized)
        steps.append(_window(Rule.DOWN_WINDOW, proposed, stabilized, last_ns, down_ns))

    replicas, limited = stabilized, _WITHIN
    if stabilized > current:
        up = _limit_up(behavior.scale_up, memory, current=current, now_ns=now_ns).at_least(current)
        if stabilized > min(highest, up.replicas):
            step, limited = up.step(Rule.UP_POLICY, stabilized), _UP_LIMIT
            if highest <= up.replicas:
                step, limited = Step(rule=Rule.MAX, before=stabilized, after=highest), _TOO_MANY
            replicas = step.after
            steps.append(step)
    elif stabilized < current:
        down = _limit_down(behavior.scale_down, memory, current=current, now_ns=now_ns).at_most(current)
        if stabilized < max(lowest, down.replicas):
            step, limited = down.step(Rule.DOWN_POLICY, stabilized), _DOWN_LIMIT
            if lowest >= down.replicas:
                step, limited = Step(rule=Rule.MIN, before=stabilized, after=lowest), _TOO_FEW
            replicas = step.after
            steps.append(step)
    return Normalized(
        stabilized=stabilized,
        replicas=replicas,
        able_to_scale=able,
        scaling_limited=limited,
        steps=tuple(steps),
        recommendations=_remember(past, proposed, now_ns, min(up_cutoff_ns, down_cutoff_ns)),
    )


def _window(rule: Rule, before: int, after: int, last_ns: int, window_ns: int) -> Step:
    return Step(rule=rule, before=before, after=after, until_s=(last_ns + window_ns) / NS_PER_S)


def _remember(
    recommendations: tuple[Recommendation, ...], proposed: int, now_ns: int, cutoff_ns: int
) -> tuple[Recommendation, ...]:
    new = Recommendation(replicas=proposed, at_ns=now_ns)
    return _put(recommendations, new, lambda each: each.at_ns < cutoff_ns)


def scale_up_limit(rules: ScalingRules, memory: Memory, *, current: int, now_ns: int) -> int:
    """Find the most replicas the policies allow now (`calculateScaleUpLimitWithScalingRules`).

    A Percent policy rounds up in float64: 50 replicas and 10 % are 55.00000000000001, hence 56.
    """
    return _limit_up(rules, memory, current=current, now_ns=now_ns).replicas


def scale_down_limit(rules: ScalingRules, memory: Memory, *, current: int, now_ns: int) -> int:
    """Find the fewest replicas the policies allow now (`calculateScaleDownLimitWithBehaviors`).

    A Percent policy drops the fraction in float64: 10 replicas and 90 % are 0.9999999999999998, hence 0.
    """
    return _limit_down(rules, memory, current=current, now_ns=now_ns).replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """The replicas that the policies allow, and the policy that sets them."""

    replicas: int
    policy: Policy | None = None

    def at_least(self, replicas: int) -> "_Limit":
        return replace(self, replicas=max(self.replicas, replicas))

    def at_most(self, replicas: int) -> "_Limit":
        return replace(self, replicas=min(self.replicas, replicas))

    def step(self, rule: Rule, before: int) -> Step:
        return Step(rule=rule, before=before, after=self.replicas, policy=self.policy)


def _limit_up(rules: ScalingRules, memory: Memory, *, current: int, now_ns: int) -> _Limit:
    def allowed(policy: Policy, start: int) -> int:
        if policy.type == "Pods":
            return wrap_int32(start + policy.value)
        return to_int32(ceil_float(start * (1 + policy.value / 100)))

    return _limit(rules, memory, allowed, current=current, now_ns=now_ns, largest="Max")


def _limit_down(rules: ScalingRules, memory: Memory, *, current: int, now_ns: int) -> _Limit:
    def allowed(policy: Policy, start: int) -> int:
        if policy.type == "Pods":
            return wrap_int32(start - policy.value)
        return to_int32(start * (1 - policy.value / 100))

    return _limit(rules, memory, allowed, current=current, now_ns=now_ns, largest="Min")


def _limit(
    rules: ScalingRules,
    memory: Memory,
    allowed: Callable[[Policy, int], int],
    *,
    current: int,
    now_ns: int,
    largest: SelectPolicy,
) -> _Limit:
    """The limit of the selected policy; `largest` is the selectPolicy under which the most replicas apply."""
    if rules.select_policy == "Disabled":
        return _Limit(replicas=current)
    limits = []
    for policy in rules.policies:
        cutoff_ns = now_ns - policy.period_s * NS_PER_S
        added = sum(each.change for each in memory.scale_ups if each.at_ns > cutoff_ns)
        removed = sum(each.change for each in memory.scale_downs if each.at_ns > cutoff_ns)
        limits.append(_Limit(replicas=allowed(policy, wrap_int32(current - added + removed)), policy=policy))
    choose = max if rules.select_policy == largest else min
    return choose(limits, key=lambda each: each.replicas)


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
