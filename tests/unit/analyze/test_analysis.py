"""The analysis of whole runs: verdicts, simulated truths, empty tables and invariants."""

import dataclasses
import functools
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.analyze.analysis import analyze
from loadgen.analyze.findings.verdict import ordered
from loadgen.analyze.read import analyze_folder
from loadgen.dataset.run_info import PromptInfo
from support.runs.synthetic import PLANS, Plan, sample, simulate, write
from support.runs.tables import by_code, event, info, life, request, rescale, series, tables

SLO = (("ttft", "p95", 2.0), ("itl", "p95", 0.1), ("failed", "ratio", 0.01))


@pytest.mark.parametrize(
    ("plan", "verdict", "broken"),
    [
        ("passing", "pass", set()),
        ("failing", "fail", {"slo.ttft.p95"}),
        ("crash", "fail", {"slo.ttft.p95", "slo.failed.ratio"}),
        ("no-first-token", "fail", {"slo.ttft.p95", "slo.failed.ratio"}),
        ("stopped", "fail", {"slo.ttft.p95"}),
        ("interrupted", "invalid", {"validity.interrupted", "slo.ttft.p95"}),
        ("gap", "invalid", {"validity.scrape_gap", "slo.ttft.p95"}),
        ("send-lag", "invalid", {"validity.send_lag", "slo.ttft.p95"}),
        ("no-autoscaler", "fail", {"slo.ttft.p95"}),
        ("no-streaming", "invalid", {"slo.itl.p95", "slo.ttft.p95"}),
        ("blind", "fail", {"slo.ttft.p95", "slo.failed.ratio"}),
    ],
)
def test_the_verdict_follows_from_the_findings(plan, verdict, broken):
    """An invalid run still reports the SLOs that it broke."""
    analysis = sample(plan)
    assert analysis.verdict == verdict
    decisive = [finding for finding in analysis.findings if finding.severity in ("fail", "invalid")]
    assert {finding.code for finding in decisive if not finding.passed} == broken


@pytest.mark.parametrize("stop_at_s", [60.0, 61.0, 75.0])
def test_a_stop_of_a_healthy_run_leaves_its_verdict(tmp_path, stop_at_s):
    """Requests are in flight at every stop, many of them without a first token; the server met every limit."""
    plan = dataclasses.replace(PLANS["passing"], stop_at_s=stop_at_s)
    analysis = analyze_folder(write(tmp_path, plan))
    assert analysis.whole.stopped > 0
    assert analysis.verdict == "pass", [finding for finding in analysis.findings if not finding.passed]


@pytest.mark.parametrize(
    ("limits", "verdict"),
    [
        ([("ttft", "p50", 2.0)], "pass"),  # 80 of 100 were answered in time
        ([("ttft", "p95", 2.0)], "fail"),  # 20 of 100 are 10 s old
        ([("ttft", "p50", 2.0), ("e2e", "p95", 15.0)], "invalid"),  # their E2E may be within 15 s or not
        ([("ttft", "p95", 2.0), ("e2e", "p95", 15.0)], "fail"),  # TTFT has decided
    ],
)
def test_a_verdict_that_open_requests_could_turn_is_invalid(limits, verdict):
    """80 requests answered, then 20 without an answer for the 10 s before the stop."""
    requests = [request(n, n / 2) for n in range(80)]
    requests += [request(80 + n, 50.0, None, None, "cut_off", "run stopped", ended_s=60.0) for n in range(20)]
    run = info(limits=[*limits, ("failed", "ratio", 0.0)], state="stopped", autoscaler=None)
    analysis = analyze(run, tables(requests=requests))
    assert analysis.verdict == verdict
    assert by_code(analysis.findings, "slo.failed.ratio").measured == 0.0
    unknown = {finding.code: finding.unknown for finding in analysis.findings if finding.unknown}
    assert unknown == ({"slo.e2e.p95": 20} if len(limits) == 2 else {})


@pytest.mark.parametrize(
    ("sources", "unit"),
    [(("server", "server"), "tokens"), (("server", "chunks"), "chunks"), ((None, "server"), "tokens")],
)
def test_output_is_labelled_by_what_was_counted(sources, unit):
    """Output is in tokens by the server's count, and in chunks as soon as one request was counted in chunks."""
    rows = [request(number, float(number)) | {"token_source": source} for number, source in enumerate(sources)]
    assert analyze(info(), tables(requests=rows)).output_unit == unit
    assert analyze(info(), tables(requests=[request(0, 0.0)])).output_unit == "tokens"


@pytest.mark.parametrize(
    ("plan", "warning"),
    [
        ("crash", "replica.crashed"),
        ("blind", "signal.never_crossed"),
        ("blind", "signal.untrue"),
        ("gap", "collect.gap"),
        ("cut-on-drain", "drain.broken"),
        ("cluster", "cluster.lacking"),
        ("failing", "balance.old_backlog"),
    ],
)
def test_every_fault_has_its_warning(plan, warning):
    """Each plan has one fault, and a warning names it."""
    assert by_code(sample(plan).findings, warning).severity == "warning"


def test_the_fleet_scales_up_and_down_in_both_waves():
    """The fleet goes 1 → 4 → 1 with a complete scale-up in each wave, and the parts of the worst lag add up."""
    analysis = sample("failing")
    head = analysis.headline
    assert (head.lowest_replicas, head.peak_replicas, head.last_replicas) == (1, 4, 1)
    complete = [each for each in analysis.scaling if each.direction == "up" and each.complete]
    assert {each.decided_s > 150 for each in complete} == {False, True}
    parts = (head.signal_s, head.decide_s, head.start_s, head.traffic_s)
    assert sum(part for part in parts if part is not None) == pytest.approx(head.lag_s)


@pytest.mark.parametrize("plan", ["failing", "passing", "crash", "cut-on-drain", "no-first-token", "no-streaming"])
def test_the_analysis_reports_what_the_simulation_did(plan):
    """Outcomes, slow requests, rescales, and when the last replica of each scale-up was created and ready."""
    truth, analysis = simulate(PLANS[plan]), sample(plan)
    outcomes = Counter((request.outcome, request.cause) for request in truth.requests)
    assert {(each.outcome, each.cause): each.count for each in analysis.outcomes} == outcomes
    received = 0 if PLANS[plan].stream else -1  # without streaming, the first token comes with the last
    slow = [r for r in truth.requests if not len(r.tokens_s) or r.tokens_s[received] - r.due_s > 2.0]
    assert analysis.headline.slow_requests == len(slow)
    decided = [(pytest.approx(sync.t_s), sync.before, sync.after) for sync in truth.rescales]
    assert [(change.decided_s, change.before, change.after) for change in analysis.scaling] == decided
    for change in analysis.scaling:
        replicas = [replica for replica in truth.replicas if replica.name in change.pods]
        assert len(replicas) == abs(change.after - change.before)
        if change.direction == "up":
            assert change.created_s == pytest.approx(max(replica.created_s for replica in replicas))
            assert change.ready_s == pytest.approx(max(replica.ready_s for replica in replicas))


def test_the_true_ratio_is_that_of_the_simulation():
    """A blind signal hides nothing: at every second the raw counters give Σ queue / Σ compute of the rate window.

    Scrapes come 0.06 s after each second, so what a bin knows at its end is what finished until 0.94 s before.
    """
    truth, line = simulate(PLANS["blind"]), sample("blind").timeline
    at_s = [start + 1 for start, ratio in zip(line.t_s, line.ratio_truth, strict=True) if not math.isnan(ratio)]
    expected = [truth.ratio(end - 10.94, end - 0.94) for end in at_s]
    assert [ratio for ratio in line.ratio_truth if not math.isnan(ratio)] == pytest.approx(expected, rel=1e-4)
    assert len(expected) > 250
    assert max(expected) > 10
    assert max(ratio for ratio in line.ratio if not math.isnan(ratio)) == 0.0


def test_the_capacity_of_a_simulated_replica_is_measured():
    """4 slots and a mean service time of 0.0747 + 39 · 0.028 · 1.025 = 1.194 s: 3.35 requests a second."""
    service = 0.06 + 144 * 1e-4 + 39 * 0.028 * 1.025
    for plan in ("failing", "no-autoscaler", "cut-on-drain"):
        assert sample(plan).capacity_per_s == pytest.approx(4 / service, rel=0.05)


def test_findings_are_sorted():
    """The order is: invalid and failed, warnings, passed."""
    order = [
        "passed" if each.passed else {"invalid": "decides", "fail": "decides"}.get(each.severity, each.severity)
        for each in sample("gap").findings
    ]
    assert order == sorted(order, key=["decides", "warning", "passed"].index)
    assert ordered(sample("gap").findings) == sample("gap").findings


def test_a_run_that_died_before_its_load_is_invalid_and_empty():
    """Without a start of the load and without rows, values are missing and not zero."""
    analysis = analyze(info(zero_s=None, length_s=None, state="starting", limits=SLO), tables(zero_s=0.0))
    assert analysis.verdict == "invalid"
    assert analysis.run.state == "never_started"
    (finding,) = analysis.findings
    assert (finding.code, finding.severity) == ("validity.load", "invalid")
    assert finding.advice.startswith("The load never started; ")
    assert analysis.run.length_s is None
    assert analysis.whole.scheduled == 0
    assert analysis.whole.offered_per_s is None
    assert analysis.stages == analysis.scaling == analysis.lag_windows == analysis.outcomes == ()
    assert analysis.cost.replica_seconds is None
    assert analysis.headline.worst_event is None


def test_a_crash_before_the_load_is_reported():
    """A run that never started names the replica that crashed during start-up."""
    never = info(zero_s=None, length_s=None, state="starting", limits=SLO)
    analysis = analyze(never, tables(events=[event(1, "replica_crashed", "a", exit_code=1)], zero_s=0.0))
    assert [each.code for each in analysis.findings] == ["validity.load", "replica.crashed"]


def test_the_error_that_prevented_the_load_is_reported():
    """The finding quotes the error from `run.json`."""
    never = info(zero_s=None, length_s=None, state="starting").model_copy(update={"error": "no server at :8000"})
    (finding,) = analyze(never, tables(zero_s=0.0)).findings
    assert finding.advice == "The load never started; it failed with: no server at :8000"


@pytest.mark.parametrize("empty_table", ["requests", "tokens", "samples", "events"])
def test_any_table_may_be_empty(empty_table):
    """What depends on that table is missing; everything else is unchanged."""
    parts = _parts()
    full = analyze(info(limits=SLO), tables(**parts))
    empty = {"requests": [], "tokens": {}, "samples": [], "events": []}
    analysis = analyze(info(limits=SLO), tables(**{**parts, empty_table: empty[empty_table]}))
    if empty_table == "requests":
        assert analysis.verdict == "invalid"
        assert analysis.whole.ttft.p50 is None
        assert analysis.cost.replica_seconds == full.cost.replica_seconds
        assert analysis.cost.needed_why_missing == "no request was due"
    if empty_table == "tokens":
        assert analysis.whole.itl.count == 0
        assert analysis.whole.ttft == full.whole.ttft
    if empty_table == "samples":
        assert not by_code(analysis.findings, "validity.signal").passed
        assert all(math.isnan(value) for value in analysis.timeline.ratio)
        assert analysis.scaling[0].decided_s == full.scaling[0].decided_s
    if empty_table == "events":
        assert analysis.scaling == analysis.by_replicas == ()
        assert all(math.isnan(value) for value in analysis.timeline.ready)
        assert analysis.cost.replica_seconds is None
        assert analysis.whole == full.whole


def test_the_same_tables_give_the_same_analysis():
    """Two analyses of the same tables are equal, field by field."""
    first, second = (analyze(info(limits=SLO), tables(**_parts())) for _ in range(2))
    assert repr(dataclasses.asdict(first)) == repr(dataclasses.asdict(second))


@settings(max_examples=10)  # each is a whole analysis
@given(st.integers(-(2**20), 2**20))
def test_shifting_the_time_axis_changes_nothing(sixteenths):
    """A run that started later has the same analysis."""
    zero = 2**17 + sixteenths / 16
    plain = _plain()
    moved = analyze(info(limits=SLO, zero_s=zero), tables(**_parts(), zero_s=zero))
    moved = dataclasses.replace(moved, run=plain.run)
    assert repr(dataclasses.asdict(moved)) == repr(dataclasses.asdict(plain))


def test_a_refused_burst_does_not_look_like_good_latency(tmp_path):
    """With 30 % of the requests refused or empty, TTFT of the answered ones is good, and the verdict is fail."""
    analysis = analyze_folder(write(tmp_path, Plan(replicas=(4, 4), failing_ratio=0.3, cycles=1)))
    assert analysis.whole.ttft.p95 is not None
    assert analysis.whole.ttft.p95 < 2.0
    assert analysis.verdict == "fail"
    assert by_code(analysis.findings, "slo.ttft.p95").measured is None


@functools.cache
def _plain():
    return analyze(info(limits=SLO), tables(**_parts()))


def _parts():
    """A minute with every kind of row, all times in sixteenths of a second."""
    rows = [request(n, n / 4, 0.5 + (n % 8) / 16, 2.0) for n in range(200)]
    rows[7] = request(7, 1.75, None, None, "rejected", "full", ended_s=2.0)
    rows[9] = request(9, 2.25, 0.5, 1.0, "cut_off", "reset")
    answered = [(n, row["first_token_s"], row["last_token_s"]) for n, row in enumerate(rows) if row["first_token_s"]]
    tokens = {n: [first, first + 0.0625, last] for n, first, last in answered}
    samples = []
    for t in range(-4, 60):
        for signal, value in (
            ("ratio", 3.0 if 12 <= t < 40 else 0.0),
            ("up", 1.0),
            ("raw_queue_us", 1e6 * max(t, 0) * 2),
            ("raw_compute_us", 1e6 * (t + 4)),
            ("raw_success", 2.0 * (t + 4)),
            ("raw_pending", 3.0 if 8 <= t < 30 else 0.0),
        ):
            samples += series(signal, "a", {t + 0.25: value})
        if t >= 30:
            samples += series("raw_success", "b", {t + 0.25: float(t - 30)})
    events = [
        *life("a", -9, -5),
        event(0, "load_started"),
        rescale(15, 1, 2),
        *life("b", 15.5, 29),
        rescale(50, 2, 1),
        event(50.5, "replica_draining", "b"),
        event(52, "replica_stopped", "b"),
    ]
    return {"requests": rows, "tokens": tokens, "samples": samples, "events": events}


@pytest.mark.parametrize(("distinct", "ratio"), [(8, 0.2), (10, 0.0), (40, 0.0), (1, 0.9), (None, None)])
def test_repeated_prompts_are_counted_among_the_sent(distinct, ratio):
    """Of 11 requests 10 were sent: with 8 different prompts two of them repeat one; an older folder does not know."""
    sent = [request(n, float(n)) for n in range(10)]
    unsent = request(10, 10.0, None, None, "not_sent", "run stopped", lag_s=None)
    prompts = None if distinct is None else PromptInfo(distinct=distinct)
    analysis = analyze(info(prompts=prompts), tables(requests=[*sent, unsent]))
    assert analysis.run.repeated_prompts_ratio == ratio
