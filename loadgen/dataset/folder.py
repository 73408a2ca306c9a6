"""The run folder: the only seam between what observes a run and what judges it.

`runs/<id>/` holds `run.json` and four tables as `part-*.parquet`. A part is written to a temporary name and renamed,
so every part that can be seen is whole; parts are closed every few seconds, so a crash costs seconds and not the run.
The columns are documented in `docs/dataset.md`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadgen.base.clock import Clock
from loadgen.base.errors import DatasetError, RecordError
from loadgen.base.files import write_whole

if TYPE_CHECKING:
    import pandas as pd  # a second of start-up that only readers need to pay

SCHEMA_VERSION = 1

NOT_BY_AUTOSCALER = "NotByAutoscaler"
"""Reason of a `hpa_rescale` that is known to be none of the autoscaler's: somebody or something else scaled."""

Outcome = Literal["ok", "rejected", "timeout", "error", "cut_off", "not_sent"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "rejected", "timeout", "error", "cut_off", "not_sent")

REQUESTS = pa.schema(
    [
        pa.field("request_id", pa.int64(), nullable=False),
        pa.field("worker", pa.int16(), nullable=False),
        pa.field("scheduled_s", pa.float64(), nullable=False),
        pa.field("sent_s", pa.float64()),
        pa.field("first_token_s", pa.float64()),
        pa.field("last_token_s", pa.float64()),
        pa.field("ended_s", pa.float64()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("cause", pa.string()),
        pa.field("input_tokens", pa.int32(), nullable=False),
        pa.field("max_tokens", pa.int32(), nullable=False),
        pa.field("output_tokens", pa.int32()),
    ]
)
TOKENS = pa.schema(
    [
        pa.field("request_id", pa.int64(), nullable=False),
        pa.field("t_s", pa.list_(pa.float64()), nullable=False),
    ]
)
SAMPLES = pa.schema(
    [
        pa.field("t_s", pa.float64(), nullable=False),
        pa.field("signal", pa.string(), nullable=False),
        pa.field("pod", pa.string()),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
EVENTS = pa.schema(
    [
        pa.field("t_s", pa.float64(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("pod", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
        pa.field("data", pa.string()),
    ]
)
TABLES: Mapping[str, pa.Schema] = {
    "requests": REQUESTS,
    "tokens": TOKENS,
    "samples": SAMPLES,
    "events": EVENTS,
}


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


class RunFolder:
    """One run on disk: `run.json`, tables, logs and reports below `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, runs: Path, scenario: str, clock: Clock) -> "RunFolder":
        """Make a new, empty folder below `runs`, named by UTC start time and scenario.

        Raises:
            RecordError: the folder cannot be written.
        """
        stamp = datetime.fromtimestamp(clock.anchor_unix_s, UTC).strftime("%Y%m%dT%H%M%SZ")
        slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", scenario).strip("-") or "run"
        for attempt in range(100):
            path = runs / (f"{stamp}-{slug}" + (f"-{attempt + 1}" if attempt else ""))
            try:
                path.mkdir(parents=True)
                (path / "logs").mkdir(mode=0o700)  # what a server said may be in one of them
            except FileExistsError:
                continue
            except OSError as error:
                raise RecordError(
                    f"cannot create the run folder {path}: {error.strerror}; free space, or set LOADGEN_RUNS_DIR"
                ) from error
            return cls(path)
        raise RecordError(f"cannot find a free folder name below {runs}; set LOADGEN_RUNS_DIR to another folder")

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing folder after checking its schema version.

        Raises:
            DatasetError: no run there, unreadable `run.json`, or written by another schema version.
        """
        folder = cls(path)
        folder.read_info()
        return folder

    @property
    def logs(self) -> Path:
        """Where every process that the run starts writes its log."""
        return self.path / "logs"

    def read_info(self) -> RunInfo:
        """`run.json`, checked.

        Raises:
            DatasetError: missing, unreadable, or of another schema version.
        """
        file = self.path / "run.json"
        try:
            raw = json.loads(file.read_text())
        except FileNotFoundError:
            raise DatasetError(
                f"{self.path} is not a run folder: it has no run.json; give a folder below runs/"
            ) from None
        except (OSError, ValueError) as error:
            raise DatasetError(f"{file} cannot be read ({error}); restore it or run the test again") from error
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if version != SCHEMA_VERSION:
            raise DatasetError(
                f"{self.path} has schema version {version}, this loadgen reads {SCHEMA_VERSION}: "
                f"use the loadgen release that wrote it"
            )
        try:
            return RunInfo.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise DatasetError(
                f"{file} is damaged at {where} ({first['msg']}); restore it or run the test again"
            ) from error

    def write_info(self, info: RunInfo) -> None:
        """Replace `run.json`, whole or not at all."""
        self.write_text("run.json", info.model_dump_json(indent=2) + "\n")

    def write_text(self, name: str, text: str) -> Path:
        """Write a file of the folder whole or not at all; returns its path."""
        return write_whole(self.path / name, text.encode())

    def append(self, table: str, writer: str, rows: Iterable[Mapping[str, Any]] | pa.Table) -> Path | None:
        """Close one part of a table; `writer` keeps the part names of concurrent processes apart.

        Returns:
            The part's path, or None when there was no row.

        Raises:
            RecordError: the disk is full or the folder is gone; nothing already recorded is touched.
        """
        schema = TABLES[table]
        data = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=schema)
        if data.num_rows == 0:
            return None
        folder = self.path / table
        try:
            folder.mkdir(exist_ok=True)
            number = sum(1 for _ in folder.glob(f"part-{writer}-*.parquet"))
            part = folder / f"part-{writer}-{number:06d}.parquet"
            temporary = part.with_suffix(".tmp")
            try:
                pq.write_table(data.cast(schema), temporary, compression="zstd")
                temporary.replace(part)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise RecordError(
                f"cannot record {table} in {folder}: {error.strerror or error}; "
                f"what was recorded before is kept: free space and run again"
            ) from error
        return part

    def read(self, table: str) -> "pd.DataFrame":
        """All parts of a table in one frame, with the schema's columns also when there is no part.

        Raises:
            DatasetError: a part is damaged (none is ever left half written by us).
        """
        schema = TABLES[table]
        parts = sorted((self.path / table).glob("part-*.parquet"))
        tables = []
        for part in parts:
            try:
                tables.append(pq.read_table(part, schema=schema))
            except (OSError, pa.ArrowException) as error:
                raise DatasetError(f"{part} cannot be read ({error}); delete it to report on the rest") from error
        frame: pd.DataFrame = (pa.concat_tables(tables) if tables else schema.empty_table()).to_pandas()
        return frame


def load_writer() -> None:
    """Load now what the first table would load: pandas, a second in which a process does nothing else."""
    pa.array([0.0])
