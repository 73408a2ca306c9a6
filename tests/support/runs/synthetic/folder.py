"""Writes the run folder of a plan, with the rows that a real run would record."""

import json
from math import inf, isfinite
from pathlib import Path
from typing import Any

import pyarrow as pa

from loadgen.base.clock import Clock
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.tables import TOKENS
from support.runs.synthetic.plan import LOAD_START_S, Plan
from support.runs.synthetic.replica import BACK_S, HAND_OFF_S, NETWORK_S, RESTART_S, Request
from support.runs.synthetic.run_info import CLOCK, run_info
from support.runs.synthetic.simulation import Replica, Sync, Truth, simulate


def write(runs: Path, plan: Plan, truth: Truth | None = None) -> RunFolder:
    """Write the run folder of a plan below `runs`; pass `truth` if the plan was simulated already."""
    truth = truth or simulate(plan)
    folder = RunFolder.create(runs, plan.name, Clock(**CLOCK))
    folder.write_info(run_info(plan, truth, folder.path.name))
    (folder.logs / "collector.log").write_text("synthetic\n")
    if plan.error is not None or not plan.recorded:
        return folder
    interrupted_s = inf if plan.interrupt_at_s is None else plan.interrupt_at_s
    requests = [request for request in truth.requests if request.ended_s <= interrupted_s]
    for worker in (0, 1):
        rows = [_request_row(plan, request, worker) for request in requests if request.number % 2 == worker]
        folder.append("requests", f"worker-{worker}", rows)
    if plan.stream:
        answered = [request for request in requests if len(request.tokens_s)]
        columns: list[Any] = [[r.number for r in answered], [LOAD_START_S + r.tokens_s for r in answered]]
        folder.append("tokens", "worker-0", pa.table(columns, schema=TOKENS))
    if plan.target != "url":
        samples = [sample._asdict() for sample in truth.samples if sample.t_s <= interrupted_s]
        ahead_s = LOAD_START_S + plan.clock_offset_s
        folder.append("samples", "collector", [row | {"t_s": ahead_s + row["t_s"]} for row in samples])
    last_s = min(interrupted_s, inf if plan.stop_at_s is None else truth.end_s + 5.0)
    events = [event for event in _events(plan, truth) if event["t_s"] <= LOAD_START_S + last_s]
    folder.append("events", "collector", sorted(events, key=lambda event: float(event["t_s"])))
    return folder


def _request_row(plan: Plan, request: Request, worker: int) -> dict[str, Any]:
    # Without streaming, the answer that carries output is the last.
    tokens = request.tokens_s if plan.stream or request.outcome == "ok" else request.tokens_s[:0]
    first = -1 if not plan.stream else 0
    return _engine_times(plan, request) | {
        "request_id": request.number,
        "worker": worker,
        "scheduled_s": LOAD_START_S + request.due_s,
        "sent_s": LOAD_START_S + request.sent_s,
        "first_token_s": LOAD_START_S + float(tokens[first]) if len(tokens) else None,
        "last_token_s": LOAD_START_S + float(tokens[-1]) if len(tokens) else None,
        "ended_s": LOAD_START_S + request.ended_s,
        "outcome": request.outcome,
        "cause": request.cause,
        "input_tokens": request.input_tokens,
        "max_tokens": request.max_tokens,
        "output_tokens": len(tokens) if request.pod is not None else None,
    }


def _engine_times(plan: Plan, request: Request) -> dict[str, Any]:
    """What the server reports of an answered request: its wait, prefill and decode in the engine, and its pod."""
    if not plan.engine_times or request.outcome != "ok":
        return {}
    arrived_s = request.sent_s + NETWORK_S + HAND_OFF_S
    first_s, last_s = float(request.tokens_s[0]), float(request.tokens_s[-1])
    return {
        "engine_queue_s": max(request.start_s - arrived_s, 0.0) if plan.waits_in == "engine" else 0.0,
        "engine_prefill_s": first_s - request.start_s,
        "engine_decode_s": last_s - first_s,
        "pod": request.pod,
    }


def _event(t_s: float, kind: str, pod: str | None = None, **more: Any) -> dict[str, Any]:
    data = more.pop("data", None)
    row = {"t_s": LOAD_START_S + t_s, "kind": kind, "pod": pod, "reason": None, "message": None}
    return row | {"data": None if data is None else json.dumps(data)} | more


def _events(plan: Plan, truth: Truth) -> list[dict[str, Any]]:
    events = [_event(0.0, "load_started")]
    if plan.stop_at_s is not None:
        events.append(_event(plan.stop_at_s, "load_stopped"))
    events.append(_event(truth.end_s, "load_ended"))
    if plan.target == "url":
        return events
    fleet = [event for replica in truth.replicas for event in _phases(replica)]
    fleet += [event for sync in truth.syncs for event in _sync(plan, sync)]
    events += [event | {"t_s": event["t_s"] + plan.clock_offset_s} for event in fleet]
    if plan.gap_s is not None:
        gap = {"from_s": LOAD_START_S + plan.gap_s[0], "to_s": LOAD_START_S + plan.gap_s[1]}
        data = {"source": "prometheus", **gap}
        events.append(_event(plan.gap_s[0], "collect_gap", message="connection refused", data=data))
    return events


def _phases(replica: Replica) -> list[dict[str, Any]]:
    crashed = {"message": "the server process ended", "data": {"exit_code": -11}}
    phases: list[tuple[float, str, dict[str, Any]]] = [
        (replica.created_s, "replica_created", {}),
        (replica.created_s + 0.02, "replica_scheduled", {}),
        (replica.created_s + 0.05, "replica_pulling", {}),
        (replica.started_s, "replica_started", {}),
        (replica.ready_s, "replica_ready", {}),
        (replica.crash_s, "replica_crashed", crashed),
        (replica.crash_s + RESTART_S, "replica_started", {}),
        (replica.crash_s + BACK_S, "replica_ready", {}),
        (replica.draining_s, "replica_draining", {}),
        (replica.stopped_s, "replica_stopped", {}),
    ]
    return [_event(t_s, kind, replica.name, **more) for t_s, kind, more in phases if isfinite(t_s)]


def _sync(plan: Plan, sync: Sync) -> list[dict[str, Any]]:
    data = {
        "current": sync.before,
        "desired": sync.after,
        "metric_milli": None if sync.ratio is None else int(sync.ratio * 1000),
        "target_milli": int(plan.ratio_target * 1000),
        "conditions": [],
        "proposals": [sync.proposal],
    }
    events = [_event(sync.t_s, "hpa_sync", data=data)]
    if sync.before != sync.after:
        up = sync.after > sync.before
        why = "pods metric queue_compute_ratio above target" if up else "All metrics below target"
        events.append(
            _event(
                sync.t_s,
                "hpa_rescale",
                reason="SuccessfulRescale",
                message=f"New size: {sync.after}; reason: {why}",
                data={"before": sync.before, "after": sync.after},
            )
        )
    return events
