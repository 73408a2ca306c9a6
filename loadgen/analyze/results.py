"""Defines the result of an analysis: frozen values, from which all reports are made.

Times are seconds from the start of the load (the first stage) unless a field says otherwise. Durations are seconds.
Ratios are 0..1, except for the queue-to-compute ratio. Missing values are None, or NaN inside a series.
`docs/metrics.md` has the formulas.
"""

from dataclasses import dataclass, field
from typing import Literal

from loadgen.dataset.run_info import ClusterInfo, Compression

Verdict = Literal["pass", "fail", "invalid"]
Severity = Literal["fail", "invalid", "warning", "info"]
Direction = Literal["up", "down"]
State = Literal["finished", "stopped", "interrupted", "never_started"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A named span of time, such as a stage or a lag window."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Window:
    """Part of the load that a finding is about; its text is `from 31.0 s to 58.0 s` or `at 31.0 s`.

    Attributes:
        start_s: Its start.
        end_s: Its end; None for a moment.
    """

    start_s: float
    end_s: float | None = None

    def __str__(self) -> str:
        if self.end_s is None:
            return f"at {self.start_s:.1f} s"
        return f"from {self.start_s:.1f} s to {self.end_s:.1f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One checked condition; page, JUnit and exit code follow from the findings.

    Attributes:
        code: Stable identifier, declared in `loadgen.analyze.findings.codes`.
        severity: `fail` and `invalid` decide the verdict; `warning` and `info` do not.
        passed: Whether the limit was met; always False for warning and info.
        title: Title of the condition, such as "TTFT p95".
        measured: The measured value in base units (seconds, ratio, count), None when not measured.
        limit: The limit in the same unit, None when there is none.
        unit: `s`, `ratio` (of a whole, 0..1), `count`, `per_s`, or empty for a plain number.
        window: Where it was measured: a stage or a window; None for the whole run.
        advice: What the finding means and what to do next.
        unknown: Number of values that a stop of the run left open and that could turn the result; 0 when none could.
    """

    code: str
    severity: Severity
    passed: bool
    title: str
    measured: float | None
    limit: float | None
    unit: str
    window: Span | Window | None
    advice: str
    unknown: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A latency distribution in seconds; `count` is its number of values."""

    count: int
    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Latencies of one group of requests (a stage, a replica count, or the whole run).

    Attributes:
        name: Stage name, "1 replica" …, or "whole run".
        start_s: Start of the group's span; None for a group without one.
        end_s: End of the group's span.
        scheduled: Number of due requests, without those that a stop kept from being sent.
        answered: Number with outcome `ok`.
        failed: Number with any other outcome, without those that a stop of the run ended before their time-out.
        offered_per_s: Due requests per second.
        completed_per_s: Requests per second that ended `ok` within the span.
        output_tokens_per_s: Output tokens per second received within the span.
        ttft: First token − scheduled, over requests that got a first token.
        itl: Gaps between consecutive tokens, over all tokens of the group.
        tpot: Mean gap of each request with at least two tokens, without those that a stop of the run ended.
        e2e: Last token − scheduled, over `ok` requests.
        send_lag: Sent − scheduled, over sent requests.
        stopped: Number in flight, and younger than the time-out, that a stop of the run ended.
            scheduled = answered + failed + stopped.
    """

    name: str
    start_s: float | None
    end_s: float | None
    scheduled: int
    answered: int
    failed: int
    offered_per_s: float | None
    completed_per_s: float | None
    output_tokens_per_s: float | None
    ttft: Stats
    itl: Stats
    tpot: Stats
    e2e: Stats
    send_lag: Stats
    stopped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeCount:
    """Number of requests with one outcome and cause, and the times of the first and last of them.

    Attributes:
        outcome: Their outcome.
        cause: Template of their cause; `other` for all causes beyond the most frequent ones.
        count: Number of requests.
        first_s: When the first of them ended, or else was due.
        last_s: The same of the last.
        causes: Number of causes: more than 1 for `other`.
    """

    outcome: str
    cause: str | None
    count: int
    first_s: float
    last_s: float
    causes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingEvent:
    """One change of the desired replica count and its consequences; a time is None when it is unknown.

    Attributes:
        direction: `up` or `down`.
        before: Desired replicas before.
        after: Desired replicas after.
        reason: Message of the autoscaler.
        trigger_s: Load step: when the load crossed the capacity of the replicas before (see docs/metrics.md).
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
        needless: Whether the load never exceeded the capacity of the replicas before, until the next scale-down.
        broke_limit: Whether a request exceeded the limit before the recovery; None when unknown.
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
            all four latency series).
        ttft_p95_s: 95th percentile of TTFT of requests due in the bin.
        e2e_p50_s: Median E2E of requests due in the bin.
        e2e_p95_s: 95th percentile of E2E of requests due in the bin.
        ratio: Fleet queue-to-compute ratio that the autoscaler read.
        ratio_truth: Fleet ratio from Triton's raw counters in the same window.
        ratio_by_pod: Replica name → ratio series.
        desired: Desired replicas.
        ready: Ready replicas.
        serving: Replicas that have answered at least one request.
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
    ratio: tuple[float, ...]
    ratio_truth: tuple[float, ...]
    ratio_by_pod: dict[str, tuple[float, ...]]
    desired: tuple[float, ...]
    ready: tuple[float, ...]
    serving: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Pearson correlation of two series at the lag (seconds, ≥ 0: `follower` comes later) with the highest value."""

    leader: str
    follower: str
    coefficient: float | None
    lag_s: float | None
    samples: int
    why_missing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Replica-seconds during the load, from created to stopped, compared with fleets of a fixed size.

    Attributes:
        replica_seconds: Σ over replicas of the time from created to stopped, within the load.
        static_replicas: Replicas of the static peak: the most that were desired at once.
        static_replica_seconds: static_replicas × length of the load.
        of_static_ratio: replica_seconds / static_replica_seconds.
        mean_replicas: replica_seconds / length of the load.
        needed_replicas: Replicas of the smallest fixed fleet that can serve this load (see docs/metrics.md).
        needed_replica_seconds: needed_replicas × length of the load.
        of_needed_ratio: replica_seconds / needed_replica_seconds.
        needed_why_missing: Why the three above are missing.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The figures of the summary; None where the run does not have them.

    Attributes:
        worst_event: Index into `Analysis.scaling` of the scale-up with the longest lag.
        lag_s: Its lag: from the load step to the first response of the last new replica.
        signal_s: Part of the lag from load step to over target.
        decide_s: Part of the lag from over target to decided.
        start_s: Part of the lag from decided to ready.
        traffic_s: Part of the lag from ready to serving.
        slow_requests: Requests that exceeded the per-request TTFT limit, including unanswered ones.
        slow_in_lag: Those of them that were due within a lag window of a scale-up.
        judged_requests: Number of requests of which it is known whether they exceeded the limit; without a limit on
            TTFT, whose outcome is known.
        unknown_requests: Number of the others: in flight without a first token, and younger than the limit, when the
            run was stopped.
        ttft_limit_s: The per-request limit used.
        peak_replicas: Most ready replicas at once.
        lowest_replicas: Fewest ready replicas at once during the load, after the first was ready.
        last_replicas: Ready replicas at the end.
    """

    worst_event: int | None
    lag_s: float | None
    signal_s: float | None
    decide_s: float | None
    start_s: float | None
    traffic_s: float | None
    slow_requests: int | None
    slow_in_lag: int | None
    judged_requests: int
    ttft_limit_s: float | None
    peak_replicas: int | None
    lowest_replicas: int | None
    last_replicas: int | None
    unknown_requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The run itself: its identity, settings and versions.

    Attributes:
        run_id: Name of the run folder.
        scenario: Scenario name.
        started_unix_s: Wall-clock time of the start of the load, or of the run when no load started.
        length_s: Length of the load, seconds; None when it never started.
        state: `finished`, `stopped` (ended early on purpose), `interrupted` (the tool died), or `never_started`
            (it ended before any load).
        target: `local` or URL.
        protocol: `grpc` or `http`.
        stream: Whether tokens were streamed.
        model: Model under test.
        emulated: One sentence about the emulated parts; None when nothing is emulated.
        compressed: Durations that a local run shortens.
        ratio_target: Target of the queue-to-compute ratio, None without an autoscaler.
        min_replicas: Fewest replicas allowed.
        max_replicas: Most replicas allowed.
        sync_period_s: Interval of the autoscaler.
        ratio_metric: Name of the metric that the autoscaler reads.
        tolerance: Share of the target within which it does not scale.
        rate_window_s: Window of the ratio.
        scale_down_window_s: Stabilization window of scale-downs.
        cluster: The workload under test on a cluster; None for another target.
        settings: Resolved settings, as in run.json.
        seeds: Seeds.
        versions: Versions of programs and libraries.
        repeated_prompts_ratio: Share of the sent requests whose prompt repeats that of an earlier one; None when it is
            unknown.
    """

    run_id: str
    scenario: str
    started_unix_s: float
    length_s: float | None
    state: State
    target: str
    protocol: str
    stream: bool
    model: str | None
    emulated: str | None
    compressed: tuple[Compression, ...]
    ratio_target: float | None
    min_replicas: int | None
    max_replicas: int | None
    sync_period_s: float | None
    ratio_metric: str | None = None
    tolerance: float | None = None
    rate_window_s: float | None = None
    scale_down_window_s: float | None = None
    cluster: ClusterInfo | None = None
    settings: dict[str, object] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    repeated_prompts_ratio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The analysis of one run.

    Attributes:
        run: What was run.
        verdict: `pass`, `fail` or `invalid`.
        findings: All checked conditions: those that decide the verdict first, those that passed last.
        headline: Figures of the summary.
        whole: Latencies of all requests.
        stages: Latencies per stage, by due time.
        by_replicas: Latencies per number of ready replicas at the due time; empty when no replica was observed.
        outcomes: Counts of requests by outcome and cause, the most frequent first.
        scaling: Every change of the desired replica count.
        lag_windows: One span per scale-up: from its first known time to its first response.
        stage_spans: Stages, up to the end of the load.
        timeline: Series at 1 s.
        marks: Events that the figures draw.
        correlations: Lagged correlations of pairs of series.
        cost: Replica-seconds.
        capacity_per_s: Saturated throughput of one replica in requests per second; None when unknown.
        output_unit: What output tokens count: `chunks` if the server gave no token counts for some requests.
    """

    run: Run
    verdict: Verdict
    findings: tuple[Finding, ...]
    headline: Headline
    whole: Latencies
    stages: tuple[Latencies, ...]
    by_replicas: tuple[Latencies, ...]
    outcomes: tuple[OutcomeCount, ...]
    scaling: tuple[ScalingEvent, ...]
    lag_windows: tuple[Span, ...]
    stage_spans: tuple[Span, ...]
    timeline: Timeline
    marks: tuple[Mark, ...]
    correlations: tuple[Correlation, ...]
    cost: Cost
    capacity_per_s: float | None = None
    output_unit: Literal["tokens", "chunks"] = "tokens"
