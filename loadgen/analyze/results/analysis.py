"""The analysis of one run, with its identity and the figures of its summary."""

from dataclasses import dataclass, field
from typing import Literal

from loadgen.analyze.results.attainment import Attainment
from loadgen.analyze.results.audit import Audit
from loadgen.analyze.results.balance import Balance, ReplicaAge
from loadgen.analyze.results.chain import EventChain, FixFirst
from loadgen.analyze.results.cost import Cost
from loadgen.analyze.results.demand import Demand
from loadgen.analyze.results.failures import Failures
from loadgen.analyze.results.finding import Finding, Span
from loadgen.analyze.results.generator import Generator
from loadgen.analyze.results.in_time import InTime
from loadgen.analyze.results.nodes import Nodes
from loadgen.analyze.results.requests import Latencies, OutcomeCount
from loadgen.analyze.results.scaling import ScalingEvent
from loadgen.analyze.results.series import Correlation, Mark, Timeline
from loadgen.analyze.results.signal import ClockOffset, EngineUse, SignalGap, SignalTruth
from loadgen.analyze.results.warm_up import WarmUp
from loadgen.dataset.names import StopCause
from loadgen.dataset.run_info import ClusterInfo, Compression

Verdict = Literal["pass", "fail", "invalid"]
State = Literal["finished", "stopped", "interrupted", "never_started"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The run itself: its identity, settings and versions.

    Attributes:
        run_id: Name of the run folder.
        scenario: Scenario name.
        started_unix_s: Wall-clock time of the start of the load, or of the run when no load started.
        length_s: Length of the load, seconds; None when it never started.
        state: `finished`, `stopped` (stopped early, not by an error), `interrupted` (the tool died), or
            `never_started` (it ended before any load).
        stop_cause: How the load was stopped early; None if it was not, and for runs of earlier releases.
        target: `local` or URL.
        protocol: `grpc` or `http` (Triton), or `openai`.
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
    stop_cause: StopCause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The figures of the summary; None where the run does not have them.

    Attributes:
        worst_event: Index into `Analysis.scaling` of the scale-up with the longest lag.
        lag_s: Its lag: from the need of the load until the replicas served; negative if they served before. If they did
            not serve while they were needed, how long they were needed.
        signal_s: Part of the lag from load step to over target.
        decide_s: Part of the lag from over target to decided.
        start_s: Part of the lag from decided to ready.
        traffic_s: The rest of the lag: from ready to serving.
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
        lag_at_least: Whether the lag is at least that, because the replicas did not serve while they were needed.
        in_time: Whether the fleet was in time; None in results of earlier releases.
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
    in_time: InTime | None = None
    lag_at_least: bool = False


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
        lag_windows: One span per scale-up that was not early: from its first known time to its first response, or until
            the backlog that its lag left was gone.
        stage_spans: Stages, up to the end of the load.
        timeline: Series at 1 s.
        marks: Events that the figures draw.
        correlations: Lagged correlations of pairs of series.
        cost: What the run cost, and what other fleets would have cost.
        capacity_per_s: Sustained throughput of one replica in requests per second; None when unknown.
        demand: What the load needed, how the fleet followed, and what the lag did.
        audit: The syncs of the autoscaler, each with the rule that determined it.
        chains: The links of every scaling event, in the order of `scaling`.
        fix_first: The link that costs most of those that can be changed; None without a late scale-up.
        failures: Failed requests by cause and scaling event; None when no load started.
        output_unit: What output tokens count: `chunks` if the server gave no token counts for some requests.
        warm_up: How long the run was cold, by the setting and by a proposal; None without a load.
        by_warm_up: Latencies of the requests due before and after the warm-up, `cold` and `warm`; empty without one.
        attainment: Which share of the requests met every limit for a single request, by windows of due time; None
            without such limits or without requests.
        signal: Whether the ratio can be trusted as a signal; None when no load started.
        engine: Use of the engines, of all replicas together and then of each; empty when it was not collected.
        gaps: Times of the load without a value of the ratio.
        clock_offset: Offset of the clock of samples and events; None when no load started.
        balance: How evenly requests were spread over the replicas; None when no load started.
        replica_age: TTFT by the age of the replica; None when no load started.
        generator: Whether the load generator was the bottleneck; None when no load started.
        nodes: Whether the nodes with replicas on them had resources to spare; None without a cluster or a load.
        itl_error_ratio: Largest relative error of a percentile of ITL: 0 if each gap was kept; more than 2,000,000 are
            counted in bins.
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
    demand: Demand = field(default_factory=Demand)
    output_unit: Literal["tokens", "chunks"] = "tokens"
    warm_up: WarmUp | None = None
    by_warm_up: tuple[Latencies, ...] = ()
    attainment: Attainment | None = None
    signal: SignalTruth | None = None
    engine: tuple[EngineUse, ...] = ()
    gaps: tuple[SignalGap, ...] = ()
    clock_offset: ClockOffset | None = None
    audit: Audit = field(default_factory=Audit)
    balance: Balance | None = None
    replica_age: ReplicaAge | None = None
    generator: Generator | None = None
    nodes: Nodes | None = None
    chains: tuple[EventChain, ...] = ()
    fix_first: FixFirst | None = None
    failures: Failures | None = None
    itl_error_ratio: float = 0.0
