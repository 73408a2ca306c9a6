"""What the load needed, what the fleet served, and what the difference did to requests."""

from dataclasses import dataclass
from typing import Literal

ServiceMethod = Literal["measured", "modelled"]
RateSource = Literal["plan", "arrivals"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval; `low` ≤ `value` ≤ `high`, all equal where nothing is uncertain.

    Attributes:
        value: The number.
        low: Lower end of its interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededSpan:
    """A span of the load that needs at least this many replicas.

    Attributes:
        replicas: The number of replicas, at least 2.
        start: When the offered rate reached what one replica fewer can serve.
        end: When it fell below that again; None if it did not before the load ended.
    """

    replicas: int
    start: Estimate
    end: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelLag:
    """Lag of the supply behind the demand at one level, for one needed span.

    Attributes:
        replicas: The level: the number of replicas that was needed.
        needed: When it was needed.
        served_s: When that many replicas first served, between the end of the previous need and of this one. If they
            had been serving since before, the end of the previous need. None if they did not serve in that time.
        lag: served − needed, negative if the replicas served early; None if they did not serve.
        already_served: Whether that many replicas had been serving since before the load, or the end of the previous
            need, so that nothing had to be scaled; then the lag is an upper bound.
        phase_s: Part of the lag from the metric over its target to the first HPA sync after that: chance, 0 to one
            sync period; None if unknown.
        lag_at_mid_phase_s: The lag with that part replaced by half a sync period, for comparisons between runs.
        lag_at_least_s: How long they were needed without serving, up to the end of the load: the lag is at least that.
            None if they served.
    """

    replicas: int
    needed: Estimate
    served_s: float | None
    lag: Estimate | None
    already_served: bool = False
    phase_s: float | None = None
    lag_at_mid_phase_s: float | None = None
    lag_at_least_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Requests that exceeded a limit on TTFT or E2E, by what caused it, according to two replays.

    Attributes:
        slow: Requests that exceeded a limit, unanswered ones included.
        by_lag: Those that also do with the replicas as they served, and do not with replicas that follow the demand.
        otherwise: Those that do in both replays: capacity, the maximum replica count, or something else.
        unexplained: Those that do not with the replicas as they served: the replays cannot explain them.
        conclusive: Whether at most a tenth of the slow requests is unexplained.
    """

    slow: int
    by_lag: int
    otherwise: int
    unexplained: int
    conclusive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallestFleet:
    """The smallest fixed fleet that keeps the limits on TTFT and E2E when the run is replayed on it.

    Attributes:
        replicas: The number of replicas.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    replicas: int
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PercentileInterval:
    """What other arrivals at the same rate give for a limited percentile, with the replicas as they served.

    Attributes:
        metric: `ttft` or `e2e`.
        statistic: `p50` … `max`.
        low_s: Lower end of the 95 % interval, seconds.
        high_s: Upper end.
        close: Whether the limit is inside the interval: the result may be chance.
        repeats: Runs that would decide it then; None if no practical number would.
        why_missing: Why there is no interval.
        sampled: Requests of the sample that the interval is from; None if it is from all.
        windows: Windows of consecutive requests in the sample; None without one.
    """

    metric: str
    statistic: str
    low_s: float | None = None
    high_s: float | None = None
    close: bool = False
    repeats: int | None = None
    why_missing: str | None = None
    sampled: int | None = None
    windows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Elasticity:
    """How well a supply curve followed the needed replicas; ratios and shares of the time, 0 is ideal.

    Attributes:
        theta_under: Mean of max(needed − supplied, 0) / needed over time.
        theta_over: Mean of max(supplied − needed, 0) / needed over time.
        tau_under: Share of the time with too few replicas.
        tau_over: Share of the time with too many.
        upsilon_under: Share of the time steps in which the needed replicas moved up relative to the supply's direction.
        upsilon_over: Share of those in which the supply did.
        jitter_per_s: Changes of the supply minus changes of the need, per second.
        reversals: Number of times at which the supply changed its direction.
        overshoot_ratio: (most supplied − most needed) / most needed; negative if fewer were supplied.
        settling_s: Longest time from a change of the need until the supply stayed within a tenth of it; None if it
            never did before the next change.
        unneeded_s: Seconds in which replicas were supplied although none was needed; in no other number.
        deviation: Distance of θ, τ, υ (the sum of its parts) and the share of slow requests from 0; None if that share
            is unknown.
    """

    theta_under: float
    theta_over: float
    tau_under: float
    tau_over: float
    upsilon_under: float
    upsilon_over: float
    jitter_per_s: float
    reversals: int
    overshoot_ratio: float
    settling_s: float | None
    unneeded_s: float
    deviation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What the load needed and how the fleet followed; None where it is unknown, with the reason in `why_missing`.

    Attributes:
        capacity: Sustained throughput of one replica, requests per second.
        service_method: Whether service times were measured by the engine or modelled from token times.
        slots: Requests that a replica serves at the same time.
        full_batch: Whether the service times are those of requests that started in a full batch; otherwise the
            capacity of an engine that slows down with its batch is overestimated.
        policy: How the gateway distributes requests: `round_robin`, or `least_requests` or `one_queue` if a replay with
            it is clearly closer to the run.
        rates: Highest stationary rates within the limits on TTFT and E2E, requests per second: of 1, 2, … replicas, as
            far as the load needed them. Without a capacity, a lower bound of that of one replica.
        source: Whether the offered rate is the planned one or was estimated from the arrivals.
        needed: Spans that needed 2 replicas or more, by start.
        lags: Lags by level and span.
        in_time: Whether the lag made no request slow, or there was none because all replicas served before they were
            needed; None if that is unknown, or if the load never needed more than one replica.
        attribution: What the lag did.
        smallest: The smallest fixed fleet.
        percentiles: Intervals of the limited percentiles of TTFT and E2E.
        elasticity_serving: Serving replicas against needed ones.
        elasticity_billed: Billed replicas against needed ones.
        why_missing: Why the capacity, and everything that follows from it, is unknown.
    """

    capacity: Estimate | None = None
    service_method: ServiceMethod | None = None
    slots: int | None = None
    full_batch: bool | None = None
    policy: str | None = None
    rates: tuple[Estimate, ...] = ()
    source: RateSource | None = None
    needed: tuple[NeededSpan, ...] = ()
    lags: tuple[LevelLag, ...] = ()
    in_time: bool | None = None
    attribution: Attribution | None = None
    smallest: SmallestFleet | None = None
    percentiles: tuple[PercentileInterval, ...] = ()
    elasticity_serving: Elasticity | None = None
    elasticity_billed: Elasticity | None = None
    why_missing: str | None = None
