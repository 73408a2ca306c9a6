"""Declares every finding: its code, severity, title, unit and meaning."""

from collections.abc import Mapping
from dataclasses import dataclass

from loadgen.analyze.results import Finding, Severity, Span, Window
from loadgen.dataset import terms


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingCode:
    """The static part of a finding.

    Attributes:
        code: Stable identifier, such as `validity.send_lag`.
        severity: Effect of a failed finding on the verdict.
        title: Title in reports and, for `fail` and `invalid`, in JUnit names.
        unit: Unit of the measured value and its limit: `s`, `ratio`, `count`, or empty for a plain number.
        meaning: One sentence.
    """

    code: str
    severity: Severity
    title: str
    unit: str
    meaning: str

    def finding(
        self,
        *,
        measured: float | None,
        limit: float | None,
        advice: str,
        window: Span | Window | None = None,
        passed: bool = False,
        severity: Severity | None = None,
        unknown: int = 0,
        low: float | None = None,
        high: float | None = None,
    ) -> Finding:
        """Make a finding of this code.

        Args:
            measured: The measured value; None when it was not measured.
            limit: The limit; None when there is none.
            advice: What the finding means here and what to do next.
            window: Where it was measured; None for the whole run.
            passed: Whether the limit was met.
            severity: Overrides the declared severity.
            unknown: Number of values that a stop of the run left open and that could turn the result.
            low: Lower end of the 95 % interval of the measured value.
            high: Upper end of that interval.
        """
        return Finding(
            code=self.code,
            severity=severity or self.severity,
            passed=passed,
            title=self.title,
            measured=measured,
            limit=limit,
            unit=self.unit,
            window=window,
            advice=advice,
            unknown=unknown,
            low=low,
            high=high,
        )


def _invalid(code: str, title: str, unit: str, meaning: str) -> FindingCode:
    return FindingCode(code=code, severity="invalid", title=title, unit=unit, meaning=meaning)


def _warning(code: str, title: str, unit: str, meaning: str) -> FindingCode:
    return FindingCode(code=code, severity="warning", title=title, unit=unit, meaning=meaning)


def _latency(term: terms.Term, statistic: str) -> FindingCode:
    return FindingCode(
        code=f"slo.{term.key}.{statistic}",
        severity="fail",
        title=f"{term.label} {statistic}",
        unit="s",
        meaning=f"{term.label} {statistic} exceeds the scenario's limit.",
    )


_FAILED = FindingCode(
    code="slo.failed.ratio",
    severity="fail",
    title="Failed requests",
    unit="ratio",
    meaning="The share of failed requests exceeds the scenario's limit.",
)
ATTAINMENT = FindingCode(
    code="slo.attainment.ratio",
    severity="fail",
    title="SLO attainment",
    unit="ratio",
    meaning="The share of the requests that met every limit for a single request is below the scenario's limit.",
)
IN_VIOLATION = FindingCode(
    code="slo.in_violation.total",
    severity="fail",
    title="Time in violation",
    unit="s",
    meaning="The total length of the windows whose attainment is below the target exceeds the scenario's limit.",
)
SCALE_UP_LAG = FindingCode(
    code="slo.scale_up_lag.worst",
    severity="fail",
    title="Scale-up lag",
    unit="s",
    meaning="Replicas served later after the load needed them than the scenario's limit allows.",
)
SLO: Mapping[tuple[str, str], FindingCode] = {
    **{
        (term.key, statistic): _latency(term, statistic)
        for term in (terms.TTFT, terms.ITL, terms.TPOT, terms.E2E)
        for statistic in ("p50", "p90", "p95", "p99", "max")
    },
    ("failed", "ratio"): _FAILED,
    ("attainment", "ratio"): ATTAINMENT,
    ("in_violation", "total"): IN_VIOLATION,
    ("scale_up_lag", "worst"): SCALE_UP_LAG,
}
"""The findings of the limits, by metric and statistic."""

LOAD = _invalid("validity.load", "Load started", "s", "The run ended before any load.")
INTERRUPTED = _invalid(
    "validity.interrupted",
    "Run completed",
    "s",
    "The tool or one of its processes died before the load ended; a run that was stopped is complete.",
)
ROWS = _invalid("validity.rows", "Unrecorded requests", "count", "Scheduled requests have no row in `requests/`.")
DAMAGED_ROWS = _invalid(
    "validity.damaged_rows",
    "Rows that cannot be true",
    "count",
    "Rows of the run folder cannot be true and are left out, such as one with a time that is not a number; a warning "
    "if they cannot change the verdict.",
)
TOO_LARGE = _warning(
    "run.too_large",
    "Analyzed only in total",
    "count",
    "The run has more stages, scaling events or syncs of the autoscaler than are analyzed one by one.",
)
GENERATOR = _invalid(
    "validity.generator",
    "Requests that the load generator ended",
    "count",
    "The load generator could not send requests, or ended them itself.",
)
SEND_LAG = _invalid("validity.send_lag", "Send lag p99", "s", "The load generator sent requests too late.")
SAMPLES = _invalid("validity.samples", "Answered requests", "count", "Too few requests were answered for percentiles.")
CLOCK = _invalid(
    "validity.clock",
    "Requests with inconsistent timestamps",
    "count",
    "Timestamps of a request contradict each other by more than 1 ms.",
)
SIGNAL = _invalid(
    "validity.signal", "Ratio samples", "count", "The queue-to-compute ratio was not sampled during the load."
)
SCRAPE_GAP = _invalid(
    "validity.scrape_gap",
    "Longest gap in the ratio samples",
    "s",
    "The ratio of no replica was sampled for too long while one was ready and requests were due.",
)
ENDPOINT = _invalid(
    "validity.endpoint", "Reachable replicas", "count", "All requests of a scaled workload went to one pod."
)

ENDPOINT_CONNECTIONS = _warning(
    "endpoint.connections",
    "Load balancing per connection",
    "",
    "gRPC requests went through an endpoint that balances connections and not requests.",
)
ENDPOINT_PROXY = _warning(
    "endpoint.proxy",
    "Requests went through a proxy",
    "",
    "Requests went through a proxy that the environment names, so all latencies include it.",
)
ENDPOINT_INSECURE = _warning(
    "endpoint.insecure",
    "Server certificate not verified",
    "",
    "The run had the flag `--insecure`, so another server could have answered in place of the target.",
)
CLUSTER_LACKING = _warning(
    "cluster.lacking",
    "Unavailable cluster data",
    "count",
    "Data of the cluster was not collected because a permission or a component is missing.",
)
SIGNAL_ADAPTER = _warning(
    "signal.adapter",
    "Metrics API deviates from Prometheus",
    "ratio",
    "The custom metrics API served another value than Prometheus recorded.",
)
SIGNAL_NEVER_CROSSED = _warning(
    "signal.never_crossed",
    "Ratio never exceeded its target",
    "",
    "The highest ratio stayed below the target, so the run did not test scaling.",
)
SIGNAL_UNTRUE = _warning(
    "signal.untrue",
    "HPA metric deviates from raw counters",
    "ratio",
    "The ratio that the autoscaler reads differs from the ratio of the raw counters.",
)
SIGNAL_ENGINE_WAITING = _warning(
    "signal.engine_waiting",
    "Requests waiting inside the engine",
    "count",
    "Requests waited inside the engine while the ratio did not exceed its target.",
)
SIGNAL_BLIND = _warning(
    "signal.blind",
    "Limit broken while the ratio stayed within its noise",
    "s",
    "Requests exceeded the limit on latency, and the ratio did not show it.",
)
SIGNAL_UNDEFINED = _warning(
    "signal.undefined",
    "Ratio undefined",
    "s",
    "No request completed in the rate window although requests were in flight, so the ratio had no value.",
)
SIGNAL_COUNTERS_GAP = _warning(
    "signal.counters_gap",
    "Gap in the counters of a replica",
    "s",
    "The counters of one ready replica were not read for too long.",
)
SIGNAL_REPLICA_GAP = _warning(
    "signal.replica_gap",
    "Gap in the ratio samples of a replica",
    "s",
    "The ratio of one ready replica was not sampled for too long.",
)
SCALING_AT_MAX = _warning(
    "scaling.at_max",
    "Overload at the maximum replica count",
    "s",
    "All allowed replicas were ready and the load still exceeded their capacity.",
)
OLD_BACKLOG = _warning(
    "balance.old_backlog",
    "Backlog on old replicas while new ones are idle",
    "s",
    "After a scale-up the old replicas worked off their queues while a new one had no queue.",
)
UNEVEN = _warning(
    "balance.uneven",
    "Requests unevenly spread over the replicas",
    "ratio",
    "The requests of ready replicas differed by more than random choice of a replica can explain.",
)
LATE_SHARE = _warning(
    "balance.late_share",
    "New replicas got their share of the requests late",
    "s",
    "A replica that was added got its fair share of the requests long after it was ready, or never.",
)
COLD_REPLICAS = _warning(
    "replica.cold",
    "Cold replicas decide the SLO",
    "s",
    "A limit on TTFT is missed, and would be met without the answers of replicas that had just begun to serve.",
)
SCALING_NEEDLESS = _warning(
    "scaling.needless",
    "Unnecessary scale-ups",
    "count",
    "The load never exceeded the capacity of the replicas before the scale-up.",
)
SCALING_NOT_TESTED = _warning(
    "scaling.not_tested",
    "Scaling not tested",
    "",
    "The load never needed a scale-up, or nothing asked for one, so the run says nothing about scaling.",
)
SCALING_FLAPPING = _warning(
    "scaling.flapping",
    "Replica count flapping",
    "s",
    "The replica count went up, down and up again within two scale-down windows.",
)
SCALING_BY_OTHERS = _warning(
    "scaling.by_others",
    "Rescales not made by the autoscaler",
    "count",
    "Something other than the autoscaler changed the desired replica count during the load.",
)
REPLICA_UNUSED = _warning(
    "replica.unused", "Ready replica served no requests", "s", "A replica was ready and answered no request."
)
AUTOSCALER_BLIND = _warning(
    "autoscaler.blind",
    "HPA could not read its metric",
    "s",
    "The autoscaler could not read its metric and kept the replica count.",
)
AUTOSCALER_UNEXPLAINED = _warning(
    "autoscaler.unexplained",
    "Syncs that the HPA algorithm does not explain",
    "count",
    "The autoscaler did not do what its algorithm gives for the recorded inputs.",
)
REPLICA_CRASHED = _warning("replica.crashed", "Replica crashes", "count", "A server process exited unexpectedly.")
REPLICA_KILLED = _warning(
    "replica.killed", "Replicas killed", "count", "A server process did not exit within its grace period."
)
PART_DIED = _warning(
    "part.died",
    "Unexpected process exits",
    "count",
    "Prometheus, the gateway or the local stack itself exited unexpectedly.",
)
RECORDING_DELAYED = _warning(
    "recording.delayed",
    "Recording delayed",
    "s",
    "The run folder could not be written for a time, as on a full disk; no row was lost.",
)
COLLECT_GAP = _warning("collect.gap", "Gaps in data collection", "count", "No data was collected from a source.")
CLOCK_STEP = _warning(
    "clock.step",
    "Clock steps",
    "s",
    "A wall clock was set during the run; the run is invalid if the ratio was not sampled for too long because of it.",
)
CLOCK_OFFSET = _warning(
    "clock.offset",
    "Clock offset",
    "s",
    "The clock of samples and events differs from that of the requests by more than can be explained otherwise.",
)
NODE_LOST = _warning("node.lost", "Nodes lost", "s", "A node with replicas on it was not ready or was removed.")
NODE_PRESSURE = _warning(
    "node.pressure",
    "Nodes under pressure",
    "s",
    "A node with replicas on it was short of memory, disk space or process ids, or had no CPU to spare.",
)
REPLICA_LOST = _warning(
    "replica.lost", "Replicas lost", "count", "Replicas stopped without a scale-down that accounts for them."
)
REPLICA_UNSCHEDULABLE = _warning(
    "replica.unschedulable", "Unschedulable replicas", "s", "A replica waited for a node that fits it."
)
DRAIN_BROKEN = _warning(
    "drain.broken",
    "Requests failed during replica termination",
    "count",
    "Requests were cut off or failed while a replica terminated.",
)

ALL: tuple[FindingCode, ...] = (
    *SLO.values(),
    LOAD,
    INTERRUPTED,
    ROWS,
    DAMAGED_ROWS,
    TOO_LARGE,
    GENERATOR,
    SEND_LAG,
    SAMPLES,
    CLOCK,
    SIGNAL,
    SCRAPE_GAP,
    ENDPOINT,
    ENDPOINT_CONNECTIONS,
    ENDPOINT_PROXY,
    ENDPOINT_INSECURE,
    CLUSTER_LACKING,
    SIGNAL_ADAPTER,
    SIGNAL_NEVER_CROSSED,
    SIGNAL_UNTRUE,
    SIGNAL_ENGINE_WAITING,
    SIGNAL_BLIND,
    SIGNAL_UNDEFINED,
    SIGNAL_COUNTERS_GAP,
    SIGNAL_REPLICA_GAP,
    SCALING_AT_MAX,
    OLD_BACKLOG,
    UNEVEN,
    LATE_SHARE,
    COLD_REPLICAS,
    SCALING_NEEDLESS,
    SCALING_NOT_TESTED,
    SCALING_FLAPPING,
    SCALING_BY_OTHERS,
    REPLICA_UNUSED,
    AUTOSCALER_BLIND,
    AUTOSCALER_UNEXPLAINED,
    REPLICA_CRASHED,
    REPLICA_KILLED,
    PART_DIED,
    RECORDING_DELAYED,
    COLLECT_GAP,
    CLOCK_STEP,
    CLOCK_OFFSET,
    NODE_LOST,
    NODE_PRESSURE,
    REPLICA_LOST,
    REPLICA_UNSCHEDULABLE,
    DRAIN_BROKEN,
)
"""Every finding that an analysis can make."""

SLO_METRICS: Mapping[str, tuple[str, str]] = {declared.code: key for key, declared in SLO.items()}
"""Metric and statistic of each finding about a limit, by code."""
