"""A decision while it is made: conditions, events and memory pile up from step to step.

Conditions and events carry the controller's own texts, to the letter.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from loadgen.autoscale.normalize import normalize_legacy, normalize_with_behavior
from loadgen.autoscale.proposals import Wanted
from loadgen.autoscale.spec import HpaSpec
from loadgen.autoscale.state import (
    Condition,
    ConditionType,
    Decision,
    Event,
    HpaStatus,
    Memory,
    Proposal,
    SelectorError,
    to_ns,
)


@dataclass(slots=True, kw_only=True)
class Draft:
    """What one sync has decided so far. It lives as long as the sync; `decide` makes the value that stays."""

    now_s: float
    memory: Memory
    status: HpaStatus
    events: list[Event] = field(default_factory=list)
    wanted: int | None = None
    stabilized: int | None = None
    proposals: tuple[Proposal, ...] = ()
    error: str | None = None

    def warn(self, reason: str, message: str) -> None:
        """Add a Warning event."""
        self.events.append(Event(type="Warning", reason=reason, message=message))

    def set(self, type_: ConditionType, status: Literal["True", "False"], reason: str, message: str) -> None:
        """Set a condition in place; its time changes only with its status (`setConditionInList`)."""
        old = self.status.condition(type_)
        since_s = old.since_s if old and old.status == status else self.now_s
        new = Condition(type=type_, status=status, reason=reason, message=message, since_s=since_s)
        conditions = self.status.conditions
        placed = tuple(new if each is old else each for each in conditions) if old else (*conditions, new)
        self.status = replace(self.status, conditions=placed)

    def unset(self, type_: ConditionType) -> None:
        """Take a condition away (`removeCondition`)."""
        kept = tuple(each for each in self.status.conditions if each.type != type_)
        self.status = replace(self.status, conditions=kept)

    def read_no_pods(self, selector: SelectorError) -> None:
        """Report a selector that tells no pods (`validateAndParseSelector`)."""
        reason, message = selector.reason, selector.message
        self.warn(reason, message)
        if reason == "SelectorRequired":
            reason, message = "InvalidSelector", "the HPA target's scale is missing a selector"
        self.set("ScalingActive", "False", reason, message)
        self.warn("FailedComputeMetricsReplicas", selector.message)
        self.error = selector.message

    def read_metrics(self, wanted: Wanted) -> None:
        """Report what the metrics gave (the end of `computeReplicasForMetrics`)."""
        self.proposals, self.error = wanted.proposals, wanted.error
        for proposal in wanted.proposals:
            if proposal.fault:
                self.warn(proposal.fault.reason, proposal.fault.message)
        if wanted.replicas is not None:
            self.wanted = max(wanted.replicas, 0)
            found = f"the HPA was able to successfully calculate a replica count from {wanted.metric}"
            self.set("ScalingActive", "True", "ValidMetricFound", found)
            return
        assert wanted.fault is not None
        assert wanted.error is not None
        message = f"the HPA was unable to compute the replica count: {wanted.fault.message}"
        self.set("ScalingActive", "False", wanted.fault.reason, message)
        self.warn("FailedComputeMetricsReplicas", wanted.error)

    def normalize(self, spec: HpaSpec, wanted: int, *, current: int, window_s: float) -> int:
        """Apply windows and limits, report them, remember what was wanted."""
        now_ns = to_ns(self.now_s)
        if spec.behavior is None:
            result = normalize_legacy(
                wanted,
                self.memory.recommendations,
                current=current,
                lowest=spec.lowest,
                highest=spec.max_replicas,
                now_ns=now_ns,
                window_s=window_s,
            )
        else:
            result = normalize_with_behavior(
                wanted,
                self.memory,
                spec.behavior,
                current=current,
                lowest=spec.lowest,
                highest=spec.max_replicas,
                now_ns=now_ns,
                window_s=window_s,
            )
        self.set("AbleToScale", "True", *result.able_to_scale)
        limited = result.replicas != result.stabilized
        self.set("ScalingLimited", "True" if limited else "False", *result.scaling_limited)
        self.memory = replace(self.memory, recommendations=result.recommendations)
        self.stabilized = result.stabilized
        return result.replicas

    def hold(self, current: int, *, desired: int | None = None, reason: str = "") -> Decision:
        """End without a change; a sync that failed leaves `status.desiredReplicas` as it was."""
        kept = self.status.desired_replicas if desired is None else desired
        self.status = replace(self.status, current_replicas=current, desired_replicas=kept)
        return self.decide(current, rescaled=False, reason=reason)

    def decide(self, replicas: int | None, *, rescaled: bool, reason: str = "") -> Decision:
        """End the sync with these replicas."""
        return Decision(
            replicas=replicas,
            rescaled=rescaled,
            reason=reason,
            wanted_replicas=self.wanted,
            stabilized_replicas=self.stabilized,
            proposals=self.proposals,
            events=tuple(self.events),
            error=self.error,
            status=self.status,
            memory=self.memory,
        )
