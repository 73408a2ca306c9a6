"""Which share of the requests met every limit for a single request, window by window."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AttainmentWindow:
    """Attainment of the requests due in one window; requests in flight at a stop give its numbers two bounds.

    Attributes:
        start_s: Start of the window.
        end_s: Its end.
        requests: Number of requests due in it, without those that the load generator failed.
        attained: Number of these that attained.
        unknown: Number of the others that were in flight at a stop and could still attain.
        attainment_lower: attained / requests.
        attainment_upper: (attained + unknown) / requests.
        burn_lower: (1 − attainment_upper) / (1 − target_ratio): 1 uses up exactly what the target allows.
        burn_upper: The same of attainment_lower.
        goodput_lower_per_s: Requests per second, by due time, that attained.
        goodput_upper_per_s: The same if every request attained that still could.
        in_violation: Whether the attainment is below the target; None if requests in flight at a stop could turn it.
    """

    start_s: float
    end_s: float
    requests: int
    attained: int
    unknown: int
    attainment_lower: float
    attainment_upper: float
    burn_lower: float
    burn_upper: float
    goodput_lower_per_s: float
    goodput_upper_per_s: float
    in_violation: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Consecutive windows in violation, and the limited latency that exceeded its limit the most in them.

    Attributes:
        start_s: Start of the first window.
        end_s: End of the last window.
        requests: Number of requests due in them.
        attained: Number of these that attained.
        metric: Metric of the latency, `ttft`, `itl`, `tpot` or `e2e`; None if no limited percentile of these requests
            exceeds its limit.
        statistic: Its limited percentile, such as `p95`.
        limit_s: The limit on it.
        measured_s: Its value over the requests due in these windows, or the lower bound of it; +inf if so many
            requests have no value that the percentile is one of them.
        at_least: Whether requests in flight at a stop make `measured_s` a lower bound.
    """

    start_s: float
    end_s: float
    requests: int
    attained: int
    metric: str | None
    statistic: str | None
    limit_s: float | None
    measured_s: float | None
    at_least: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attainment:
    """SLO attainment of a run: a request attains when it ended `ok` within every limit for a single request.

    Attributes:
        limits_s: The limit for a single request on each limited metric: that of its highest limited percentile.
        target_ratio: The share of the requests that must attain: the lowest of these percentiles, or, without a limit
            on a latency, 1 − the limit on failed requests.
        window_s: Length of a window; one with fewer than 20 requests is joined with the next.
        whole: All windows together.
        windows: The windows in order.
        worst_window: Index of the window with the lowest attainment.
        in_violation_lower_s: Total length of the windows that are in violation.
        in_violation_upper_s: The same with those that requests in flight at a stop leave unknown.
        worst: The windows in violation around the worst window; None if none is in violation for certain.
    """

    limits_s: dict[str, float]
    target_ratio: float
    window_s: float
    whole: AttainmentWindow
    windows: tuple[AttainmentWindow, ...]
    worst_window: int
    in_violation_lower_s: float
    in_violation_upper_s: float
    worst: Violation | None
