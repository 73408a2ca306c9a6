"""How the number of replicas changed."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingEvent:
    """One change of the desired replica count and its consequences; a time is None when it is unknown.

    Attributes:
        direction: `up` or `down`.
        before: Desired replicas before.
        after: Desired replicas after.
        reason: Message of the autoscaler.
        trigger_s: Load step: when the load needed the added replicas, or no longer needed the removed ones. A scale-up
            that was early has it after its decision, or after its replicas served. Of several levels, it is that of
            the longest lag (see docs/metrics.md).
        over_target_s: When the ratio that the autoscaler reads crossed its target (with tolerance).
        decided_s: When the autoscaler changed the desired count.
        created_s: When the last replica of this event was created (up) or began to terminate (down).
        scheduled_s: When it was scheduled to a node.
        started_s: When its server process started, after pull and load.
        ready_s: When it became ready (up), or had terminated (down).
        serving_s: When it had answered its first request.
        recovered_s: When latency was within the SLO again and stayed there (see docs/metrics.md).
        pods: Names of the replicas that it added or removed.
        complete: Whether all times are known.
        missing: Why times are missing, one sentence each.
        needless: Whether the load needed no more than the replicas before from the decision until the added replicas
            were gone.
        broke_limit: Whether a request exceeded the limit before the recovery; None when unknown.
        lag_s: Longest lag of its levels: serving − needed, negative if the replicas served before they were needed;
            None if unknown, if nothing was needed or if they did not serve while they were needed.
        lag_at_least_s: In the last case, how long they were needed: replicas that serve later do not belong to that
            need.
        gaps: Steps whose time is uncertain because of a gap in the samples, or wrong because the clocks differ, one
            sentence each.
    """

    direction: Direction
    before: int
    after: int
    reason: str
    trigger_s: float | None
    over_target_s: float | None
    decided_s: float
    created_s: float | None
    scheduled_s: float | None
    started_s: float | None
    ready_s: float | None
    serving_s: float | None
    recovered_s: float | None
    pods: tuple[str, ...]
    complete: bool
    missing: tuple[str, ...] = ()
    needless: bool = False
    broke_limit: bool | None = None
    lag_s: float | None = None
    lag_at_least_s: float | None = None
    gaps: tuple[str, ...] = ()
