"""Collects the conditions, events and memory of one sync into a decision.

Conditions and events have exactly the controller's texts.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from loadgen.autoscale.normalize import normalize_legacy, normalize_with_behavior
from loadgen.autoscale.proposals import CombinedProposal
from loadgen.autoscale.rules import Rule, Step
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
    """The decision in progress during one sync; `decide` returns the final value."""

    now_s: float
    memory: Memory
    status: HpaStatus
    events: list[Event] = field(default_factory=list)
    proposed: int | None = None
    stabilized: int | None = None
    proposals: tuple[Proposal, ...] = ()
    steps: list[Step] = field(default_factory=list)
    metric: str = ""
    error: str | None = None

    def warn(self, reason: str, message: str) -> None:
        """Add a Warning event."""
        self.events.append(Event(type="Warning", reason=reason, message=message))

    def step(self, rule: Rule, before: int, after: int) -> None:
        """Add a rule that set or changed the replicas."""
        self.steps.append(Step(rule=rule, before=before, after=after))

    def set(self, type_: ConditionType, status: Literal["True", "False"], reason: str, message: str) -> None:
        """Set a condition in place; its time changes only with its status (`setConditionInList`)."""
        old = self.status.condition(type_)
        since_s = old.since_s if old and old.status == status else self.now_s
        new = Condition(type=type_, status=status, reason=reason, message=message, since_s=since_s)
        conditions = self.status.conditions
        placed = tuple(new if each is old else each for each in conditions) if old else (*conditions, new)
        self.status = replace(self.status, conditions=placed)

    def unset(self, type_: ConditionType) -> None:
        """Remove a condition (`removeCondition`)."""
        others = tuple(each for each in self.status.conditions if each.type != type_)
        self.status = replace(self.status, conditions=others)

    def report_selector_error(self, selector: SelectorError) -> None:
        """Report an unusable selector (`validateAndParseSelector`)."""
        reason, message = selector.reason, selector.message
        self.warn(reason, message)
        if reason == "SelectorRequired":
            reason, message = "InvalidSelector", "the HPA target's scale is missing a selector"
        self.set("ScalingActive", "False", reason, message)
        self.warn("FailedComputeMetricsReplicas", selector.message)
        self.error = selector.message

    def report_metrics(self, combined: CombinedProposal, current: int) -> None:
        """Report the combined proposal of the metrics (the end of `computeReplicasForMetrics`)."""
        self.proposals, self.error = combined.proposals, combined.error
        self.metric = combined.metric
        for proposal in combined.proposals:
            if proposal.fault:
                self.warn(proposal.fault.reason, proposal.fault.message)
        if combined.replicas is not None:
            self.proposed = max(combined.replicas, 0)
            assert combined.rule is not None
            self.step(combined.rule, current, self.proposed)
            message = f"the HPA was able to successfully calculate a replica count from {combined.metric}"
            self.set("ScalingActive", "True", "ValidMetricFound", message)
            return
        self.step(Rule.METRIC_UNAVAILABLE, current, current)
        assert combined.fault is not None
        assert combined.error is not None
        message = f"the HPA was unable to compute the replica count: {combined.fault.message}"
        self.set("ScalingActive", "False", combined.fault.reason, message)
        self.warn("FailedComputeMetricsReplicas", combined.error)

    def normalize(self, spec: HpaSpec, proposed: int, *, current: int, window_s: float) -> int:
        """Apply windows and limits, report them, and remember the proposal."""
        now_ns = to_ns(self.now_s)
        if spec.behavior is None:
            result = normalize_legacy(
                proposed,
                self.memory.recommendations,
                current=current,
                lowest=spec.lowest,
                highest=spec.max_replicas,
                now_ns=now_ns,
                window_s=window_s,
            )
        else:
            result = normalize_with_behavior(
                proposed,
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
        self.steps += result.steps
        return result.replicas

    def decide_unchanged(self, current: int, *, desired: int | None = None, reason: str = "") -> Decision:
        """End the sync without a change; a failed sync does not change `status.desiredReplicas`."""
        if desired is None:
            desired = self.status.desired_replicas
        self.status = replace(self.status, current_replicas=current, desired_replicas=desired)
        return self.decide(current, rescaled=False, reason=reason)

    def decide(self, replicas: int | None, *, rescaled: bool, reason: str = "") -> Decision:
        """End the sync with these replicas."""
        return Decision(
            replicas=replicas,
            rescaled=rescaled,
            reason=reason,
            proposed_replicas=self.proposed,
            stabilized_replicas=self.stabilized,
            proposals=self.proposals,
            steps=tuple(self.steps),
            metric=self.metric,
            events=tuple(self.events),
            error=self.error,
            status=self.status,
            memory=self.memory,
        )
