"""What the figures draw: series, events, and how the series follow one another."""

from dataclasses import dataclass

from loadgen.analyze.results.scaling import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Series on one grid; all tuples have the length of `t_s`, missing values are NaN.

    Attributes:
        t_s: Start of each bin; 0 is the start of the load, earlier bins are negative.
        bin_s: Width of a bin.
        offered_per_s: Due requests per second.
        completed_per_s: Requests per second that ended `ok` in the bin.
        failed_per_s: Requests per second with another outcome, by the time they ended, or else were due.
        in_flight: Requests in flight at the end of the bin; ratios and replica counts are those of that time, too.
        ttft_p50_s: Median TTFT of requests due in the bin (in the 5 s around it when it holds fewer than 20; so for
            all latency series). This and the next three are of the requests that have the value.
        ttft_p95_s: 95th percentile of TTFT of requests due in the bin.
        e2e_p50_s: Median E2E of requests due in the bin.
        e2e_p95_s: 95th percentile of E2E of requests due in the bin.
        ttft_p50_lower_s: Lower bound of the median of TTFT over all requests due in the bin: what never arrived counts
            as +inf, what was open when the run was stopped with the time until then. So for the other lower bounds.
        ttft_p50_upper_s: Upper bound: what was open counts as +inf, too. So for the other upper bounds.
        ttft_p95_lower_s: Lower bound of the 95th percentile of TTFT.
        ttft_p95_upper_s: Upper bound of it.
        e2e_p50_lower_s: Lower bound of the median of E2E.
        e2e_p50_upper_s: Upper bound of it.
        e2e_p95_lower_s: Lower bound of the 95th percentile of E2E.
        e2e_p95_upper_s: Upper bound of it.
        ratio: Fleet queue-to-compute ratio, reconstructed as the mean over replicas of their recorded ratios.
        ratio_truth: Fleet ratio from Triton's raw counters in the same window.
        ratio_by_pod: Replica name → ratio series.
        desired: Desired replicas.
        ready: Ready replicas.
        serving: Replicas that have answered at least one request.
        needed: Replicas that the load needs; NaN outside the load.
        ratio_read: Value that the autoscaler read at its last evaluation; missing where evaluations are not recorded.
    """

    t_s: tuple[float, ...]
    bin_s: float
    offered_per_s: tuple[float, ...]
    completed_per_s: tuple[float, ...]
    failed_per_s: tuple[float, ...]
    in_flight: tuple[float, ...]
    ttft_p50_s: tuple[float, ...]
    ttft_p95_s: tuple[float, ...]
    e2e_p50_s: tuple[float, ...]
    e2e_p95_s: tuple[float, ...]
    ttft_p50_lower_s: tuple[float, ...]
    ttft_p50_upper_s: tuple[float, ...]
    ttft_p95_lower_s: tuple[float, ...]
    ttft_p95_upper_s: tuple[float, ...]
    e2e_p50_lower_s: tuple[float, ...]
    e2e_p50_upper_s: tuple[float, ...]
    e2e_p95_lower_s: tuple[float, ...]
    e2e_p95_upper_s: tuple[float, ...]
    ratio: tuple[float, ...]
    ratio_truth: tuple[float, ...]
    ratio_by_pod: dict[str, tuple[float, ...]]
    desired: tuple[float, ...]
    ready: tuple[float, ...]
    serving: tuple[float, ...]
    needed: tuple[float, ...] = ()
    ratio_read: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An event that the figures draw.

    Attributes:
        t_s: When it happened.
        kind: Event kind, as in `loadgen.dataset.names.EventKind`.
        label: Short text.
        pod: Name of the replica; None for an event of the whole fleet.
        direction: Of a rescale, `up` or `down`; None for other events.
    """

    t_s: float
    kind: str
    label: str
    pod: str | None = None
    direction: Direction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Pearson correlation of two pre-whitened series at the lag with the largest absolute value (docs/metrics.md).

    Attributes:
        leader: Name of the first series, which leads where the lag is positive.
        follower: Name of the second series.
        coefficient: Pearson's r at the lag; None where it is unknown.
        lag_s: Seconds by which `follower` comes later; negative where `follower` leads.
        samples: Number of pairs at this lag.
        threshold: What the largest absolute value of unrelated series exceeds in 5 of 100 cases.
        significant: Whether the absolute coefficient exceeds the threshold; otherwise it may be chance.
        why_missing: Why the coefficient is unknown.
    """

    leader: str
    follower: str
    coefficient: float | None
    lag_s: float | None
    samples: int
    why_missing: str | None = None
    threshold: float | None = None
    significant: bool = False
