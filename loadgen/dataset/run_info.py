"""`run.json`: what is known of a run before its first request, and how it ended."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from loadgen.base.clock import Clock

SCHEMA_VERSION = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stage(_Frozen):
    """A span of the run with one rate rule: [start_s, end_s) on the run's time axis, seconds."""

    name: str
    start_s: float
    end_s: float


class Limit(_Frozen):
    """An SLO: `metric` is ttft, itl, tpot, e2e (seconds) or failed (ratio); `statistic` is p50 … p99, max or ratio."""

    metric: Literal["ttft", "itl", "tpot", "e2e", "failed"]
    statistic: Literal["p50", "p90", "p95", "p99", "max", "ratio"]
    limit: float


class ValidityLimits(_Frozen):
    """Beyond these the run cannot be judged: seconds, and a count of answered requests."""

    send_lag_p99_s: float
    scrape_gap_s: float
    min_samples: int


class Compression(_Frozen):
    """A duration that the local run shortens, beside its usual value in production."""

    what: str
    local: float
    production: float
    unit: str = "s"


class Autoscaler(_Frozen):
    """What drives the replica count: target of the metric, bounds, and the controller's own timing in seconds."""

    metric: str
    target: float
    min_replicas: int
    max_replicas: int
    sync_period_s: float
    tolerance: float = 0.1
    rate_window_s: float
    scrape_interval_s: float
    scale_down_window_s: float


class ClusterInfo(_Frozen):
    """The workload on a cluster that was driven, and what of it could not be seen."""

    context: str
    namespace: str
    kind: str
    workload: str
    hpa: str | None = None
    hpa_manifest: dict[str, Any] | None = None
    """The whole HPA as it was applied, without status and managedFields; None without one, and in older folders."""
    service: str | None = None
    endpoint: str
    """How requests reached it, as a person says it, such as `ingress 10.96.0.7:80`."""
    balances: Literal["requests", "connections", "one pod", "unknown"]
    """What the endpoint spreads over the replicas."""
    lacking: tuple[str, ...] = ()
    """One sentence each: what was not observed, and why."""
    assumed: tuple[str, ...] = ()
    """One sentence each: what was taken as usual because it could not be read."""
    skew_s: dict[str, float] = Field(default_factory=dict)
    """By how much a clock is ahead of this machine's; times of that source are corrected by it."""
    skew_error_s: dict[str, float] = Field(default_factory=dict)
    """Half the width of the interval in which that skew lies."""


class RunInfo(_Frozen):
    """`run.json`: everything that is known before the first request goes out, then how the run ended."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    scenario: str
    anchor_unix_s: float
    anchor_monotonic_s: float
    state: Literal["starting", "loading", "stopped", "finished"] = "starting"
    """`finished`: every due request has its answer; `stopped`: ended early on purpose; else interrupted."""
    target: str
    protocol: str
    stream: bool
    model: str | None = None
    emulated: str | None = None
    """One sentence that names what is emulated; None when nothing is."""
    compressions: tuple[Compression, ...] = ()
    autoscaler: Autoscaler | None = None
    cluster: ClusterInfo | None = None
    load_start_s: float | None = None
    load_end_s: float | None = None
    expected_rows: int | None = None
    """Arrivals that must have a row: all, or those due until a second before a stop; None in older folders."""
    error: str | None = None
    """Why no load was sent, as the user was told."""
    stages: tuple[Stage, ...] = ()
    limits: tuple[Limit, ...] = ()
    validity: ValidityLimits
    seeds: dict[str, int] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def clock(self) -> Clock:
        """The time axis that all tables of this run share."""
        return Clock(anchor_unix_s=self.anchor_unix_s, anchor_monotonic_s=self.anchor_monotonic_s)
