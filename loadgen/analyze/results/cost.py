"""What a run cost, and what other fleets would have cost for the same requests."""

from dataclasses import dataclass
from typing import Literal

AlternativeKind = Literal["smallest_fixed_fleet", "static_peak", "perfect", "perfect_with_start_up"]
GpuSource = Literal["workload", "setting", "flag"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A cost in three units; the last two are None without the GPUs of a replica, or without a price.

    Attributes:
        replica_hours: Replica-hours.
        gpu_hours: GPU-hours.
        amount: Money, in `Cost.currency`.
    """

    replica_hours: float
    gpu_hours: float | None = None
    amount: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAlternative:
    """Another fleet for the same requests.

    Attributes:
        kind: `smallest_fixed_fleet`: the fewest replicas of a fixed fleet that keeps the limits on TTFT and E2E;
            `static_peak`: as many as were desired at the peak; `perfect`: an autoscaler that knows the future, whose
            replicas start at once; `perfect_with_start_up`: the same with replicas that are billed while they start.
        replicas: Its replicas; of an autoscaler, the most.
        start_up_s: From the creation of a replica until it is ready; None for a fixed fleet.
        charge: What it would have cost; None if it is unknown.
        least_replica_hours: What no schedule can be below; None for a fixed fleet.
        meets_limits: Whether a replay of the run keeps the limits on TTFT and E2E; None if it is not known.
        conclusion: What follows, one sentence.
        why_missing: Why the charge is unknown, as the end of a sentence after "because".
    """

    kind: AlternativeKind
    replicas: int | None = None
    start_up_s: float | None = None
    charge: Charge | None = None
    least_replica_hours: float | None = None
    meets_limits: bool | None = None
    conclusion: str = ""
    why_missing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """The cost of a number of requests or tokens.

    Attributes:
        per: How many: 1,000 or 1,000,000.
        count: How many there were; None if that is unknown.
        charge: What so many cost; None if it is unknown.
        conclusion: What follows, one sentence.
        why_missing: Why it is unknown, as the end of a sentence after "because".
    """

    per: int
    count: int | None = None
    charge: Charge | None = None
    conclusion: str = ""
    why_missing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Replica-seconds during the load, from created to stopped, compared with other fleets.

    Attributes:
        replica_seconds: Σ over replicas of the time from created to stopped, within the load.
        static_replicas: Replicas of the static peak: the most that were desired at once.
        static_replica_seconds: static_replicas × length of the load.
        of_static_ratio: replica_seconds / static_replica_seconds.
        mean_replicas: replica_seconds / length of the load.
        needed_replicas: Replicas of the smallest fixed fleet that serves this load within the limits on TTFT and E2E
            (see docs/metrics.md); its interval is in `Analysis.demand`.
        needed_replica_seconds: needed_replicas × length of the load.
        of_needed_ratio: replica_seconds / needed_replica_seconds.
        needed_why_missing: Why the three above are missing.
        billed: replica_seconds as replica-hours, GPU-hours and money.
        gpus_per_replica: GPUs of one replica; None if it is unknown.
        gpu_source: Where that is from: the workload on the cluster, the setting `pricing`, or `--gpus-per-replica`.
        price_per_gpu_hour: Price of a GPU-hour; None without one.
        currency: Its currency.
        alternatives: Other fleets for the same requests.
        per_thousand_good: Cost of 1,000 requests that met every limit for a single request; None without a load.
        per_million_tokens: Cost of 1,000,000 output tokens; None without a load.
    """

    replica_seconds: float | None
    static_replicas: int | None
    static_replica_seconds: float | None
    of_static_ratio: float | None
    mean_replicas: float | None
    needed_replicas: int | None = None
    needed_replica_seconds: float | None = None
    of_needed_ratio: float | None = None
    needed_why_missing: str | None = None
    billed: Charge | None = None
    gpus_per_replica: int | None = None
    gpu_source: GpuSource | None = None
    price_per_gpu_hour: float | None = None
    currency: str | None = None
    alternatives: tuple[CostAlternative, ...] = ()
    per_thousand_good: UnitCost | None = None
    per_million_tokens: UnitCost | None = None
