"""Replays syncs through the HPA twin, and compares the twin's decisions with the recorded ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from loadgen.analyze.audit.inputs import STATUS_SLACK_S, PodCounter, possible_inputs, scale_unreadable
from loadgen.analyze.audit.syncs import Sync
from loadgen.analyze.results import AuditMismatch
from loadgen.autoscale.hpa import reconcile
from loadgen.autoscale.normalize import remember_change
from loadgen.autoscale.record import Inputs
from loadgen.autoscale.rules import Rule
from loadgen.autoscale.spec import DEFAULT_CONTROLLER, ControllerSettings, HpaSpec
from loadgen.autoscale.state import (
    Condition,
    ConditionType,
    Decision,
    HpaStatus,
    Memory,
    ReadError,
    Recommendation,
    to_ns,
)

_COMPARED: tuple[ConditionType, ...] = ("AbleToScale", "ScalingActive", "ScalingLimited")
_CONDITIONS: tuple[ConditionType, ...] = (*_COMPARED, "ScaledToZero")
_LONGEST_WINDOW_S = 3601.0
"""A recommendation of this age is outside every window."""
_ROUNDED_S = 1e-5
"""The journal has times in microseconds, so an age that equals a window can be on either side of it."""
UNKNOWN_MEMORY = "what the controller remembered from before the recording is not known"
UNKNOWN_SYNCS = "the watch of the HPA was interrupted before"
UNKNOWN_SYNC = "the sync was not observed, only inferred from the sync period"
UNKNOWN_VALUES = "the values of an earlier sync were not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A sync with what the twin says about it.

    Attributes:
        sync: The sync.
        rules: The rules that can have determined the replicas; empty if it could not be replayed, or differs.
        decision: The twin's decision, one of those that give the recorded result; None without any.
        mismatch: The difference, if no inputs that the record allows give the recorded result.
        why_undetermined: Why it could not be replayed.
    """

    sync: Sync
    rules: tuple[Rule, ...] = ()
    decision: Decision | None = None
    mismatch: AuditMismatch | None = None
    why_undetermined: str | None = None


class Replay:
    """Replays the syncs of one run in order.

    A controller on a cluster ran before the recording, and during an interruption of the watch: until its longest
    window is over, a recommendation of that time may or may not apply.

    Args:
        counter: Counts the pods at a sync.
        controller: The controller's flags.
    """

    def __init__(self, counter: PodCounter, controller: ControllerSettings = DEFAULT_CONTROLLER) -> None:
        self._counter = counter
        self._controller = controller
        self._memories: tuple[Memory, ...] = (Memory(),)
        """The memories that are possible: with the lowest proposals, and with the highest."""
        self._unknown: tuple[float, str] | None = None
        """Up to when syncs are not known, and why; None if all are."""
        self._previous: Sync | None = None
        self._status = HpaStatus()
        self.remembered = 0
        """Recommendations that all decisions so far looked at: the time that they take grows with it."""

    def next(self, sync: Sync) -> Replayed:
        """Replay the next sync."""
        if sync.from_status and self._previous is None:
            # The controller did not just start: it has a recommendation, if only an outdated one.
            old = Recommendation(replicas=sync.current, at_ns=to_ns(sync.t_s - _LONGEST_WINDOW_S))
            self._memories = (Memory(recommendations=(old,)),)
            self._unknown = sync.t_s, UNKNOWN_MEMORY
        elif sync.after_gap:
            self._unknown = sync.t_s, UNKNOWN_SYNCS
        self._take_status(sync)
        found = possible_inputs(sync, () if sync.inputs is not None else self._counter.counts(sync))
        inputs = [] if isinstance(found, str) else found
        known = [[self._decide(sync, each, memory) for each in inputs] for memory in self._memories]
        tried = [*chain.from_iterable(known), *self._with_unknown_memory(sync, inputs)]
        same = [each for each in tried if _is_recorded(each, sync)]
        if not same:
            same = [each for each in self._shifted(sync, inputs) if _is_recorded(each, sync)]
        self._remember(sync, same, known)
        self._previous = sync
        if isinstance(found, str):
            return Replayed(sync=sync, why_undetermined=found)
        if not same:
            return Replayed(sync=sync, mismatch=self._mismatch(sync, tried))
        return Replayed(sync=sync, rules=tuple(dict.fromkeys(each.rule for each in same)), decision=same[0])

    def _take_status(self, sync: Sync) -> None:
        """Set the status before the sync: the one that was recorded last, or for the first its own."""
        before = self._previous or (sync if sync.from_status else None)
        if before is None:
            return
        recorded = [(type_, before.reasons[type_]) for type_ in _CONDITIONS if type_ in before.reasons]
        conditions = tuple(
            Condition(
                type=type_,
                status="True" if status == "True" else "False",
                reason=reason or "",
                message="",
                since_s=before.t_s,
            )
            for type_, (status, reason) in recorded
        )
        desired = before.current if before.desired is None else before.desired
        self._status = HpaStatus(conditions=conditions, current_replicas=before.current, desired_replicas=desired)

    def _decide(self, sync: Sync, inputs: Inputs, memory: Memory, shift_s: float = 0.0) -> Decision:
        self.remembered += len(memory.recommendations)
        return reconcile(
            sync.spec,
            now_s=sync.t_s + shift_s,
            scale=ReadError(message="") if scale_unreadable(sync) else inputs.scale,
            pods=inputs.pods,
            readings=inputs.readings,
            memory=memory,
            status=self._status,
            controller=self._controller,
        )

    def _with_unknown_memory(self, sync: Sync, inputs: Sequence[Inputs]) -> Iterator[Decision]:
        """Decisions with a recommendation of the time that is not known: the one that would explain the result."""
        if not self._may_be_unknown(sync) or sync.desired is None:
            return
        assert self._unknown is not None
        unknown = Recommendation(replicas=sync.desired, at_ns=to_ns(self._unknown[0]))
        for memory in self._memories:
            more = replace(memory, recommendations=(*memory.recommendations, unknown))
            for each in inputs:
                yield self._decide(sync, each, more)

    def _may_be_unknown(self, sync: Sync) -> bool:
        return self._unknown is not None and sync.t_s <= self._unknown[0] + _longest_s(sync.spec, self._controller)

    def _shifted(self, sync: Sync, inputs: Sequence[Inputs]) -> Iterator[Decision]:
        """Decisions at a slightly different time: whether a window is over can depend on a fraction of a second."""
        slack_s = STATUS_SLACK_S if sync.from_status else _ROUNDED_S
        for shift_s in (-slack_s, slack_s):
            for memory in self._memories:
                for each in inputs:
                    yield self._decide(sync, each, memory, shift_s)

    def _mismatch(self, sync: Sync, tried: Sequence[Decision]) -> AuditMismatch:
        explanation = self._unknown[1] if self._unknown is not None and self._may_be_unknown(sync) else None
        return AuditMismatch(
            t_s=sync.t_s,
            expected=" or ".join(dict.fromkeys(_text(each, sync) for each in tried)),
            recorded=_recorded_text(sync),
            explanation=UNKNOWN_SYNC if explanation is None and sync.inferred else explanation,
        )

    def _remember(self, sync: Sync, same: Sequence[Decision], known: Sequence[Sequence[Decision]]) -> None:
        """Set the memories after the sync: with the lowest and with the highest proposal that is possible."""
        if not known[0]:
            self._unknown = sync.t_s, UNKNOWN_VALUES
            return
        possible = {each.proposed_replicas for each in same}
        memories = []
        for memory, decisions, choose in ((self._memories[0], known[0], min), (self._memories[-1], known[-1], max)):
            fitting = [each for each in decisions if each.proposed_replicas in possible] or decisions
            chosen = choose(fitting, key=lambda each: -1 if each.proposed_replicas is None else each.proposed_replicas)
            after = replace(memory, recommendations=chosen.memory.recommendations)
            if sync.rescaled and sync.desired is not None:
                change = {"before": sync.current, "after": sync.desired, "now_ns": to_ns(sync.t_s)}
                after = remember_change(after, sync.spec.behavior, **change)
            memories.append(after)
        low, high = memories
        self._memories = (low,) if low == high else (low, high)


def _longest_s(spec: HpaSpec, controller: ControllerSettings) -> float:
    """How far back a sync looks: the longest stabilization window or period of a policy."""
    if spec.behavior is None:
        return controller.downscale_stabilization_s
    sides = (spec.behavior.scale_up, spec.behavior.scale_down)
    windows = (
        controller.downscale_stabilization_s if side.stabilization_window_s is None else side.stabilization_window_s
        for side in sides
    )
    return max([*windows, *(policy.period_s for side in sides for policy in side.policies)])


def _is_recorded(decision: Decision, sync: Sync) -> bool:
    """Whether a decision gives the recorded replicas and the recorded reasons of the conditions."""
    if sync.desired is not None and _desired(decision, sync) != sync.desired:
        return False
    for type_ in _COMPARED:
        recorded, condition = sync.reasons.get(type_), decision.status.condition(type_)
        if recorded is not None and (condition is None or (condition.status, condition.reason) != recorded):
            return False
    return True


def _desired(decision: Decision, sync: Sync) -> int | None:
    return decision.status.desired_replicas if sync.from_status else decision.replicas


def _text(decision: Decision, sync: Sync) -> str:
    reasons = [each.reason for type_ in _COMPARED if (each := decision.status.condition(type_)) is not None]
    return f"{_desired(decision, sync)} ({', '.join(reasons)})"


def _recorded_text(sync: Sync) -> str:
    reasons = [reason for type_ in _COMPARED if (reason := sync.reasons.get(type_, ("", None))[1])]
    return f"{sync.desired} ({', '.join(reasons)})" if reasons else f"{sync.desired}"
