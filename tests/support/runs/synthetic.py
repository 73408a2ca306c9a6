"""Synthetic but realistic run folders, deterministic by seed: a fleet, its queues and its autoscaler in closed loop.

`write(tmp_path, Plan(crash_at_s=60))` writes one run folder and returns it;
`python tests/support/runs/synthetic.py DIR [variant]` does the same from a shell ("all" writes every variant). The
fleet is simulated request by request: every replica has `slots` first-come-first-served places, counters move when a
request ends (as Triton's do), the ratio is their quotient over the rate window, and the HPA reads its mean every 15 s.
"""

import heapq
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from loadgen.base.clock import Clock
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import Autoscaler, Compression, Limit, RunInfo, Stage, ValidityLimits
from loadgen.dataset.tables import TOKENS
from loadgen.scenario.rates import Wave

ANCHOR_UNIX_S = 1_795_521_600.0  # 2026-11-24T12:00:00Z
LOAD_START_S = 18.25
SYNC_S = 15.0
WINDOW_S = 10.0
DOWN_WINDOW_S = 30.0
START_S = 12.0
TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What happens in the run; times are seconds from the start of the load, None means that it does not happen.

    `blind` makes the signal read 0 throughout; `gap_s` is a span without any collected sample; `send_lag_s` delays
    every send; `cut_on_drain` ends the streams of a replica that is scaled away; `failing_ratio` is the share of
    requests that the server refuses or answers with an error.
    """

    name: str = "waves"
    seed: int = 1
    period_s: float = 150.0
    cycles: int = 2
    trough_per_s: float = 0.5
    peak_per_s: float = 8.0
    replicas: tuple[int, int] = (1, 4)
    slots: int = 4
    prefill_s: float = 0.06
    step_s: float = 0.028
    target: float = 1.0
    settle_s: float = 60.0
    failing_ratio: float = 0.0
    send_lag_s: float = 0.0
    autoscaler: bool = True
    blind: bool = False
    cut_on_drain: bool = False
    crash_at_s: float | None = None
    interrupt_at_s: float | None = None
    stop_at_s: float | None = None
    gap_s: tuple[float, float] | None = None
    ttft_p95_s: float = 2.0

    @property
    def load(self) -> Wave:
        return Wave(
            trough_per_s=self.trough_per_s, peak_per_s=self.peak_per_s, period_s=self.period_s, cycles=self.cycles
        )


VARIANTS: dict[str, Plan] = {
    "waves": Plan(),
    "healthy": Plan(name="healthy", replicas=(2, 4), target=0.2, slots=5),
    "crash": Plan(name="crash", crash_at_s=95.0),
    "interrupted": Plan(name="interrupted", interrupt_at_s=130.0),
    "stopped": Plan(name="stopped", stop_at_s=100.0),
    "no-autoscaler": Plan(name="no autoscaler", autoscaler=False, replicas=(2, 2)),
    "failing": Plan(name="failing", failing_ratio=0.08),
    "blind": Plan(name="blind", blind=True),
    "gap": Plan(name="gap", gap_s=(70.0, 85.0)),
    "send-lag": Plan(name="send lag", send_lag_s=0.2),
    "cut-on-drain": Plan(name="cut on drain", trough_per_s=2.5, cut_on_drain=True),
    "two-hours": Plan(name="two hours", period_s=600.0, cycles=12),
}


@dataclass
class _Replica:
    name: str
    created_s: float
    ready_s: float
    draining_s: float = float("inf")
    stopped_s: float = float("inf")
    down: list[tuple[float, float]] = field(default_factory=list)
    free_s: list[float] = field(default_factory=list)
    running: list[tuple[float, int]] = field(default_factory=list)  # heap of (end_s, request)
    queue_us: float = 0.0
    compute_us: float = 0.0
    success: int = 0
    failure: int = 0
    history: list[tuple[float, float, float]] = field(default_factory=list)

    def is_ready(self, t_s: float) -> bool:
        return self.ready_s <= t_s < self.draining_s and not any(a <= t_s < b for a, b in self.down)


class _Fleet:
    """The closed loop; everything is on the run's own axis (0 = anchor)."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = np.random.default_rng(plan.seed)
        self.events: list[dict[str, Any]] = []
        self.samples: list[tuple[float, str, str | None, float]] = []
        self.requests: list[dict[str, Any]] = []
        self.tokens: dict[int, np.ndarray] = {}
        self.fleet: list[_Replica] = []
        self.turn = 0
        self.desired = plan.replicas[0]
        self.advice: list[tuple[float, int]] = []
        self.end_s = LOAD_START_S + plan.load.length_s

    def event(self, t_s: float, kind: str, pod: str | None = None, **more: Any) -> None:
        data = more.pop("data", None)
        self.events.append(
            {"t_s": t_s, "kind": kind, "pod": pod, "reason": None, "message": None, **more}
            | {"data": None if data is None else json.dumps(data)}
        )

    def add(self, t_s: float, start_s: float = START_S) -> None:
        letters = "bcdfghjklmnpqrstvwxz2456789"
        tail = "".join(letters[i] for i in self.rng.integers(0, len(letters), 5))
        pod = _Replica(f"triton-7d9f64c5b8-{tail}", t_s, t_s + start_s)
        pod.free_s = [pod.ready_s] * self.plan.slots
        heapq.heapify(pod.free_s)
        self.fleet.append(pod)
        self.event(t_s, "replica_created", pod.name)
        self.event(t_s + 0.02, "replica_scheduled", pod.name)
        self.event(t_s + 0.05, "replica_pulling", pod.name)
        self.event(pod.ready_s - 1.6, "replica_started", pod.name)
        self.event(pod.ready_s, "replica_ready", pod.name)

    def send(self, number: int, due_s: float) -> None:
        plan, rng = self.plan, self.rng
        wanted = int(rng.integers(16, 65))
        sent = due_s + plan.send_lag_s + float(rng.exponential(0.0008))
        row: dict[str, Any] = {
            "request_id": number,
            "worker": number % 2,
            "scheduled_s": due_s,
            "sent_s": sent,
            "first_token_s": None,
            "last_token_s": None,
            "ended_s": None,
            "outcome": "ok",
            "cause": None,
            "input_tokens": int(rng.integers(32, 257)),
            "max_tokens": wanted,
            "output_tokens": None,
        }
        self.requests.append(row)
        chance = float(rng.random())
        steps = plan.step_s * rng.uniform(0.85, 1.2, wanted)
        ready = [pod for pod in self.fleet if pod.is_ready(sent)]
        if not ready:
            row |= {"ended_s": sent + 0.004, "outcome": "rejected", "cause": "UNAVAILABLE: no healthy upstream"}
            return
        self.turn += 1
        pod = ready[self.turn % len(ready)]
        if chance < plan.failing_ratio / 2:
            row |= {"ended_s": sent + 0.006, "outcome": "rejected", "cause": "UNAVAILABLE: exceeds maximum queue size"}
            pod.failure += 1
            return
        if chance < plan.failing_ratio:
            row |= {"ended_s": sent + 0.3, "outcome": "error", "cause": "empty answer"}
            pod.failure += 1
            return
        start = max(sent + 0.001, heapq.heappop(pod.free_s))
        steps[0] = plan.prefill_s + row["input_tokens"] * 1e-4
        times = start + np.cumsum(steps)
        if times[-1] > sent + TIMEOUT_S:
            times = times[times <= sent + TIMEOUT_S]
            row |= {"ended_s": sent + TIMEOUT_S, "outcome": "timeout", "cause": f"no last token after {TIMEOUT_S:g} s"}
            heapq.heappush(pod.free_s, max(start, sent + TIMEOUT_S))
            self._tokens(row, times)
            return
        end = float(times[-1])
        heapq.heappush(pod.free_s, end)
        heapq.heappush(pod.running, (end, number))
        row |= {"ended_s": end + 0.002, "_start": start, "_pod": pod.name}
        self._tokens(row, times)

    def _tokens(self, row: dict[str, Any], times: np.ndarray) -> None:
        row["output_tokens"] = len(times)
        if len(times):
            row |= {"first_token_s": float(times[0]), "last_token_s": float(times[-1])}
            self.tokens[row["request_id"]] = times
        else:
            self.tokens.pop(row["request_id"], None)

    def cut(self, pod: _Replica, t_s: float, cause: str) -> None:
        """End every request that runs or waits on a replica."""
        for _, number in pod.running:
            row = self.requests[number]
            times = self.tokens.get(number, np.empty(0))
            times = times[times <= t_s]
            row |= {"first_token_s": None, "last_token_s": None, "ended_s": t_s + 0.003, "cause": cause}
            row["outcome"] = "cut_off" if len(times) else "error"
            self._tokens(row, times)
        pod.running.clear()

    def settle(self, pod: _Replica, t_s: float) -> None:
        """Move the counters by all requests that ended, as Triton does: at the end of each."""
        while pod.running and pod.running[0][0] <= t_s:
            end, number = heapq.heappop(pod.running)
            row = self.requests[number]
            pod.queue_us += round((row["_start"] - row["sent_s"] - 0.001) * 1e6)
            pod.compute_us += round((end - row["_start"]) * 1e6)
            pod.success += 1

    def read(self, t_s: float) -> list[float]:
        """Scrape all replicas; returns the ratios of the ready ones."""
        plan = self.plan
        ratios = []
        hidden = plan.gap_s is not None and plan.gap_s[0] <= t_s - LOAD_START_S < plan.gap_s[1]
        for pod in self.fleet:
            if not pod.ready_s <= t_s < pod.stopped_s:
                continue
            if any(a <= t_s < b for a, b in pod.down):
                self.samples.append((t_s, "up", pod.name, 0.0))
                continue
            self.settle(pod, t_s)
            pod.history.append((t_s, pod.queue_us, pod.compute_us))
            while pod.history[0][0] < t_s - WINDOW_S:
                pod.history.pop(0)
            queue, compute = (pod.history[-1][i] - pod.history[0][i] for i in (1, 2))
            ratio = 0.0 if plan.blind or compute == 0 else queue / compute
            waiting = sum(1 for _, number in pod.running if self.requests[number]["_start"] > t_s)
            active = len(pod.running) - waiting
            if pod.is_ready(t_s):
                ratios.append(ratio)
            if hidden:
                continue
            values = {
                "up": 1.0,
                "ratio": ratio,
                "engine_active": float(active),
                "engine_waiting": 0.0,
                "kv_used_ratio": 0.15 * active,
                "raw_queue_us": pod.queue_us,
                "raw_compute_us": pod.compute_us,
                "raw_success": float(pod.success),
                "raw_failure": float(pod.failure),
                "raw_pending": float(waiting),
            }
            if not plan.autoscaler:
                values = {key: value for key, value in values.items() if key.startswith("raw_")}
            elif len(pod.history) < 2:
                del values["ratio"]
            self.samples += [(t_s, signal, pod.name, value) for signal, value in values.items()]
        return ratios

    def sync(self, t_s: float, ratios: list[float]) -> None:
        """One pass of the autoscaler: proposal, scale-down window, decision."""
        low, high = self.plan.replicas
        current = self.desired
        mean = float(np.mean(ratios)) if ratios else None
        proposal = current
        if mean is not None and abs(mean / self.plan.target - 1) > 0.1:
            # Replicas that are still starting count as 0 on the way up, as in the HPA.
            counted = mean * len(ratios) / current if mean > self.plan.target else mean
            if mean < self.plan.target or counted > 1.1 * self.plan.target:
                proposal = int(np.ceil(counted / self.plan.target * current))
        proposal = min(max(proposal, low), high, max(2 * current, 4))
        self.advice = [(t, n) for t, n in self.advice if t > t_s - DOWN_WINDOW_S] + [(t_s, proposal)]
        desired = proposal if proposal > current else min(current, max(n for _, n in self.advice))
        data = {
            "current": current,
            "desired": desired,
            "metric_milli": None if mean is None else int(mean * 1000),
            "target_milli": int(self.plan.target * 1000),
            "conditions": [],
            "proposals": [proposal],
        }
        self.event(t_s, "hpa_sync", data=data)
        if desired == current:
            return
        why = "pods metric queue_compute_ratio above target" if desired > current else "All metrics below target"
        self.event(
            t_s + 0.01,
            "hpa_rescale",
            reason="SuccessfulRescale",
            message=f"New size: {desired}; reason: {why}",
            data={"before": current, "after": desired},
        )
        self.desired = desired
        for _ in range(desired - current):
            self.add(t_s + 0.06)
        alive = [pod for pod in self.fleet if pod.draining_s == float("inf")]
        for pod in alive[desired:]:
            self.drain(pod, t_s + 0.06)

    def drain(self, pod: _Replica, t_s: float) -> None:
        pod.draining_s = t_s
        self.event(t_s, "replica_draining", pod.name)
        if self.plan.cut_on_drain:
            self.settle(pod, t_s + 0.2)
            self.cut(pod, t_s + 0.2, "CANCELLED: stream ended without a final answer")
        last = max([end for end, _ in pod.running], default=t_s)
        pod.stopped_s = max(last, t_s) + 0.4
        self.event(pod.stopped_s, "replica_stopped", pod.name)

    def crash(self, t_s: float) -> None:
        pod = self.fleet[0]
        self.settle(pod, t_s)
        self.event(t_s, "replica_crashed", pod.name, data={"exit_code": -11}, message="the server process ended")
        self.cut(pod, t_s, "UNAVAILABLE: connection reset")
        back = t_s + 6.5
        pod.down.append((t_s, back))
        pod.free_s = [back] * self.plan.slots
        pod.queue_us = pod.compute_us = 0.0
        pod.success = pod.failure = 0
        pod.history.clear()
        self.event(t_s + 2.0, "replica_started", pod.name)
        self.event(back, "replica_ready", pod.name)

    def run(self) -> None:
        plan = self.plan
        for i in range(plan.replicas[0]):
            self.add(1.5 + 0.1 * i)
        self.event(LOAD_START_S, "load_started")
        due = self._arrivals()
        stop = LOAD_START_S + (plan.stop_at_s if plan.stop_at_s is not None else float("inf"))
        crash = LOAD_START_S + (plan.crash_at_s if plan.crash_at_s is not None else float("inf"))
        number, sync = 0, 16.4
        last = self.end_s + plan.settle_s
        for tick in range(int(last) + 1):
            now = tick + 0.31
            while number < len(due) and due[number] <= now:
                if due[number] > stop:
                    break
                self.send(number, float(due[number]))
                number += 1
            if now >= crash:
                self.crash(now)
                crash = float("inf")
            ratios = self.read(now)
            if now > stop:
                self._stop(stop, due[number:], number)
                break
            if plan.autoscaler and now >= sync:
                self.sync(now + 0.05, ratios)
                sync += SYNC_S

    def _stop(self, stop_s: float, rest: np.ndarray, number: int) -> None:
        self.event(stop_s, "load_stopped")
        for row in self.requests:
            if row["ended_s"] is not None and row["ended_s"] > stop_s:
                times = self.tokens.get(row["request_id"], np.empty(0))
                row |= {"first_token_s": None, "last_token_s": None, "ended_s": stop_s + 0.05}
                row |= {"outcome": "cut_off", "cause": "run stopped"}
                self._tokens(row, times[times <= stop_s])
        for i, due in enumerate(rest):
            blank: dict[str, Any] = dict.fromkeys(
                ["sent_s", "first_token_s", "last_token_s", "ended_s", "output_tokens"], None
            )
            row = {"request_id": number + i, "worker": 0, "scheduled_s": float(due), "outcome": "not_sent"}
            self.requests.append(blank | row | {"cause": "run stopped", "input_tokens": 64, "max_tokens": 32})
        self.end_s = stop_s + 0.1

    def _arrivals(self) -> np.ndarray:
        """A non-homogeneous Poisson process by thinning."""
        load = self.plan.load
        count = int(self.rng.poisson(self.plan.peak_per_s * load.length_s))
        times = np.sort(self.rng.uniform(0, load.length_s, count))
        kept = times[self.rng.uniform(0, self.plan.peak_per_s, count) < load.at(times)]
        return LOAD_START_S + kept


def info(plan: Plan, run_id: str, end_s: float | None, state: str) -> RunInfo:
    stages = tuple(
        Stage(name=span.name, start_s=LOAD_START_S + span.start_s, end_s=LOAD_START_S + span.end_s)
        for span in plan.load.spans()
    )
    autoscaler = Autoscaler(
        metric="queue_compute_ratio",
        target=plan.target,
        min_replicas=plan.replicas[0],
        max_replicas=plan.replicas[1],
        sync_period_s=SYNC_S,
        rate_window_s=WINDOW_S,
        scrape_interval_s=1.0,
        scale_down_window_s=DOWN_WINDOW_S,
    )
    local = plan.autoscaler
    return RunInfo(
        run_id=run_id,
        scenario=plan.name,
        anchor_unix_s=ANCHOR_UNIX_S,
        anchor_monotonic_s=5000.0,
        state=state,  # type: ignore[arg-type]
        target="local" if local else "http://triton.example:8000",
        protocol="grpc",
        stream=True,
        model="tensorrt_llm_bls",
        emulated="The engine is emulated: tokens come at the pace of profile demo, no GPU is involved."
        if local
        else None,
        compressions=(
            Compression(what="scale-down stabilisation window", local=DOWN_WINDOW_S, production=300.0),
            Compression(what="image pull and engine load", local=10.0, production=240.0),
            Compression(what="scrape interval", local=1.0, production=30.0),
        )
        if local
        else (),
        autoscaler=autoscaler if local else None,
        load_start_s=LOAD_START_S,
        load_end_s=end_s,
        stages=stages,
        limits=(
            Limit(metric="ttft", statistic="p95", limit=plan.ttft_p95_s),
            Limit(metric="itl", statistic="p95", limit=0.1),
            Limit(metric="failed", statistic="ratio", limit=0.01),
        ),
        validity=ValidityLimits(send_lag_p99_s=0.05, scrape_gap_s=5.0, min_samples=100),
        seeds={"arrivals": plan.seed, "prompts": plan.seed + 1},
        settings={"name": plan.name, "load": plan.load.model_dump(), "target": "local" if local else "http"},
        versions={"triton-loadgen": "0.1.0", "tritonserver": "2.51.0", "locust": "2.47.0", "prometheus": "3.5.0"},
    )


def write(runs: Path, plan: Plan = Plan()) -> RunFolder:
    """Simulate the plan and write its run folder below `runs`."""
    fleet = _Fleet(plan)
    fleet.run()
    folder = RunFolder.create(runs, plan.name, Clock(anchor_unix_s=ANCHOR_UNIX_S, anchor_monotonic_s=5000.0))
    cut = LOAD_START_S + plan.interrupt_at_s if plan.interrupt_at_s is not None else float("inf")
    answered = max([row["ended_s"] for row in fleet.requests if row["ended_s"] is not None], default=fleet.end_s)
    end_s = max(answered, fleet.end_s)
    if cut == float("inf"):
        fleet.event(end_s, "load_ended")
        state = "finished" if plan.stop_at_s is None else "stopped"
        folder.write_info(info(plan, folder.path.name, end_s, state))
    else:
        folder.write_info(info(plan, folder.path.name, None, "loading"))
    rows = [
        {key: value for key, value in row.items() if not key.startswith("_")}
        for row in fleet.requests
        if (row["scheduled_s"] if row["ended_s"] is None else row["ended_s"]) <= cut
    ]
    kept = {row["request_id"] for row in rows}
    token_rows = [(number, times) for number, times in sorted(fleet.tokens.items()) if number in kept]
    folder.append("requests", "worker-0", [row for row in rows if row["worker"] == 0])
    folder.append("requests", "worker-1", [row for row in rows if row["worker"] == 1])
    columns: list[Any] = [[number for number, _ in token_rows], [times for _, times in token_rows]]
    folder.append("tokens", "worker-0", pa.table(columns, schema=TOKENS))
    samples = [sample for sample in fleet.samples if sample[0] <= cut]
    names = ("t_s", "signal", "pod", "value")
    folder.append("samples", "collector", [dict(zip(names, sample, strict=True)) for sample in samples])
    if plan.gap_s is not None:
        lost = [LOAD_START_S + edge for edge in plan.gap_s]
        data = {"source": "prometheus", "from_s": lost[0], "to_s": lost[1]}
        fleet.event(lost[1], "collect_gap", message="connection refused", data=data)
    final = float("inf") if plan.stop_at_s is None else end_s + 5.0
    events = sorted((e for e in fleet.events if e["t_s"] <= min(cut, final)), key=lambda e: float(e["t_s"]))
    folder.append("events", "collector", events)
    (folder.logs / "collector.log").write_text("synthetic\n")
    return folder


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(f"usage: synthetic.py DIR [all | {' | '.join(VARIANTS)}]")
    wanted = sys.argv[2] if len(sys.argv) > 2 else "waves"
    for name in VARIANTS if wanted == "all" else [wanted]:
        sys.stdout.write(f"{write(Path(sys.argv[1]), VARIANTS[name]).path}\n")


if __name__ == "__main__":
    main()
