"""Defines `run.json`: the settings, seeds and versions of a run, and how it ended."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from loadgen.base.clock import Clock
from loadgen.dataset.names import StopCause
from loadgen.dataset.tables import MAX_RUN_S

SCHEMA_VERSION = 1

SIGNAL_NOT_OBSERVED = "the signal that the autoscaler reads is not observed"
"""Part of the sentences of `ClusterInfo.lacking` because of which the ratio is not recorded."""

# `Compression` and `ClusterInfo` are dataclasses, because `analysis.json` contains them, too.
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


_MAX_UNIX_S = 253_000_000_000.0
"""In the year 9987: a date cannot be later than 9999."""

_MAX_REPLICAS = 2**31 - 1
"""Kubernetes counts replicas in 32 bits."""

_SHORTEST_PERIOD_S = 0.001
"""Of something that an autoscaler repeats; a shorter one is damage."""

Seconds = Annotated[float, Field(ge=0)]
"""A duration."""
Count = Annotated[int, Field(ge=0, le=2**53)]
"""A number of things, which a float holds exactly."""
TimeInRun = Annotated[float, Field(ge=-MAX_RUN_S, le=MAX_RUN_S)]
"""Seconds on the run's time axis."""


class Stage(_Frozen):
    """A span of the run with one rate rule: [start_s, end_s) in seconds on the run's time axis."""

    name: str
    start_s: TimeInRun
    end_s: TimeInRun

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        if self.end_s < self.start_s:
            raise ValueError(f"it ends at {self.end_s:g} s, before its start at {self.start_s:g} s")
        return self


class Limit(_Frozen):
    """An SLO: a limit on a statistic of a metric.

    `metric` is ttft, itl, tpot, e2e (seconds) with the statistics p50 … p99 and max; failed and attainment with the
    statistic ratio; in_violation (seconds) with the statistic total; or scale_up_lag (seconds) with the statistic
    worst.
    """

    metric: Literal["ttft", "itl", "tpot", "e2e", "failed", "attainment", "in_violation", "scale_up_lag"]
    statistic: Literal["p50", "p90", "p95", "p99", "max", "ratio", "total", "worst"]
    limit: float


class ValidityLimits(_Frozen):
    """Limits beyond which the run cannot be judged: two durations in seconds and a count of answered requests."""

    send_lag_p99_s: Seconds
    scrape_gap_s: Seconds
    min_samples: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """A duration that a local run shortens.

    Attributes:
        what: What takes that long.
        local: Its value in this run.
        production: Its usual value in production.
        unit: Unit of both values.
    """

    __pydantic_config__ = _STRICT

    what: str
    local: float
    production: float
    unit: str = "s"


class Autoscaler(_Frozen):
    """The autoscaler: its metric and target, the replica bounds, and its timing in seconds."""

    metric: str
    target: float
    min_replicas: int
    max_replicas: int
    sync_period_s: float
    tolerance: float = 0.1
    rate_window_s: float
    scrape_interval_s: float
    scale_down_window_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterInfo:
    """The workload under test on a cluster.

    Attributes:
        kind: Deployment or LeaderWorkerSet.
        workload: Its name.
        namespace: Its namespace.
        context: Context of the kubeconfig, or `in-cluster`.
        hpa: Name of its autoscaler.
        service: Name of its Service.
        endpoint: How requests reach it, such as `ingress 10.96.0.7:80`.
        balances: What the endpoint spreads over the replicas.
        lacking: Which data was not collected and why, one sentence each.
        assumed: Which usual values were assumed because they could not be read, one sentence each.
        skew_s: Seconds by which a clock is ahead of this machine's; timestamps of that source are corrected by it.
        hpa_manifest: The whole HPA at the start of the run; None where there was none or it could not be read.
        skew_error_s: Half the width of the interval that holds the skew.
        gpus_per_replica: GPUs that one replica requests; None where it requests none by a countable resource, and in
            older folders.
    """

    __pydantic_config__ = _STRICT

    kind: str
    workload: str
    namespace: str
    context: str
    hpa: str | None = None
    hpa_manifest: dict[str, Any] | None = None
    """The whole HPA as it was applied, without status and managedFields; None without one, and in older folders."""
    service: str | None = None
    endpoint: str
    balances: Literal["requests", "connections", "one pod", "unknown"]
    lacking: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    skew_s: dict[str, float] = field(default_factory=dict)
    skew_error_s: dict[str, float] = field(default_factory=dict)
    gpus_per_replica: int | None = None


class PromptInfo(_Frozen):
    """What makes the prompts of a run differ from each other and from those of other runs."""

    distinct: Count
    """Number of different prompts that were planned; every further one repeats an earlier one."""
    head_tokens: Count | None = None
    """Length of the head that makes a prompt unique; None for prompts from a file, which have none."""
    head_key: str | None = None
    """What the heads depend on besides the number of the request: the run's id, or the seed of the prompts."""


class GroupInfo(_Frozen):
    """A run's place among the runs that `--repeats` makes of one scenario.

    Attributes:
        id: Name of the group, which is also that of the folder with its reports, beside the run folders.
        number: Number of this run, from 1.
        repeats: Number of runs that were planned.
        sync_period_s: Sync period P of the autoscaler; None where it is not known.
        sync_s: An observed sync of the autoscaler, on the run's time axis: the load starts (number − 1) · P / repeats
            after one that is a multiple of P later. None where no sync was observed, so that the phase is random.
    """

    id: Annotated[str, Field(min_length=1, max_length=200)]
    number: Annotated[int, Field(ge=1)]
    repeats: Annotated[int, Field(ge=1, le=2**31)]
    sync_period_s: Annotated[float, Field(gt=0, le=MAX_RUN_S)] | None = None
    sync_s: TimeInRun | None = None

    @property
    def phase_ratio(self) -> float:
        """The start of the load after a sync, as a share of the sync period."""
        return (self.number - 1) / self.repeats


class ConnectionInfo(_Frozen):
    """The connection to the server under test, without any secret.

    Attributes:
        headers: Names of the headers (gRPC: metadata) that every request carried.
        ca_file: File with the CA certificates that were trusted; None for the public ones.
        insecure: Whether the server's certificate was not verified.
        client_cert: File with the client certificate.
        path: Path in front of every request's own.
        proxy: Proxy that the requests went through, without user and password; None for a direct connection.
    """

    headers: tuple[str, ...] = ()
    ca_file: str | None = None
    insecure: bool = False
    client_cert: str | None = None
    path: str = ""
    proxy: str | None = None


class RunInfo(_Frozen):
    """The content of `run.json`: it is complete before the first request is sent, except for how the run ended."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    scenario: str
    anchor_unix_s: Annotated[float, Field(ge=0, le=_MAX_UNIX_S)]
    anchor_monotonic_s: float
    state: Literal["starting", "loading", "stopped", "finished"] = "starting"
    """`finished`: every request has its outcome; `stopped`: stopped early, not by an error; otherwise interrupted."""
    stop_cause: StopCause | None = None
    """How the load was stopped early; None if it was not, and in older folders."""
    target: str
    protocol: str
    stream: bool
    model: str | None = None
    emulated: str | None = None
    """One sentence about the emulated parts; None when nothing is emulated."""
    compressions: tuple[Compression, ...] = ()
    autoscaler: Autoscaler | None = None
    cluster: ClusterInfo | None = None
    connection: ConnectionInfo | None = None
    """The connection to the server; None where it is direct and plain, and in older folders."""
    load_start_s: TimeInRun | None = None
    load_end_s: TimeInRun | None = None
    expected_rows: Count | None = None
    """Number of arrivals that must have a row: all, or those due until 1 s before a stop; None in older folders."""
    error: str | None = None
    """The error because of which no load was sent, or that ended the load."""
    prompts: PromptInfo | None = None
    """None before the load, and in older folders."""
    group: GroupInfo | None = None
    """The group of `--repeats`; None for a run by itself, and in older folders."""
    stages: tuple[Stage, ...] = ()
    limits: tuple[Limit, ...] = ()
    validity: ValidityLimits
    seeds: dict[str, int] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @field_validator("limits")
    @classmethod
    def _limits_can_be_met(cls, limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
        for each in limits:
            if each.limit < 0:
                raise ValueError(f"the limit on {each.metric} {each.statistic} is negative: {each.limit:g}")
        return limits

    @field_validator("autoscaler")
    @classmethod
    def _autoscaler_can_be_one(cls, scaler: Autoscaler | None) -> Autoscaler | None:
        if scaler is None:
            return None
        negative = [name for name, value in scaler if isinstance(value, int | float) and value < 0]
        if negative or not scaler.target:
            raise ValueError(f"its {negative[0]} is negative" if negative else "its target is 0")
        for name in ("sync_period_s", "rate_window_s", "scrape_interval_s"):
            if not _SHORTEST_PERIOD_S <= getattr(scaler, name) <= MAX_RUN_S:
                raise ValueError(f"its {name} is {getattr(scaler, name):g} s")
        if not scaler.min_replicas <= scaler.max_replicas <= _MAX_REPLICAS:
            raise ValueError(f"it cannot have {scaler.min_replicas} to {scaler.max_replicas} replicas")
        return scaler

    @field_validator("settings")
    @classmethod
    def _durations_are_durations(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings that an analysis computes with; the others are only shown."""
        for name in ("request_timeout_s", "settle_s"):
            value = settings.get(name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and value >= 0):
                raise ValueError(f"{name} is {value!r:.80} and not a duration in seconds")
        return settings

    @model_validator(mode="after")
    def _load_ends_after_its_start(self) -> Self:
        """A run that is stopped while its users start ends before the start of its load; others do not."""
        start, end = self.load_start_s, self.load_end_s
        if self.state == "finished" and start is not None and end is not None and end < start:
            raise ValueError(f"load_end_s ({end:g}) is before load_start_s ({start:g})")
        return self

    @property
    def clock(self) -> Clock:
        """The time axis of all tables of this run."""
        return Clock(anchor_unix_s=self.anchor_unix_s, anchor_monotonic_s=self.anchor_monotonic_s)
