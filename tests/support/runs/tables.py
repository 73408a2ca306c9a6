"""Builds the tables of small runs by hand.

Times are seconds from the start of the load; the tables contain them shifted by `ZERO_S`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from loadgen.analyze.observed import Observed, Tables
from loadgen.analyze.prepare import observe
from loadgen.analyze.results import Finding
from loadgen.dataset.run_info import Autoscaler, Limit, RunInfo, Stage, ValidityLimits
from loadgen.dataset.tables import TABLES

ZERO_S = 64.0
"""A power of two, so that shifting a small number by it is exact."""

SCALER = Autoscaler(
    metric="queue_compute_ratio",
    target=1.0,
    min_replicas=1,
    max_replicas=4,
    sync_period_s=15.0,
    rate_window_s=10.0,
    scrape_interval_s=1.0,
    scale_down_window_s=30.0,
)


def info(
    *,
    length_s: float | None = 60.0,
    stages: Sequence[tuple[str, float, float]] = (("all", 0.0, 60.0),),
    limits: Sequence[tuple[str, str, float]] = (),
    zero_s: float | None = ZERO_S,
    **changes: Any,
) -> RunInfo:
    base = zero_s or 0.0
    fields: dict[str, Any] = {
        "run_id": "20261124T120000Z-hand",
        "scenario": "hand",
        "anchor_unix_s": 1_795_521_600.0,
        "anchor_monotonic_s": 10.0,
        "state": "finished",
        "target": "local",
        "protocol": "grpc",
        "stream": True,
        "autoscaler": SCALER,
        "load_start_s": zero_s,
        "load_end_s": None if length_s is None else base + length_s,
        "stages": tuple(Stage(name=name, start_s=base + a, end_s=base + b) for name, a, b in stages),
        "limits": tuple(Limit(metric=m, statistic=s, limit=v) for m, s, v in limits),  # type: ignore[arg-type]
        "validity": ValidityLimits(send_lag_p99_s=0.05, scrape_gap_s=5.0, min_samples=1),
    }
    return RunInfo(**{**fields, **changes})


def request(
    number: int,
    due_s: float,
    ttft_s: float | None = 0.5,
    e2e_s: float | None = 1.0,
    outcome: str = "ok",
    cause: str | None = None,
    *,
    lag_s: float | None = 0.0,
    ended_s: float | None = None,
    tokens: int | None = 3,
) -> dict[str, Any]:
    """One row of `requests`: by default the first token comes 0.5 s and the last 1 s after it was due."""
    end = ended_s if ended_s is not None else None if e2e_s is None else due_s + e2e_s
    return {
        "request_id": number,
        "worker": 0,
        "scheduled_s": due_s,
        "sent_s": None if lag_s is None else due_s + lag_s,
        "first_token_s": None if ttft_s is None else due_s + ttft_s,
        "last_token_s": None if e2e_s is None or ttft_s is None else due_s + e2e_s,
        "ended_s": end,
        "outcome": outcome,
        "cause": cause,
        "input_tokens": 10,
        "max_tokens": 16,
        "output_tokens": tokens if ttft_s is not None else None,
    }


def event(t_s: float, kind: str, pod: str | None = None, **data: Any) -> dict[str, Any]:
    row = {"t_s": t_s, "kind": kind, "pod": pod, "reason": None, "message": None}
    return row | {"data": json.dumps(data) if data else None}


def life(pod: str, created: float, ready: float, draining: float | None = None, stopped: float | None = None) -> Any:
    """The events of a replica that is scheduled 0.25 s and started 1 s after its creation."""
    events = [
        event(created, "replica_created", pod),
        event(created + 0.25, "replica_scheduled", pod),
        event(created + 1.0, "replica_started", pod),
        event(ready, "replica_ready", pod),
    ]
    if draining is not None:
        events.append(event(draining, "replica_draining", pod))
    if stopped is not None:
        events.append(event(stopped, "replica_stopped", pod))
    return events


def rescale(t_s: float, before: int, after: int) -> dict[str, Any]:
    return event(t_s, "hpa_rescale", before=before, after=after)


def series(signal: str, pod: str | None, values: Mapping[float, float]) -> list[dict[str, Any]]:
    return [{"t_s": t, "signal": signal, "pod": pod, "value": value} for t, value in values.items()]


def tables(
    requests: Sequence[Mapping[str, Any]] = (),
    tokens: Mapping[int, Sequence[float]] | None = None,
    samples: Sequence[Mapping[str, Any]] = (),
    events: Sequence[Mapping[str, Any]] = (),
    zero_s: float = ZERO_S,
) -> Tables:
    """The four tables as `RunFolder.table` returns them."""
    answers = [{"request_id": n, "t_s": [zero_s + t for t in times]} for n, times in (tokens or {}).items()]
    return Tables(
        requests=_table("requests", [_shifted(row, zero_s) for row in requests]),
        tokens=_table("tokens", answers),
        samples=_table("samples", [_shifted(row, zero_s) for row in samples]),
        events=_table("events", [_shifted(row, zero_s) for row in events]),
    )


def observed(run: RunInfo | None = None, **parts: Any) -> Observed:
    return observe(run or info(), tables(**parts))


def by_code(findings: Sequence[Finding], code: str) -> Finding:
    (match,) = [finding for finding in findings if finding.code == code]
    return match


def _shifted(row: Mapping[str, Any], zero_s: float) -> dict[str, Any]:
    times = {
        key: value + zero_s
        for key, value in row.items()
        if key.endswith("_s") and not key.startswith("engine_") and value is not None
    }
    return {**row, **times}


def _table(table: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=TABLES[table])
