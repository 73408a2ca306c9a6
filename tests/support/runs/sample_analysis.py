"""Analyses of runs that never were, coherent and the same every time, for the tests of the reports.

`python tests/support/runs/sample_analysis.py DIR` writes the reports of every sample below DIR, to look at.

A small fluid model plays fleet and autoscaler: `rate(t)` requests per second arrive, a replica carries `PER_REPLICA`
of them, what is left waits; the ratio is waiting time over compute time, and the autoscaler reads it every 15 s.
"""

import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from loadgen.analyze.results import (
    Analysis,
    Correlation,
    Cost,
    Finding,
    Headline,
    Latencies,
    Mark,
    OutcomeCount,
    Run,
    ScalingEvent,
    Span,
    Stats,
    Timeline,
)
from loadgen.dataset.run_info import Compression

NAN = math.nan
PER_REPLICA = 4.2
COMPUTE_S = 1.4
SYNC_S = 15.0
START_S = 14.6
TARGET = 1.0


def stats(values: Sequence[float]) -> Stats:
    """The distribution of the values that are not missing; nearest rank, which is exact enough for a sample."""
    ranked = sorted(value for value in values if not math.isnan(value))
    if not ranked:
        return Stats(count=0, mean=None, p50=None, p90=None, p95=None, p99=None, max=None)

    def rank(share: float) -> float:
        return ranked[min(len(ranked) - 1, math.ceil(share * len(ranked)) - 1)]

    return Stats(
        count=len(ranked),
        mean=sum(ranked) / len(ranked),
        p50=rank(0.5),
        p90=rank(0.9),
        p95=rank(0.95),
        p99=rank(0.99),
        max=ranked[-1],
    )


NO_STATS = stats([])
NO_HEADLINE = Headline(
    worst_event=None,
    lag_s=None,
    signal_s=None,
    decide_s=None,
    start_s=None,
    traffic_s=None,
    slow_requests=None,
    slow_in_lag=None,
    judged_requests=0,
    ttft_limit_s=None,
    peak_replicas=None,
    lowest_replicas=None,
    last_replicas=None,
)
NO_COST = Cost(
    replica_seconds=None,
    static_replicas=None,
    static_replica_seconds=None,
    of_static_ratio=None,
    mean_replicas=None,
)
NO_TIMELINE = Timeline(
    t_s=(),
    bin_s=1.0,
    offered_per_s=(),
    completed_per_s=(),
    failed_per_s=(),
    in_flight=(),
    ttft_p50_s=(),
    ttft_p95_s=(),
    e2e_p50_s=(),
    e2e_p95_s=(),
    ratio=(),
    ratio_truth=(),
    ratio_by_pod={},
    desired=(),
    ready=(),
    serving=(),
)


def no_latencies(name: str = "whole run") -> Latencies:
    """A group without a single request."""
    return Latencies(
        name=name,
        start_s=None,
        end_s=None,
        scheduled=0,
        answered=0,
        failed=0,
        offered_per_s=None,
        completed_per_s=None,
        output_tokens_per_s=None,
        ttft=NO_STATS,
        itl=NO_STATS,
        tpot=NO_STATS,
        e2e=NO_STATS,
        send_lag=NO_STATS,
    )


def finding(
    code: str,
    measured: float | None,
    limit: float | None,
    *,
    severity: str = "fail",
    passed: bool = False,
    title: str = "TTFT p95",
    unit: str = "s",
    window: str = "whole run",
    advice: str = "Lower the target or start replicas sooner.",
) -> Finding:
    """A finding with the fields that a test does not care about filled in."""
    return Finding(
        code=code,
        severity=severity,  # type: ignore[arg-type]
        passed=passed,
        title=title,
        measured=measured,
        limit=limit,
        unit=unit,
        window=window,
        advice=advice,
    )


class _Fleet:
    """What happened, second by second; read by `played` once the model has run."""

    def __init__(self, rate: Callable[[float], float], length_s: int, most: int, seed: int, hold_s: float) -> None:
        noise = random.Random(seed)
        self.t: list[float] = []
        self.columns: dict[str, list[float]] = {name: [] for name in _COLUMNS}
        self.pods: dict[str, list[float]] = {}
        self.scaling: list[ScalingEvent] = []
        self.marks: list[Mark] = []
        alive: list[tuple[str, float, float]] = [("triton-7d9f-a1", -20.0, -6.0)]  # name, created, ready
        desired, waiting, over_since, trigger, low_since, born = 1, 0.0, None, None, 0.0, 1
        lives: dict[str, tuple[float, float]] = {}
        history: list[float] = []
        for second in range(-5, length_s + 20):
            t = float(second)
            load = max(0.0, rate(t)) if 0 <= t < length_s else 0.0
            offered = float(sum(noise.random() < load / 40 for _ in range(40)))
            ready = [pod for pod in alive if pod[2] <= t]
            serving = [pod for pod in alive if pod[2] + 1.2 <= t]
            room = PER_REPLICA * max(1, len(serving))
            done = min(waiting + offered, max(0.0, room + noise.gauss(0, 0.35)))
            waiting = waiting + offered - done
            wait = waiting / room
            ratio = wait / COMPUTE_S * 1.6 + abs(noise.gauss(0, 0.03))
            history.append(ratio)
            read = sum(history[-8:]) / len(history[-8:])
            quiet = load == 0 and waiting < 1
            if load < 0.8 * PER_REPLICA * desired:
                trigger = None
            elif load > PER_REPLICA * desired and trigger is None:
                trigger = t
            over = read > TARGET * 1.1
            over_since = (over_since if over_since is not None else t) if over else None
            low_since = t if read > TARGET * 0.35 else low_since
            if second % int(SYNC_S) == 3 and t > 0:
                wanted = desired
                if over and desired < most:
                    wanted = min(most, math.ceil(desired * read / TARGET), desired * 2)
                elif t - low_since > hold_s and load < 0.75 * PER_REPLICA * (desired - 1):
                    wanted = desired - 1
                if wanted > desired:
                    names = []
                    for _ in range(wanted - desired):
                        born += 1
                        name = f"triton-7d9f-{chr(96 + (born - 1) // 9 % 26 + 1)}{(born - 1) % 9 + 1}"
                        names.append(name)
                        alive.append((name, t + 0.7, t + START_S + noise.random()))
                    last = alive[-1][2]
                    self.scaling.append(_up(desired, wanted, trigger, over_since, t, last, names, read))
                    self.marks.append(
                        Mark(t_s=t, kind="hpa_rescale", label=f"{desired} → {wanted} replicas", direction="up")
                    )
                    self.marks += [
                        Mark(t_s=pod[2], kind="replica_ready", label="replica ready", pod=pod[0])
                        for pod in alive[-len(names) :]
                    ]
                    trigger = None
                elif wanted < desired:
                    name, created, _ = alive.pop()
                    lives[name] = (created, t + 3.1)
                    self.scaling.append(_down(desired, wanted, t, name))
                    self.marks.append(
                        Mark(t_s=t, kind="hpa_rescale", label=f"{desired} → {wanted} replicas", direction="down")
                    )
                    self.marks.append(Mark(t_s=t + 3.1, kind="replica_draining", label="replica stops", pod=name))
                    trigger = None
                desired = wanted
            ttft = 0.11 + wait * 1.25 + abs(noise.gauss(0, 0.02))
            idle = offered == 0 and noise.random() < 0.8
            blank = NAN if quiet else 0.0
            row = {
                "offered_per_s": offered,
                "completed_per_s": round(done),
                "failed_per_s": 1.0 if wait > 3.4 and noise.random() < 0.25 else 0.0,
                "in_flight": round(waiting + done * COMPUTE_S),
                "ttft_p50_s": NAN if idle else ttft,
                "ttft_p95_s": NAN if idle else ttft * 1.35 + 0.05,
                "e2e_p50_s": NAN if idle else ttft + COMPUTE_S,
                "e2e_p95_s": NAN if idle else ttft * 1.35 + COMPUTE_S * 1.5,
                "ratio": read + blank,
                "ratio_truth": ratio * 0.6 + read * 0.4 + blank,
                "desired": float(desired),
                "ready": float(len(ready)),
                "serving": float(len(serving)),
            }
            self.t.append(t)
            for name, value in row.items():
                self.columns[name].append(value)
            up_now = {pod[0] for pod in ready}
            for pod in sorted(up_now | set(self.pods)):
                series = self.pods.setdefault(pod, [NAN] * (len(self.t) - 1))
                series.append(max(0.0, read * (0.85 + 0.3 * noise.random())) + blank if pod in up_now else NAN)
        self.end_s = float(length_s)
        for name, created, _ in alive:
            lives[name] = (created, self.end_s)
        self.replica_seconds = sum(
            max(0.0, min(gone, self.end_s) - max(0.0, created)) for created, gone in lives.values()
        )

    def timeline(self) -> Timeline:
        series = {name: tuple(values) for name, values in self.columns.items()}
        pods = {name: tuple(values) for name, values in self.pods.items()}
        return Timeline(t_s=tuple(self.t), bin_s=1.0, ratio_by_pod=pods, **series)


_COLUMNS = (
    "offered_per_s",
    "completed_per_s",
    "failed_per_s",
    "in_flight",
    "ttft_p50_s",
    "ttft_p95_s",
    "e2e_p50_s",
    "e2e_p95_s",
    "ratio",
    "ratio_truth",
    "desired",
    "ready",
    "serving",
)


def _up(
    before: int,
    after: int,
    trigger: float | None,
    over: float | None,
    t: float,
    ready: float,
    pods: list[str],
    read: float,
) -> ScalingEvent:
    seen = trigger is not None and over is not None
    return ScalingEvent(
        direction="up",
        before=before,
        after=after,
        reason="pods metric queue_compute_ratio above target",
        trigger_s=trigger,
        over_target_s=over,
        decided_s=t,
        created_s=t + 0.4,
        scheduled_s=t + 0.7,
        started_s=t + 10.9,
        ready_s=ready,
        serving_s=ready + 1.2,
        recovered_s=ready + 9.4 if seen else None,
        broke_limit=True if seen else None,
        pods=tuple(pods),
        complete=seen,
        missing=() if seen else ("No load step was found before it: the queue was still full from the step before",),
    )


def _down(before: int, after: int, t: float, pod: str) -> ScalingEvent:
    return ScalingEvent(
        direction="down",
        before=before,
        after=after,
        reason="All metrics below target",
        trigger_s=None,
        over_target_s=None,
        decided_s=t,
        created_s=t + 0.2,
        scheduled_s=None,
        started_s=None,
        ready_s=t + 3.1,
        serving_s=None,
        recovered_s=None,
        pods=(pod,),
        complete=True,
    )


def _group(fleet: _Fleet, name: str, where: list[bool], span: tuple[float, float] | None) -> Latencies:
    """A group of seconds, weighted by the requests that were due in each."""
    picked = [i for i, inside in enumerate(where) if inside]
    if not picked:
        return no_latencies(name)
    column = fleet.columns
    scheduled = int(sum(column["offered_per_s"][i] for i in picked))
    failed = int(sum(column["failed_per_s"][i] for i in picked))

    def weighted(field: str, spread: float) -> Stats:
        values = []
        for i in picked:
            due = int(column["offered_per_s"][i])
            values += [column[field][i] * (1 + spread * (k / max(1, due) - 0.3)) for k in range(due)]
        return stats(values)

    steps = [0.026 + 0.009 * math.sin(i) + 0.004 * column["in_flight"][i] / 20 for i in picked]
    length = span[1] - span[0] if span else float(len(picked))
    return Latencies(
        name=name,
        start_s=span[0] if span else None,
        end_s=span[1] if span else None,
        scheduled=scheduled,
        answered=scheduled - failed,
        failed=failed,
        offered_per_s=scheduled / length,
        completed_per_s=sum(column["completed_per_s"][i] for i in picked) / length,
        output_tokens_per_s=40.3 * scheduled / length,
        ttft=weighted("ttft_p50_s", 0.5),
        itl=stats([step * (1 + (k % 7) / 9) for k, step in enumerate(steps)]),
        tpot=stats(steps),
        e2e=weighted("e2e_p50_s", 0.4),
        send_lag=stats([0.0006 + 0.0004 * math.cos(i) for i in picked]),
    )


def wave(trough: float, peak: float, period_s: float) -> Callable[[float], float]:
    """Requests per second of a sine wave that starts in its trough."""
    return lambda t: trough + (peak - trough) * (1 - math.cos(2 * math.pi * t / period_s)) / 2


def wave_spans(period_s: float, cycles: int) -> tuple[Span, ...]:
    """The phases of a wave, named as `loadgen.scenario.rates.Wave` names them."""
    edges = [0.0]
    for cycle in range(cycles):
        edges += [(cycle + 0.25) * period_s, (cycle + 0.75) * period_s]
    edges.append(cycles * period_s)
    return tuple(
        Span(name=f"{'peak' if i % 2 else 'off-peak'} {i // 2 + 1}", start_s=edges[i], end_s=edges[i + 1])
        for i in range(len(edges) - 1)
    )


def played(
    *, period_s: float = 150.0, cycles: int = 2, peak: float = 5.0, most: int = 4, limit_s: float = 2.0, seed: int = 7
) -> Analysis:
    """A run of the model, judged by TTFT p95 ≤ `limit_s`."""
    length = int(period_s * cycles)
    fleet = _Fleet(wave(0.5, peak, period_s), length, most, seed, period_s / 6)
    spans = wave_spans(period_s, cycles)
    t = fleet.t
    whole = _group(fleet, "whole run", [True] * len(t), (0.0, float(length)))
    stages = tuple(_group(fleet, s.name, [s.start_s <= at < s.end_s for at in t], (s.start_s, s.end_s)) for s in spans)
    ready = fleet.columns["ready"]
    by_replicas = tuple(
        _group(fleet, f"{n} {'replica' if n == 1 else 'replicas'}", [value == n for value in ready], None)
        for n in range(1, most + 1)
        if n in ready
    )
    scaling = tuple(sorted(fleet.scaling, key=lambda event: event.decided_s))
    ups = [
        i for i, e in enumerate(scaling) if e.direction == "up" and e.trigger_s is not None and e.serving_s is not None
    ]
    lags = {i: (scaling[i].serving_s or 0) - (scaling[i].trigger_s or 0) for i in ups}
    worst = max(lags, key=lambda i: lags[i]) if lags else None
    windows = tuple(
        Span(
            name=f"{scaling[i].before} → {scaling[i].after} replicas",
            start_s=scaling[i].trigger_s or 0.0,
            end_s=scaling[i].serving_s or 0.0,
        )
        for i in ups
    )
    due = fleet.columns["offered_per_s"]
    slow = [int(due[i]) if fleet.columns["ttft_p95_s"][i] > limit_s else 0 for i in range(len(t))]
    in_lag = sum(n for n, at in zip(slow, t, strict=True) if any(w.start_s <= at <= w.end_s for w in windows))
    event = scaling[worst] if worst is not None else None
    peak_replicas = int(max(ready))
    used = fleet.replica_seconds
    needed = math.ceil(peak / PER_REPLICA)
    head = Headline(
        worst_event=worst,
        lag_s=lags[worst] if worst is not None else None,
        signal_s=_minus(event.over_target_s, event.trigger_s) if event else None,
        decide_s=_minus(event.decided_s, event.over_target_s) if event else None,
        start_s=_minus(event.ready_s, event.decided_s) if event else None,
        traffic_s=_minus(event.serving_s, event.ready_s) if event else None,
        slow_requests=sum(slow),
        slow_in_lag=in_lag,
        judged_requests=whole.scheduled,
        ttft_limit_s=limit_s,
        peak_replicas=peak_replicas,
        lowest_replicas=int(min(value for value, at in zip(ready, t, strict=True) if at >= 0)),
        last_replicas=int(ready[-1]),
    )
    met = (whole.ttft.p95 or 0) <= limit_s
    findings = (
        finding(
            "slo.ttft.p95",
            whole.ttft.p95,
            limit_s,
            passed=met,
            advice="Users waited for the fleet: start replicas sooner, or lower the target.",
        ),
        finding(
            "slo.itl.p95", whole.itl.p95, 0.1, passed=True, title="ITL p95", advice="Tokens came as fast as asked."
        ),
        finding(
            "slo.failed.ratio",
            whole.failed / whole.scheduled,
            0.01,
            passed=whole.failed <= 0.01 * whole.scheduled,
            title="Failed requests",
            unit="ratio",
            advice="Look at the causes under Outcomes.",
        ),
        finding(
            "validity.send_lag",
            0.0021,
            0.05,
            severity="invalid",
            passed=True,
            title="Send lag p99",
            advice="The generator kept its schedule.",
        ),
        finding(
            "validity.samples",
            float(whole.answered),
            100.0,
            severity="invalid",
            passed=True,
            title="Answered requests",
            unit="count",
            advice="Enough to judge percentiles.",
        ),
        finding(
            "signal.completed_only",
            14.0,
            None,
            severity="warning",
            title="Signal behind the load",
            window="from 31.0 s to 58.0 s",
            advice="Triton counts a request when it ends, so the ratio follows the load by the length of an answer.",
        ),
    )
    failed = whole.failed
    outcomes = [OutcomeCount(outcome="ok", cause=None, count=whole.answered, first_s=0.4, last_s=length + 1.6)]
    if failed:
        cut = failed // 3
        outcomes.append(
            OutcomeCount(
                outcome="timeout",
                cause="no last token within 30 s",
                count=failed - cut,
                first_s=61.2,
                last_s=length - 70.1,
            )
        )
        if cut:
            outcomes.append(
                OutcomeCount(
                    outcome="cut_off",
                    cause="[StatusCode.UNAVAILABLE] Socket closed",
                    count=cut,
                    first_s=126.4,
                    last_s=126.9,
                )
            )
    return Analysis(
        run=Run(
            run_id="20261124T120000Z-waves",
            scenario="waves",
            started_unix_s=1_795_521_618.25,
            length_s=float(length),
            state="finished",
            target="local",
            protocol="grpc",
            stream=True,
            model="tensorrt_llm_bls",
            emulated="The engine is emulated: tokens come at the pace of profile demo, no GPU is involved.",
            compressed=(
                Compression(what="Scale-down stabilisation window", local=30.0, production=300.0, unit="s"),
                Compression(what="Image pull and engine load", local=10.0, production=180.0, unit="s"),
                Compression(what="Scrape interval", local=1.0, production=15.0, unit="s"),
            ),
            ratio_target=TARGET,
            min_replicas=1,
            max_replicas=most,
            sync_period_s=SYNC_S,
            ratio_metric="triton:queue_compute:ratio",
            tolerance=0.1,
            rate_window_s=10.0,
            scale_down_window_s=30.0,
            settings={
                "name": "waves",
                "load": {
                    "kind": "wave",
                    "trough_per_s": 0.5,
                    "peak_per_s": peak,
                    "period_s": period_s,
                    "cycles": cycles,
                },
                "prompts": {"input_tokens": {"kind": "uniform", "low": 32, "high": 256}, "file": None},
                "slo": {"ttft_p95_s": limit_s, "itl_p95_s": 0.1, "failed_ratio": 0.01},
                "stream": True,
                "local": {"profile": "demo", "replicas": [1, most], "ratio_target": TARGET},
            },
            seeds={"arrivals": 1, "prompts": 2},
            versions={
                "triton-loadgen": "0.1.0",
                "locust": "2.47.0",
                "tritonserver": "2.64.0",
                "prometheus": "3.5.0",
                "python": "3.11.7",
            },
        ),
        verdict="pass" if all(f.passed for f in findings if f.severity != "warning") else "fail",
        findings=findings,
        headline=head,
        whole=whole,
        stages=stages,
        by_replicas=by_replicas,
        outcomes=tuple(outcomes),
        scaling=scaling,
        lag_windows=windows,
        stage_spans=spans,
        timeline=fleet.timeline(),
        marks=tuple(sorted(fleet.marks, key=lambda mark: mark.t_s)),
        correlations=(
            Correlation(leader="offered rate", follower="ratio", coefficient=0.83, lag_s=12.0, samples=280),
            Correlation(leader="ratio", follower="TTFT p95", coefficient=0.91, lag_s=0.0, samples=271),
            Correlation(leader="ratio", follower="ready replicas", coefficient=-0.12, lag_s=29.0, samples=280),
            Correlation(
                leader="TTFT p95",
                follower="serving replicas",
                coefficient=None,
                lag_s=None,
                samples=0,
                why_missing="one of the two never changed",
            ),
        ),
        cost=Cost(
            replica_seconds=used,
            static_replicas=peak_replicas,
            static_replica_seconds=float(peak_replicas * length),
            of_static_ratio=used / (peak_replicas * length),
            mean_replicas=used / length,
            needed_replicas=needed,
            needed_replica_seconds=float(needed * length),
            of_needed_ratio=used / (needed * length),
        ),
        capacity_per_s=PER_REPLICA,
    )


def _minus(later: float | None, earlier: float | None) -> float | None:
    return None if later is None or earlier is None else later - earlier


@cache
def failing() -> Analysis:
    """Two waves; the fleet follows too late for TTFT p95 ≤ 2 s."""
    return played()


@cache
def passing() -> Analysis:
    """Two gentle waves within generous limits."""
    return played(peak=4.6, limit_s=8.0, seed=3)


@cache
def invalid() -> Analysis:
    """The failing run, sent so late by the generator that it says nothing of the server."""
    run = failing()
    late = finding(
        "validity.send_lag",
        0.134,
        0.05,
        severity="invalid",
        title="Send lag p99",
        advice="The generator was short of CPU: use `--processes 2` or a larger machine, then run again.",
    )
    kept = tuple(f for f in run.findings if f.code != "validity.send_lag")
    return replace(run, verdict="invalid", findings=(late, *kept))


@cache
def interrupted() -> Analysis:
    """The failing run, cut after 73 s by the death of the tool."""
    run = failing()
    few = finding(
        "validity.complete",
        None,
        None,
        severity="warning",
        title="End of the run",
        advice="The tool died before the load ended: read its log in the run folder, then run again.",
    )
    cut = run.timeline.t_s.index(73.0)
    series = {name: getattr(run.timeline, name)[:cut] for name in ("t_s", *_COLUMNS)}
    pods = {name: values[:cut] for name, values in run.timeline.ratio_by_pod.items()}
    return replace(
        run,
        run=replace(run.run, state="interrupted", length_s=73.0),
        findings=(few, *run.findings),
        timeline=replace(run.timeline, ratio_by_pod=pods, **series),
        marks=tuple(mark for mark in run.marks if mark.t_s < 73),
        scaling=(
            replace(
                run.scaling[0],
                ready_s=None,
                serving_s=None,
                recovered_s=None,
                complete=False,
                missing=("The run ended before the new replica was ready",),
            ),
        ),
        headline=replace(
            run.headline, worst_event=None, lag_s=None, signal_s=None, decide_s=None, start_s=None, traffic_s=None
        ),
        lag_windows=(),
        correlations=(),
        cost=NO_COST,
    )


@cache
def stopped() -> Analysis:
    """The failing run, ended on purpose after 120 s with requests in flight."""
    run = failing()
    ended = OutcomeCount(outcome="cut_off", cause="run stopped", count=4, first_s=120.0, last_s=120.0)
    never = OutcomeCount(outcome="not_sent", cause="run stopped", count=410, first_s=120.2, last_s=299.6)
    return replace(
        run,
        run=replace(run.run, state="stopped", length_s=120.0),
        whole=replace(run.whole, scheduled=run.whole.scheduled + 4, stopped=4),
        outcomes=(*run.outcomes, ended, never),
    )


@cache
def never_answered() -> Analysis:
    """So many requests were refused that TTFT p95 is that of a request without an answer: it has no value."""
    run = failing()
    refused = OutcomeCount(outcome="rejected", cause="queue is full", count=103, first_s=60.0, last_s=110.0)
    missed = finding(
        "slo.ttft.p95",
        None,
        2.0,
        advice="More than 5 % of the requests (103 of 823) never got a first token: see the outcomes for why.",
    )
    return replace(run, findings=(missed, *run.findings[1:]), outcomes=(run.outcomes[0], refused))


@cache
def url_target() -> Analysis:
    """The passing load against somebody's own Triton: nothing is known of the fleet behind it."""
    run = passing()
    blank = (NAN,) * len(run.timeline.t_s)
    empty = dict.fromkeys(("ratio", "ratio_truth", "desired", "ready", "serving"), blank)
    return replace(
        run,
        run=replace(
            run.run,
            target="grpc://triton.example:8001",
            emulated=None,
            compressed=(),
            ratio_target=None,
            min_replicas=None,
            max_replicas=None,
            sync_period_s=None,
            ratio_metric=None,
            tolerance=None,
            rate_window_s=None,
            scale_down_window_s=None,
        ),
        headline=replace(
            NO_HEADLINE,
            slow_requests=run.headline.slow_requests,
            judged_requests=run.headline.judged_requests,
            ttft_limit_s=run.headline.ttft_limit_s,
        ),
        by_replicas=(),
        scaling=(),
        lag_windows=(),
        marks=(),
        correlations=(),
        cost=NO_COST,
        timeline=replace(run.timeline, ratio_by_pod={}, **empty),
    )


@cache
def zero_requests() -> Analysis:
    """The load never started: not one request was due."""
    run = failing()
    return replace(
        nothing_measured(),
        run=replace(run.run, length_s=None, state="interrupted"),
        findings=(
            finding(
                "validity.samples",
                0.0,
                100.0,
                severity="invalid",
                title="Answered requests",
                unit="count",
                advice="Nothing was answered: look at logs/ in the run folder for what stopped the run.",
            ),
        ),
    )


@cache
def nothing_measured() -> Analysis:
    """A run folder with a `run.json` and not one row: everything that may be None is None."""
    return Analysis(
        run=Run(
            run_id="20261124T120000Z-empty",
            scenario="empty",
            started_unix_s=1_795_521_600.0,
            length_s=None,
            state="interrupted",
            target="local",
            protocol="grpc",
            stream=True,
            model=None,
            emulated=None,
            compressed=(),
            ratio_target=None,
            min_replicas=None,
            max_replicas=None,
            sync_period_s=None,
        ),
        verdict="invalid",
        findings=(
            finding("slo.ttft.p95", None, 2.0, advice="No request got a first token."),
            finding("validity.samples", None, 100.0, severity="invalid", title="Answered requests", unit="count"),
        ),
        headline=NO_HEADLINE,
        whole=no_latencies(),
        stages=(),
        by_replicas=(),
        outcomes=(),
        scaling=(),
        lag_windows=(),
        stage_spans=(),
        timeline=NO_TIMELINE,
        marks=(),
        correlations=(),
        cost=NO_COST,
    )


@cache
def never_started() -> Analysis:
    """The run printed an error before its load: that is all there is to say."""
    run = failing()
    why = finding(
        "validity.load",
        None,
        None,
        severity="invalid",
        title="Load",
        advice="The run never started; it printed: no Triton answers at http://127.0.0.1:1; check --target",
    )
    return replace(nothing_measured(), run=replace(run.run, length_s=None, state="never_started"), findings=(why,))


@cache
def two_hours() -> Analysis:
    """Two hours at one second: eight waves of fifteen minutes, up to eight replicas."""
    return played(period_s=900.0, cycles=8, peak=26.0, most=8)


@cache
def hostile() -> Analysis:
    """The failing run with markup, quotes, control characters and lone surrogates wherever text comes from outside."""
    run = failing()
    bad = (
        '</script><img src="http://evil.example/x" onerror=alert(1)>|`*_[a](http://b)\x00\x1b[31m\ud800&amp; $x_$ @team'
    )
    return replace(
        run,
        run=replace(
            run.run,
            run_id=bad,
            scenario=bad,
            target=bad,
            model=bad,
            emulated=bad,
            compressed=(Compression(what=bad, local=1.0, production=2.0, unit=bad),),
            settings={bad: {bad: [bad, {bad: None}]}},
            seeds={bad: 1},
            versions={bad: bad},
        ),
        findings=(*run.findings, finding("slo.x", 2.0004, 2.0, title=bad, window=bad, advice=bad)),
        stages=tuple(replace(group, name=bad) for group in run.stages),
        stage_spans=tuple(replace(span, name=bad) for span in run.stage_spans),
        outcomes=(*run.outcomes, OutcomeCount(outcome=bad, cause=bad, count=1, first_s=1.0, last_s=1.0)),
        scaling=tuple(replace(event, reason=bad, pods=(bad,), missing=(bad,)) for event in run.scaling),
        marks=(*run.marks, Mark(t_s=5.0, kind=bad, label=bad, pod=bad)),
        timeline=replace(run.timeline, ratio_by_pod={bad: run.timeline.ratio}),
        correlations=(Correlation(leader=bad, follower=bad, coefficient=None, lag_s=None, samples=0, why_missing=bad),),
    )


SAMPLES: dict[str, Callable[[], Analysis]] = {
    "failing": failing,
    "passing": passing,
    "invalid": invalid,
    "interrupted": interrupted,
    "stopped": stopped,
    "never-answered": never_answered,
    "url-target": url_target,
    "zero-requests": zero_requests,
    "nothing-measured": nothing_measured,
    "never-started": never_started,
    "two-hours": two_hours,
    "hostile": hostile,
}


if __name__ == "__main__":
    from loadgen_reports.write import write_reports

    for sample, build in SAMPLES.items():
        write_reports(build(), Path(sys.argv[1]) / sample)
