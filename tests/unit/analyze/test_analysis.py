"""The whole analysis: verdicts, empty tables, invariants."""

import dataclasses
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.analysis import analyze
from loadgen.analyze.findings.verdict import ordered
from loadgen.analyze.read import load
from loadgen.analyze.results import Analysis
from support.runs.synthetic import VARIANTS, Plan, write
from support.runs.tables import by_code, event, info, life, request, rescale, series, tables

SLO = (("ttft", "p95", 2.0), ("itl", "p95", 0.1), ("failed", "ratio", 0.01))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Analysis]:
    """The synthetic variants, but the long one, analysed once."""
    folder: Path = tmp_path_factory.mktemp("runs")
    return {name: load(write(folder, plan)) for name, plan in VARIANTS.items() if name != "two-hours"}


@pytest.mark.parametrize(
    ("variant", "verdict", "broken"),
    [
        ("healthy", "pass", set()),
        ("waves", "fail", {"slo.ttft.p95"}),
        ("crash", "fail", {"slo.ttft.p95", "slo.failed.ratio"}),
        ("failing", "fail", {"slo.ttft.p95", "slo.failed.ratio"}),
        ("stopped", "fail", {"slo.ttft.p95"}),
        ("interrupted", "invalid", {"validity.interrupted", "slo.ttft.p95"}),
        ("gap", "invalid", {"validity.scrape_gap", "slo.ttft.p95"}),
        ("send-lag", "invalid", {"validity.send_lag", "slo.ttft.p95"}),
        ("no-autoscaler", "fail", {"slo.ttft.p95"}),
        ("blind", "fail", {"slo.ttft.p95", "slo.failed.ratio"}),
    ],
)
def test_the_verdict_follows_from_the_findings(runs, variant, verdict, broken):
    """A run that cannot be judged is invalid and still reports the SLOs that it missed."""
    made = runs[variant]
    assert made.verdict == verdict
    assert {each.code for each in made.findings if each.severity in ("fail", "invalid") and not each.passed} == broken


@pytest.mark.parametrize(
    ("variant", "warning"),
    [
        ("crash", "replica.crashed"),
        ("blind", "signal.never_crossed"),
        ("blind", "signal.untrue"),
        ("gap", "collect.gap"),
        ("cut-on-drain", "drain.broken"),
        ("waves", "balance.old_backlog"),
    ],
)
def test_each_fault_of_a_run_has_its_warning(runs, variant, warning):
    """Each variant has one fault, and its warning."""
    assert by_code(runs[variant].findings, warning).severity == "warning"


def test_the_fleet_scales_up_and_down_in_both_waves(runs):
    """1 → at least 3 → 1, with a complete chain in each wave; the parts of the worst lag add up to it."""
    made = runs["waves"]
    assert (made.headline.lowest_replicas, made.headline.peak_replicas, made.headline.last_replicas) == (1, 4, 1)
    complete = [each for each in made.scaling if each.direction == "up" and each.complete]
    assert {each.decided_s > 150 for each in complete} == {False, True}
    head = made.headline
    parts = (head.signal_s, head.decide_s, head.start_s, head.traffic_s)
    assert sum(part for part in parts if part is not None) == pytest.approx(head.lag_s)


def test_the_measured_capacity_is_that_of_the_simulation(runs):
    """4 places and a mean service of 0.0747 + 39 · 0.028 · 1.025 = 1.194 s: 3.35 requests a second."""
    service = 0.06 + 144 * 1e-4 + 39 * 0.028 * 1.025
    for variant in ("waves", "no-autoscaler", "cut-on-drain"):
        assert runs[variant].capacity_per_s == pytest.approx(4 / service, rel=0.05)


def test_findings_that_decide_come_first_and_what_passed_comes_last(runs):
    """The order is invalid, failed, warnings, passed."""
    order = [
        "passed" if each.passed else {"invalid": "decides", "fail": "decides"}.get(each.severity, each.severity)
        for each in runs["gap"].findings
    ]
    assert order == sorted(order, key=["decides", "warning", "passed"].index)
    assert ordered(runs["gap"].findings) == runs["gap"].findings


def test_a_run_that_died_before_its_load_is_invalid_and_empty():
    """No start of the load, no row in any table: everything is missing, nothing is zero."""
    made = analyze(info(zero_s=None, length_s=None, state="starting", limits=SLO), tables(zero_s=0.0))
    assert made.verdict == "invalid"
    assert made.run.state == "never_started"
    (found,) = made.findings
    assert (found.code, found.severity) == ("validity.load", "invalid")
    assert found.advice.startswith("The load never started; ")
    assert made.run.length_s is None
    assert made.whole.scheduled == 0
    assert made.whole.offered_per_s is None
    assert made.stages == made.scaling == made.lag_windows == made.outcomes == ()
    assert made.cost.replica_seconds is None
    assert made.headline.worst_event is None


def test_incidents_before_the_load_are_reported_for_a_run_that_never_started():
    """A replica that crashed during start-up has its finding."""
    never = info(zero_s=None, length_s=None, state="starting", limits=SLO)
    made = analyze(never, tables(events=[event(1, "replica_crashed", "a", exit_code=1)], zero_s=0.0))
    assert [each.code for each in made.findings] == ["validity.load", "replica.crashed"]


def test_the_error_before_the_load_is_part_of_the_finding():
    """The finding has the error of `run.json`."""
    never = info(zero_s=None, length_s=None, state="starting").model_copy(update={"error": "no server at :8000"})
    (found,) = analyze(never, tables(zero_s=0.0)).findings
    assert found.advice == "The load never started; it failed with: no server at :8000"


@pytest.mark.parametrize("left_out", ["requests", "tokens", "samples", "events"])
def test_any_table_may_be_empty(left_out):
    """Values that need the table are missing; all others are unchanged."""
    parts = _parts()
    full = analyze(info(limits=SLO), tables(**parts))
    empty = {"requests": [], "tokens": {}, "samples": [], "events": []}
    made = analyze(info(limits=SLO), tables(**{**parts, left_out: empty[left_out]}))
    if left_out == "requests":
        assert made.verdict == "invalid"
        assert made.whole.ttft.p50 is None
        assert made.cost.replica_seconds == full.cost.replica_seconds
        assert made.cost.needed_why_missing == "no request was due"
    if left_out == "tokens":
        assert made.whole.itl.count == 0
        assert made.whole.ttft == full.whole.ttft
    if left_out == "samples":
        assert not by_code(made.findings, "validity.signal").passed
        assert all(math.isnan(value) for value in made.timeline.ratio)
        assert made.scaling[0].decided_s == full.scaling[0].decided_s
    if left_out == "events":
        assert made.scaling == made.by_replicas == ()
        assert all(math.isnan(value) for value in made.timeline.ready)
        assert made.cost.replica_seconds is None
        assert made.whole == full.whole


def test_the_same_tables_give_the_same_analysis():
    """The result depends on nothing but the tables."""
    first, second = (analyze(info(limits=SLO), tables(**_parts())) for _ in range(2))
    assert repr(dataclasses.asdict(first)) == repr(dataclasses.asdict(second))


@given(st.integers(-(2**20), 2**20))
def test_shifting_the_time_axis_changes_nothing(sixteenths):
    """A run that started later is the same run."""
    zero = 2**17 + sixteenths / 16
    plain = analyze(info(limits=SLO), tables(**_parts()))
    moved = analyze(info(limits=SLO, zero_s=zero), tables(**_parts(), zero_s=zero))
    moved = dataclasses.replace(moved, run=plain.run)
    assert repr(dataclasses.asdict(moved)) == repr(dataclasses.asdict(plain))


def test_a_refused_burst_does_not_look_like_good_latency(tmp_path):
    """With a third of the requests refused, TTFT of the answered is fine and the verdict is fail."""
    made = load(write(tmp_path, Plan(replicas=(4, 4), failing_ratio=0.3, cycles=1)))
    assert made.whole.ttft.p95 is not None
    assert made.whole.ttft.p95 < 2.0
    assert made.verdict == "fail"
    assert by_code(made.findings, "slo.ttft.p95").measured is None


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
