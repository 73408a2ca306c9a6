"""Names the rules of the HPA algorithm that determine the replicas of a sync."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from loadgen.autoscale.spec import Policy


class Rule(StrEnum):
    """A rule that sets or changes the replicas of a sync.

    Attributes:
        label: What reports call it.
        meaning: One sentence.
    """

    label: str
    meaning: str

    def __new__(cls, value: str, label: str, meaning: str) -> Self:
        """Make a member that equals `value`."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.label, member.meaning = label, meaning
        return member

    RATIO = (
        "ratio",
        "value over target",
        "The metric is outside the tolerance: the replicas follow value over target, rounded up.",
    )
    TOLERANCE = "tolerance", "tolerance", "The metric is within the tolerance around its target: no change."
    PODS = (
        "pods_without_metric",
        "pods without a metric",
        "Pending pods and pods without a value count as 0 on the way up and as the target on the way down, which made "
        "the change smaller or prevented it.",
    )
    DOWN_WINDOW = (
        "scale_down_window",
        "scale-down stabilization window",
        "The highest recommendation within the stabilization window for scaling down applies.",
    )
    UP_WINDOW = (
        "scale_up_window",
        "scale-up stabilization window",
        "The lowest recommendation within the stabilization window for scaling up applies.",
    )
    UP_POLICY = (
        "scale_up_policy",
        "scale-up policy",
        "The policies of `behavior.scaleUp` allow no larger increase within their periods.",
    )
    DOWN_POLICY = (
        "scale_down_policy",
        "scale-down policy",
        "The policies of `behavior.scaleDown` allow no larger decrease within their periods.",
    )
    DOUBLING = (
        "scale_up_limit",
        "scale-up limit",
        "Without `spec.behavior`, a sync at most doubles the replicas, or sets 4.",
    )
    MAX = "max_replicas", "maxReplicas", "The replicas are at the upper bound of the HPA."
    MIN = "min_replicas", "minReplicas", "The replicas are at the lower bound of the HPA."
    METRIC_UNAVAILABLE = (
        "metric_unavailable",
        "metric not available",
        "A metric could not be read. If none could be read, the replicas do not change; if one of several could not, "
        "the HPA may scale up but not down.",
    )
    DISABLED = "disabled", "scaling disabled", "The workload has 0 replicas that the HPA did not set."
    SCALE_UNAVAILABLE = "scale_unavailable", "scale not available", "The scale of the workload could not be read."
    SELECTOR_INVALID = "selector_invalid", "unusable selector", "The selector of the workload does not give its pods."
    WRITE_FAILED = "write_failed", "scale not written", "The scale of the workload could not be changed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a sync towards its replicas: a rule that set or changed the count.

    Attributes:
        rule: The rule.
        before: Replicas before the step; for the first step, those of the scale.
        after: Replicas after the step.
        until_s: For a stabilization window, when the last recommendation that causes the step leaves the window.
        policy: The policy that limits the change; `None` for other rules and if `selectPolicy` is Disabled.
    """

    rule: Rule
    before: int
    after: int
    until_s: float | None = None
    policy: Policy | None = None
