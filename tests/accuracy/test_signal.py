"""What the analysis says about the signal of simulated runs, whose waits, gaps, reads and clocks are known."""

import math
from dataclasses import replace

import pytest
from loadgen_reports.formats import html, markdown
from loadgen_reports.sentences import signal_sentence, summary_lines

from loadgen.analyze.analysis import analyze
from loadgen.analyze.results import Analysis
from support.runs.synthetic import ENGINE, PLANS, UNREACHED, Plan, analysis, sample, simulate
from support.runs.tables import by_code, info, life, request, series, tables

COUNTERS_GAP = Plan(name="counters gap", counters_gap_s=(52.0, 68.0))
BUSY = Plan(name="busy", trough_per_s=2.9, peak_per_s=2.9, period_s=600.0, cycles=1, replicas=(1, 1))
"""One replica at 87 % of its capacity of 3.35/s."""
STEADY = Plan(
    name="steady", trough_per_s=0.5, peak_per_s=8.0, period_s=700.0, cycles=1, shape="trapezoid", ramp_ratio=0.02
)
"""Almost ten minutes of constant load, before and after a scale-up."""


def codes(made: Analysis) -> list[str]:
    return [finding.code for finding in made.findings if not finding.passed]


def test_requests_that_wait_inside_the_engine_are_reported():
    """One replica gets up to 8/s and completes 3.35/s; Triton counts the wait as compute, so the ratio stays near 0."""
    truth, made = simulate(ENGINE), analysis(ENGINE)
    peak = max(each.value for each in truth.samples if each.signal == "engine_waiting" and 0 <= each.t_s < truth.end_s)
    assert peak > 90
    assert made.engine[0].waiting_peak == peak
    assert made.engine[0].bottleneck == "batch"
    found = by_code(made.findings, "signal.engine_waiting")
    assert found.measured == peak
    assert f"does not see {peak:.0f} requests waiting inside the engine" in found.advice
    assert made.signal is not None
    assert made.signal.verdict == "blind"
    assert by_code(made.findings, "signal.blind").measured > 60


def test_a_run_with_a_full_engine_is_not_called_idle():
    """No report says that requests did not wait, or that there was no reason to scale."""
    made = analysis(ENGINE)
    texts = [html.render(made), markdown.render(made), *summary_lines(made)]
    for wrong in ("no reason to scale", "rarely queued", "hardly"):
        assert not any(wrong in text for text in texts), wrong
    assert signal_sentence(made) in markdown.render(made)


def test_replicas_that_nothing_reaches_are_a_matter_of_balance():
    """The rule reads 0 for each new replica, as the HPA does: the ratio is right, and the traffic never came."""
    made = analysis(UNREACHED)
    warnings = [finding.code for finding in made.findings if finding.severity == "warning"]
    assert warnings[0] == "replica.unused"
    assert "signal.untrue" not in warnings
    assert all("scaled but not used" in each.advice for each in made.findings if each.code == "replica.unused")


@pytest.mark.parametrize("plan", [PLANS["failing"], UNREACHED], ids=lambda plan: plan.name)
def test_the_ratio_read_is_that_of_the_evaluations(plan):
    """In every bin it is the value of the last sync before its end, which the simulation recorded in milli."""
    truth, line = simulate(plan), analysis(plan).timeline
    for start, read in zip(line.t_s, line.ratio_read, strict=True):
        before = [sync for sync in truth.syncs if sync.t_s <= start + 1.0]
        if not before or before[-1].ratio is None:
            assert math.isnan(read)
        else:
            assert read == int(before[-1].ratio * 1000) / 1000


def test_a_gap_in_the_counters_is_named_where_it_touches_a_step():
    """The second replica is ready at 55.35 s and answers at 56.06 s; its counters are read again at 68.06 s."""
    made, whole = analysis(COUNTERS_GAP), sample("failing")
    first, exact = made.scaling[0], whole.scaling[0]
    assert exact.serving_s is not None
    assert first.serving_s is not None
    assert exact.gaps == ()
    (note,) = first.gaps
    assert note.startswith("serving: the counters of ")
    uncertain_s = float(note.split("up to ")[1].split(" s")[0])
    assert first.serving_s - uncertain_s <= exact.serving_s < first.serving_s
    assert any(gap.kind == "no_counters" and gap.end_s - gap.start_s > 10 for gap in made.gaps)
    assert "signal.counters_gap" in codes(made)
    advice = by_code(made.findings, "validity.scrape_gap").advice
    assert "sampled throughout" not in advice
    assert "counters of a ready replica were not read for up to 17.0 s" in advice
    assert "up to" in markdown.render(made).split("## Scale-ups")[1].split("## ")[0]


@pytest.mark.parametrize("offset_s", [-4.0, 10.0])
def test_the_offset_of_the_clocks_is_estimated(offset_s):
    """The true offset is within the error, which is at most 2 s here: E2E is about 1 s and scrapes are 1 s apart."""
    made = analysis(replace(PLANS["failing"], clock_offset_s=offset_s))
    clock = made.clock_offset
    assert clock is not None
    assert clock.offset_s is not None
    assert clock.error_s is not None
    assert abs(clock.offset_s - offset_s) <= clock.error_s <= 2.0
    assert by_code(made.findings, "clock.offset").measured == abs(clock.offset_s)
    assert made.signal is not None
    assert "clocks" in made.signal.reason
    order = "early" if offset_s > 0 else "late"
    notes = [event.gaps[0] for event in made.scaling if event.trigger_s is not None]
    assert len(notes) >= 3
    assert all(
        note.startswith("load step: ") and f"s too {order} relative to all other steps" in note for note in notes
    )


@pytest.mark.parametrize("plan", ["failing", "crash", "gap", "cut-on-drain", "stopped", "no-first-token", "send-lag"])
def test_clocks_that_agree_have_no_finding(plan):
    """With crashes, gaps, stops, failures or late sends: 0 is within the error."""
    clock = sample(plan).clock_offset
    assert clock is not None
    assert clock.offset_s is not None
    assert clock.error_s is not None
    assert abs(clock.offset_s) <= clock.error_s <= 2.0
    assert "clock.offset" not in codes(sample(plan))


def test_the_noise_of_a_busy_replica_is_measured():
    """The share of seconds in which Σ queue / Σ compute of the last 10 s exceeds 1.1, from the requests themselves."""
    truth, made = simulate(BUSY), analysis(BUSY).signal
    assert made is not None
    at_s = [second - 0.06 for second in range(13, 600)]
    read = [truth.ratio(end - 10.0, end) for end in at_s]
    expected = sum(value > 1.1 for value in read) / len(read)
    assert made.verdict == "noisy"
    assert made.false_ratio == pytest.approx(expected, abs=0.03)
    assert 0.05 < made.false_low < made.false_ratio < made.false_high


def test_a_signal_that_responds_in_time_is_trustworthy():
    """At constant load the ratio is far from its target, and it left 0 when the first request was late."""
    made = analysis(STEADY).signal
    assert made is not None
    assert (made.verdict, made.false_ratio) == ("trustworthy", 0.0)
    assert made.lead_s == pytest.approx(0.0, abs=1.0)


def test_a_short_constant_load_shows_no_noise():
    """A wave is never constant."""
    text = signal_sentence(sample("failing"))
    assert text is not None
    assert text.startswith("Whether the signal can be trusted is not known: ")
    assert "too little constant load (0 s of the 200 s that it takes)" in text
    assert "While no limit was broken, it was above 0.1, where its noise is taken to end, for " in text


def test_a_wrong_rule_is_blind():
    """The recorded ratio is always 0; the counters show what it should be."""
    made = sample("blind")
    assert made.signal is not None
    assert made.signal.verdict == "blind"
    assert "raw counters reached" in by_code(made.findings, "signal.blind").advice


@pytest.mark.parametrize(
    ("plan", "best", "ratio_is_blind"),
    [(ENGINE, "engine_waiting", True), (PLANS["failing"], "raw_pending", False)],
    ids=["inside the engine", "in Triton's queue"],
)
def test_the_best_alternative_is_where_requests_wait(plan, best, ratio_is_blind):
    """A queue grows when the load exceeds the capacity; the ratio shows it one answer later, or never."""
    made = analysis(plan)
    assert made.signal is not None
    by_signal = {each.signal: each for each in made.signal.candidates}
    assert made.signal.candidates[0].signal == best
    assert by_signal["ratio"].blind == ratio_is_blind
    assert (by_signal[best].blind, by_signal[best].noise_ratio) == (False, 0.0)
    assert by_signal[best].lead_s > 0
    assert "responded best" in (signal_sentence(made) or "")


def test_noise_before_a_step_is_no_lead():
    """At low load the ratio is 0.2 for 8 of every 20 s; from 203 s on it is 3, and a limit breaks at 204 s.

    Noise that is followed by noise within a sync period does not make the lead longer: it is 1 s, ± one sample of 1 s
    (a request that is due at 202 s exceeds its limit of 2 s at 204 s). A lead from the first noise would be 196 s.
    """
    ratio = {float(t): 3.0 if t >= 203 else 0.2 if t % 20 < 8 else 0.0 for t in range(300)}
    rows = [request(n, n / 2, 5.0 if 202 <= n / 2 < 260 else 0.1, 5.5) for n in range(560)]
    about = info(length_s=300.0, limits=(("ttft", "p95", 2.0),), stages=(("all", 0.0, 300.0),))
    made = analyze(about, tables(requests=rows, samples=series("ratio", "a", ratio), events=life("a", -9, -5)))
    assert made.signal.lead_s == pytest.approx(1.0, abs=1.0)
