"""Analyzes a run folder whose numbers are all known, and compares the results with independent arithmetic.

One server completes four requests per second, two complete eight; the load is 2/s, 6/s, 1/s. The expected values follow
by arithmetic or from a first-come-first-served queue of a few lines, without `loadgen.analyze`.

    0 ………… 60 s    2/s, evenly spaced: no queue
    60 …… 120 s    6/s: one server completes 4/s, two 8/s
    120 … 180 s    1/s
    67 s           the ratio exceeds its target       75 s   1 → 2 decided
    75.5 created   76 scheduled   85 started   87 ready   89 s the second serves
    140 s          ratio below its target             165 s  2 → 1 decided, 165.5 … 168.25 s the second stops
"""

import json
import math
from fractions import Fraction

import pytest

from loadgen.analyze.read import analyze_folder
from loadgen.analyze.results import Analysis
from loadgen.base.clock import Clock
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.run_info import Autoscaler, Limit, RunInfo, Stage, ValidityLimits

ZERO_S = 40.0
SECOND_FROM_S, SECOND_UNTIL_S = 87.0, 165.5
TTFT_OF_A_START_S = Fraction(1, 20)
GAP_S = Fraction(1, 20)
TOKENS = 5
SERVICE_S = Fraction(1, 4)  # a request takes 0.25 s: first token after 0.05 s, four gaps of 0.05 s
LIMIT_S = 2.0
LENGTH_S = 180.0


def due_times() -> list[Fraction]:
    slow = [Fraction(n, 2) for n in range(120)]
    fast = [60 + Fraction(n, 6) for n in range(360)]
    last = [Fraction(120 + n) for n in range(60)]
    return slow + fast + last


def starts(due: list[Fraction]) -> list[Fraction]:
    """Return when each request starts, in order, on the server that is free first; the second exists for some time."""
    free = [Fraction(0), Fraction(87)]
    times = []
    for arrival in due:
        choices = [max(arrival, at) for at in free]
        server = 1 if choices[1] < choices[0] and choices[1] < Fraction(331, 2) else 0
        times.append(choices[server])
        free[server] = choices[server] + SERVICE_S
    return times


def percentile(values: list[float], share: Fraction) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


@pytest.fixture(scope="module")
def truth() -> list[tuple[float, float, float]]:
    """Return due time, first and last token of every request."""
    due = due_times()
    first = [start + TTFT_OF_A_START_S for start in starts(due)]
    return [(float(d), float(f), float(f + (TOKENS - 1) * GAP_S)) for d, f in zip(due, first, strict=True)]


@pytest.fixture(scope="module")
def analysis(truth: list[tuple[float, float, float]], tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    folder = RunFolder.create(
        tmp_path_factory.mktemp("runs"), "exact", Clock(anchor_unix_s=1_795_521_600.0, anchor_monotonic_s=7.0)
    )
    folder.write_info(run_info(folder.path.name))
    rows = []
    for number, (due, first, last) in enumerate(truth):
        row = {"request_id": number, "worker": 0, "outcome": "ok", "input_tokens": 64, "max_tokens": TOKENS}
        times = {"scheduled_s": due, "sent_s": due + 0.001, "first_token_s": first, "last_token_s": last}
        times["ended_s"] = last
        rows.append(row | {key: ZERO_S + value for key, value in times.items()} | {"output_tokens": TOKENS})
    # As in a real run, there are two workers with several parts each, which are not in order.
    for worker, part in (("1", rows[300:]), ("0", rows[:100]), ("0", rows[100:300])):
        folder.append("requests", f"worker-{worker}", part)
    gaps = [float(GAP_S * n) for n in range(TOKENS)]
    streams = [
        {"request_id": n, "t_s": [ZERO_S + first + gap for gap in gaps]} for n, (_, first, _) in enumerate(truth)
    ]
    folder.append("tokens", "worker-0", streams[::2])
    folder.append("tokens", "worker-1", streams[1::2])
    folder.append("samples", "collector", samples(truth))
    folder.append("events", "collector", events())
    return analyze_folder(RunFolder.open(folder.path))


def run_info(run_id: str) -> RunInfo:
    edges = [("low", 0, 60), ("high", 60, 120), ("after", 120, 180)]
    return RunInfo(
        run_id=run_id,
        scenario="exact",
        anchor_unix_s=1_795_521_600.0,
        anchor_monotonic_s=7.0,
        state="finished",
        target="local",
        protocol="grpc",
        stream=True,
        autoscaler=Autoscaler(
            metric="ratio",
            target=1.0,
            min_replicas=1,
            max_replicas=2,
            sync_period_s=15.0,
            rate_window_s=10.0,
            scrape_interval_s=1.0,
            scale_down_window_s=20.0,
        ),
        load_start_s=ZERO_S,
        load_end_s=ZERO_S + LENGTH_S,
        stages=tuple(Stage(name=name, start_s=ZERO_S + a, end_s=ZERO_S + b) for name, a, b in edges),
        limits=(
            Limit(metric="ttft", statistic="p95", limit=LIMIT_S),
            Limit(metric="itl", statistic="p95", limit=0.1),
            Limit(metric="failed", statistic="ratio", limit=0.0),
        ),
        validity=ValidityLimits(send_lag_p99_s=0.05, scrape_gap_s=5.0, min_samples=100),
    )


def samples(truth: list[tuple[float, float, float]]) -> list[dict[str, object]]:
    rows = []

    def add(t: float, signal: str, pod: str, value: float) -> None:
        rows.append({"t_s": ZERO_S + t, "signal": signal, "pod": pod, "value": value})

    for tick in range(-5, 200):
        t = float(tick)
        second = SECOND_FROM_S <= t < 168.0
        # The ratios of two replicas are 4 and 0, so their mean exceeds the target of 1.
        over = 67 <= tick < 140
        add(t, "ratio", "first", 4.0 if over else 0.0)
        if second:
            add(t, "ratio", "second", 0.0)
        ended = [number for number, (_, _, last) in enumerate(truth) if last + 0.0 <= t]
        waiting = sum(1 for due, first, _ in truth if due <= t < first - float(TTFT_OF_A_START_S))
        # Until the second server is ready, all requests wait at the first one and are counted there.
        add(t, "raw_pending", "first", float(waiting if t < SECOND_FROM_S else 0))
        add(t, "raw_success", "first", float(len(ended)))
        if second:
            add(t, "raw_success", "second", 0.0 if t < 89 else 3.0)
            add(t, "raw_pending", "second", 0.0)
    return rows


def events() -> list[dict[str, object]]:
    def event(t: float, kind: str, pod: str | None = None, **data: object) -> dict[str, object]:
        return {"t_s": ZERO_S + t, "kind": kind, "pod": pod, "data": json.dumps(data) if data else None}

    return [
        event(-30, "replica_created", "first"),
        event(-12, "replica_ready", "first"),
        event(0, "load_started"),
        *(event(t, "hpa_sync", current=1, desired=1) for t in (15, 30, 45, 60)),
        event(75, "hpa_rescale", before=1, after=2),
        event(75.5, "replica_created", "second"),
        event(76, "replica_scheduled", "second"),
        event(85, "replica_started", "second"),
        event(87, "replica_ready", "second"),
        event(165, "hpa_rescale", before=2, after=1),
        event(165.5, "replica_draining", "second"),
        event(168.25, "replica_stopped", "second"),
        event(180, "load_ended"),
        event(190, "replica_draining", "first"),
        event(191, "replica_stopped", "first"),
    ]


def test_every_time_of_the_scale_up_is_exact(analysis):
    """Load step 60, over target 67, decided 75, created 75.5, scheduled 76, started 85, ready 87, serving 89 s."""
    up, _ = analysis.scaling
    assert (up.direction, up.before, up.after, up.pods) == ("up", 1, 2, ("second",))
    assert (up.trigger_s, up.over_target_s, up.decided_s) == (60.0, 67.0, 75.0)
    assert (up.created_s, up.scheduled_s, up.started_s, up.ready_s, up.serving_s) == (75.5, 76.0, 85.0, 87.0, 89.0)
    assert up.complete


def test_latency_recovers_when_the_backlog_is_gone(analysis, truth):
    """Latency recovers at the first whole second after 89 s with a TTFT p95 within 2 s in the next two 5 s windows.

    The backlog at 87 s is 27 s · 2/s = 54 requests. It shrinks by 2/s until 114 s; the TTFT is within 2 s a little
    earlier.
    """
    recovered = analysis.scaling[0].recovered_s
    candidates = [89.0 + n for n in range(60)]

    def within_limit(left: float) -> bool:
        ttft = [first - d for d, first, _ in truth if left <= d < left + 5]
        return percentile(ttft, Fraction(95, 100)) <= LIMIT_S

    expected = next(t for t in candidates if within_limit(t) and within_limit(t + 5))
    assert recovered == expected
    assert 89.0 < expected < 114.0


def test_every_time_of_the_scale_down_is_exact(analysis):
    """The load falls at 120 s (last request of 6/s due at 119.83), ratio below target at 140 s, decided at 165 s."""
    _, down = analysis.scaling
    assert (down.direction, down.before, down.after, down.pods) == ("down", 2, 1, ("second",))
    assert down.trigger_s == pytest.approx(120.0, abs=0.2)
    assert (down.over_target_s, down.decided_s, down.created_s, down.ready_s) == (140.0, 165.0, 165.5, 168.25)
    assert down.complete


def test_capacity_is_four_requests_per_second(analysis):
    """One server completes a request in 0.25 s."""
    assert analysis.capacity_per_s == pytest.approx(4.0, rel=0.02)


def test_the_headline_splits_the_lag_into_its_parts(analysis, truth):
    """29 s = 7 + 8 + 12 + 2; slow requests have a TTFT over 2 s, and all of them are slow because of the lag.

    Two replicas throughout serve 8/s, so without the lag none would be slow. The lag window lasts until the last one.
    """
    head = analysis.headline
    assert (head.worst_event, head.lag_s) == (0, 29.0)
    assert (head.signal_s, head.decide_s, head.start_s, head.traffic_s) == (7.0, 8.0, 12.0, 2.0)
    slow = [d for d, first, _ in truth if first - d > LIMIT_S]
    assert head.slow_requests == len(slow)
    assert max(slow) > 89.0
    assert head.slow_in_lag == head.slow_requests < head.judged_requests == 540
    cause = analysis.demand.attribution
    assert (cause.slow, cause.by_lag, cause.otherwise, cause.unexplained) == (len(slow), len(slow), 0, 0)
    assert analysis.lag_windows[0].end_s == max(slow)
    assert (head.lowest_replicas, head.peak_replicas, head.last_replicas) == (1, 2, 1)


@pytest.mark.parametrize(
    ("stage", "start", "end", "count"), [(0, 0, 60, 120), (1, 60, 120, 360), (2, 120, 180, 60), (None, 0, 180, 540)]
)
def test_latencies_of_every_stage_are_exact(analysis, truth, stage, start, end, count):
    """Percentiles are those of sorted lists, and rates are counts divided by 60 s."""
    stage_stats = analysis.whole if stage is None else analysis.stages[stage]
    rows = [row for row in truth if start <= row[0] < end]
    assert (stage_stats.scheduled, stage_stats.answered, stage_stats.failed) == (count, count, 0)
    assert stage_stats.offered_per_s == pytest.approx(count / (end - start))
    done = sum(1 for _, _, last in truth if start <= last < end)
    assert stage_stats.completed_per_s == pytest.approx(done / (end - start))
    for name, share in (("p50", "0.5"), ("p90", "0.9"), ("p95", "0.95"), ("p99", "0.99"), ("max", "1")):
        for latency, values in (
            (stage_stats.ttft, [f - d for d, f, _ in rows]),
            (stage_stats.e2e, [e - d for d, _, e in rows]),
        ):
            assert getattr(latency, name) == pytest.approx(percentile(values, Fraction(share)), abs=1e-9)
    assert stage_stats.itl.count == count * 4
    assert stage_stats.itl.p50 == pytest.approx(0.05)
    assert stage_stats.itl.max == pytest.approx(0.05)
    assert (stage_stats.tpot.count, stage_stats.tpot.mean) == (count, pytest.approx(0.05))
    assert stage_stats.send_lag.max == pytest.approx(0.001)


def test_output_tokens_are_counted_where_they_arrive(analysis, truth):
    """Each request has five output tokens, counted in the stage in which they arrive."""
    times = [first + float(GAP_S) * n for _, first, _ in truth for n in range(TOKENS)]
    for stage_stats, (start, end) in zip(analysis.stages, ((0, 60), (60, 120), (120, 180)), strict=True):
        inside = sum(1 for t in times if start <= t < end)
        assert stage_stats.output_tokens_per_s == pytest.approx(inside / 60, rel=0.01)


def test_groups_by_replicas_follow_the_ready_replica(analysis, truth):
    """Two replicas are ready from 87 to 165.5 s."""
    one, two = analysis.by_replicas
    inside = [row for row in truth if 87.0 <= row[0] < 165.5]
    assert (one.name, two.name) == ("1 replica", "2 replicas")
    assert (one.scheduled, two.scheduled) == (540 - len(inside), len(inside))
    assert two.offered_per_s == pytest.approx(len(inside) / 78.5)
    assert two.ttft.p95 == pytest.approx(percentile([f - d for d, f, _ in inside], Fraction(95, 100)), abs=1e-9)


def test_cost_counts_replicas_from_creation_to_stop(analysis):
    """First: 180 s; second: 168.25 - 75.5 = 92.75 s; two replicas during the whole run would be 360 s."""
    cost = analysis.cost
    assert cost.replica_seconds == pytest.approx(272.75)
    assert (cost.static_replicas, cost.static_replica_seconds) == (2, 360.0)
    assert cost.of_static_ratio == pytest.approx(272.75 / 360)
    assert cost.mean_replicas == pytest.approx(272.75 / 180)


def test_the_timeline_shows_the_three_rates_and_the_replicas(analysis):
    """Rates are 2/s, 6/s and 1/s, in flight is due minus completed, and the ratio is 4, then the mean of 4 and 0."""
    line = analysis.timeline
    at = {t: number for number, t in enumerate(line.t_s)}
    assert [line.offered_per_s[at[t]] for t in (30.0, 90.0, 150.0)] == [2, 6, 1]
    # Due by 81 s: 120 + 126. Completed: the first 120, and 4/s from 60 s on, except the one in progress.
    assert line.in_flight[at[80.0]] == pytest.approx(120 + 126 - 120 - 4 * 21, abs=1.0)
    assert [line.ratio[at[t]] for t in (50.0, 70.0, 100.0, 150.0)] == [0, 4, 2, 0]
    assert [line.desired[at[t]] for t in (70.0, 80.0, 170.0)] == [1, 2, 1]
    assert [line.ready[at[t]] for t in (80.0, 90.0, 170.0)] == [1, 2, 1]
    assert [line.serving[at[t]] for t in (87.0, 90.0)] == [1, 2]
    assert line.t_s[-1] == 189.0  # the take-down at 190 s is not part of the run


def test_the_verdict_has_the_only_violated_limit(analysis, truth):
    """TTFT p95 exceeds 2 s; the limits on ITL and failures hold, and the run is valid."""
    assert analysis.verdict == "fail"
    violated = [each for each in analysis.findings if not each.passed and each.severity in ("fail", "invalid")]
    assert [each.code for each in violated] == ["slo.ttft.p95"]
    p95 = percentile([first - due for due, first, _ in truth], Fraction(95, 100))
    assert violated[0].measured == pytest.approx(p95, abs=1e-9)
    assert p95 > LIMIT_S
