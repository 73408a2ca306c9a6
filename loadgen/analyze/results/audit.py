"""What the HPA decided in each sync, and by which rule of its algorithm."""

from dataclasses import dataclass
from typing import Literal

from loadgen.autoscale.rules import Rule

Unit = Literal["milli", "percent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditMetric:
    """What one metric proposed in a sync.

    Attributes:
        name: The metric as the controller names it.
        value: What the controller read: thousandths, or percent of the requests; None if it could not be read.
        target: Its target, in the same unit; None if the field that the type of the target names is not set.
        unit: `milli` or `percent`.
        replicas: Replicas that it proposed; None if it could not be read.
        rule: Why it proposed them.
        adjusted_ratio: Value over target after values were assumed for pods without a metric; None if none were.
        without_metric: Pods of which nothing was read: pending ones, and running ones without a value.
        fault: Reason of the failed read, such as `FailedGetPodsMetric`.
    """

    name: str
    value: int | None
    target: int | None
    unit: Unit
    replicas: int | None
    rule: Rule | None
    adjusted_ratio: float | None = None
    without_metric: int = 0
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditStep:
    """A rule that set or changed the replicas of a sync.

    Attributes:
        rule: The rule.
        before: Replicas before the step.
        after: Replicas after the step.
        until_s: When a stabilization window ends: the last recommendation that causes the step leaves it.
        policy: Text of the policy that limits the change, such as `4 pods in 15 s`; None for other rules.
    """

    rule: Rule
    before: int
    after: int
    until_s: float | None = None
    policy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSpan:
    """Consecutive syncs with the same replicas that the same rule determined.

    Attributes:
        from_s: Time of the first sync.
        to_s: Time of the last sync.
        syncs: Number of syncs.
        inferred: How many of them were not observed, but must have taken place without a change.
        before: Replicas before each sync.
        after: Replicas after each sync; before ≠ after is a decision.
        rule: The rule that determined the replicas; None if the record does not determine it.
        candidates: The rules that are possible then; empty if the sync was not replayed.
        metric: The metric with the largest proposal, as the controller names it; None without one.
        lowest: Lowest value of that metric.
        highest: Highest value of that metric.
        target: Target of that metric.
        edges: The values between which the tolerance holds, for the rule `tolerance`.
        unit: Unit of these values.
        proposed: Largest proposal of the last sync, before windows and limits.
        without_metric: Most pods without a metric.
        until_s: When the stabilization window of the last sync ends.
        policy: Text of the policy that limited the last sync.
        why_undetermined: Why the syncs could not be replayed, as the end of a sentence after "because".
    """

    from_s: float
    to_s: float
    syncs: int
    inferred: int
    before: int
    after: int
    rule: Rule | None
    candidates: tuple[Rule, ...] = ()
    metric: str | None = None
    lowest: int | None = None
    highest: int | None = None
    target: int | None = None
    edges: tuple[int, int] | None = None
    unit: Unit = "milli"
    proposed: int | None = None
    without_metric: int = 0
    until_s: float | None = None
    policy: str | None = None
    why_undetermined: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLink:
    """One link of the chain from the signal over its target to the decision.

    Attributes:
        name: `signal` (the counters are beyond the target), `scrape` (visible in Prometheus), `rule`, `adapter`, `sync`
            (the first sync that could read it) or `decided`.
        at_s: When it ended; None if it was not observed.
        took_s: Seconds since the last link before it that was observed; None for the first.
        resolution_s: How exactly `at_s` is known: the interval of its samples, 0 for the local stack's own times.
        source: What `at_s` was read from.
        why_missing: Why it was not observed.
    """

    name: str
    at_s: float | None
    took_s: float | None
    resolution_s: float | None
    source: str
    why_missing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDecision:
    """A sync that changed the replicas.

    Attributes:
        event: Index into `Analysis.scaling` of the scaling event; None if it has none.
        sync: The sync, as a span of one.
        metrics: What each metric proposed: the largest proposal wins.
        steps: The rules that set or changed the count, in order.
        held: The syncs since the signal was over its target that changed nothing, as spans.
        links: The links from the signal to the decision, in order; empty without a scaling event.
    """

    event: int | None
    sync: AuditSpan
    metrics: tuple[AuditMetric, ...]
    steps: tuple[AuditStep, ...]
    held: tuple[AuditSpan, ...] = ()
    links: tuple[AuditLink, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditMismatch:
    """A sync in which the autoscaler did not do what its algorithm says.

    Attributes:
        t_s: Time of the sync.
        expected: What the algorithm gives for the recorded inputs: replicas and reasons of conditions.
        recorded: What the autoscaler did.
        explanation: Why they may differ; None if nothing recorded explains it.
    """

    t_s: float
    expected: str
    recorded: str
    explanation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The syncs of the autoscaler, replayed through its algorithm.

    Attributes:
        source: `inputs` if everything that the autoscaler read was recorded, `status` if only the status that it wrote.
        syncs: Number of known syncs.
        inferred: How many of them were inferred from the sync period, as a sync that changes nothing writes nothing.
        undetermined: How many of them have no rule, because the record does not determine it.
        spans: All syncs in order, decisions included.
        decisions: The syncs that changed the replicas.
        mismatches: Syncs that differ from the algorithm, at most the first 100.
        mismatch_count: Number of all such syncs.
        why_missing: Why the syncs were not replayed.
        not_replayed: How many of the syncs, the last ones, were not replayed because there are too many; they are in
            no other number but `syncs` and `inferred`.
    """

    source: Literal["inputs", "status"] | None = None
    syncs: int = 0
    inferred: int = 0
    undetermined: int = 0
    spans: tuple[AuditSpan, ...] = ()
    decisions: tuple[AuditDecision, ...] = ()
    mismatches: tuple[AuditMismatch, ...] = ()
    mismatch_count: int = 0
    why_missing: str | None = None
    not_replayed: int = 0
