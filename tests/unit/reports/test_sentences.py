"""The opening sentences, the summary and the sentence of each finding."""

import itertools
from dataclasses import replace

import pytest
from loadgen_reports.finding_text import finding_sentence
from loadgen_reports.sentences import opening, signal_sentence, summary_lines

from loadgen.analyze.analysis import analyze
from loadgen.analyze.results import Analysis, OutcomeCount
from loadgen.dataset.names import StopCause
from support.runs.synthetic import SAMPLES, finding, sample
from support.runs.tables import info, request, tables


def opening_text(analysis: Analysis) -> str:
    return " ".join(opening(analysis))


def test_the_opening_of_a_failed_run(failing: Analysis) -> None:
    """Order: the lag and the worst windows, the slow requests and their share within lag windows, the parts of the lag,
    and the cost."""
    head = replace(
        failing.headline,
        lag_s=41.2,
        signal_s=13.1,
        decide_s=9.2,
        start_s=15.0,
        traffic_s=3.9,
        slow_requests=212,
        slow_in_lag=193,
        judged_requests=1480,
        peak_replicas=3,
    )
    run = replace(failing, headline=head, outcomes=(), cost=replace(failing.cost, of_static_ratio=0.608))
    assert opening_text(run) == (
        "FAIL: in off-peak 2, scale-up lagged the load by 41.2 s; "
        "in the worst 90 s, from 0:30 to 2:00, TTFT p95 was 19.6 s (limit 2 s). "
        "180 s of 300 s were in violation: in windows of 30 s, fewer than 95 % of the requests met the limits. "
        "212 of 1,480 requests exceeded TTFT ≤ 2 s, 91 % of them inside the three lag windows. "
        "Limit missed: TTFT p95 (21 s, limit 2 s). "
        "Of the 41.2 s, 13.1 s passed until the signal crossed its target, 9.2 s until the next HPA sync, "
        "15.0 s in start-up, 3.9 s until traffic reached the last new replica. "
        "The fleet ran between 1 and 3 replicas, and ended at 1. "
        "Cost: 61 % of static peak (4 replicas), and 95 % of the 3 replicas that this load needs."
    )


HEAD_FIELDS = (
    "worst_event",
    "lag_s",
    "signal_s",
    "decide_s",
    "start_s",
    "traffic_s",
    "slow_requests",
    "slow_in_lag",
    "ttft_limit_s",
    "peak_replicas",
    "lowest_replicas",
    "last_replicas",
)


@pytest.mark.parametrize("verdict", ["pass", "fail", "invalid"])
def test_no_missing_value_shows_through(failing: Analysis, verdict: str) -> None:
    """Any combination of missing headline values still gives well-formed sentences."""
    for present in itertools.product([True, False], repeat=len(HEAD_FIELDS)):
        blank = {name: None for name, keep in zip(HEAD_FIELDS, present, strict=True) if not keep}
        text = opening_text(replace(failing, verdict=verdict, headline=replace(failing.headline, **blank)))  # type: ignore[arg-type]
        assert not any(wrong in text for wrong in ("None", "nan", "–", "  ", "..", " ,", ": .")), text
        assert text.startswith(verdict.upper())
        assert text.endswith(".")


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_has_its_summary(name: str) -> None:
    """The summary of every kind of run has its opening and one line for each finding that did not pass."""
    run = sample(name)
    lines = summary_lines(run)
    open_findings = [f for f in run.findings if not f.passed and f.severity != "info"]
    if run.run.state == "never_started":
        open_findings = [f for f in open_findings if f.severity == "warning"]
    first = 0 if run.run.state == "never_started" else 1
    assert lines[first : first + len(opening(run))] == opening(run)
    assert not first or lines[0].startswith("In time: ")
    assert len([line for line in lines if line.startswith(("  ✗ ", "  ? ", "  ! "))]) == len(open_findings)
    assert all("\n" not in line and line.isprintable() for line in lines)


def test_a_run_without_data_says_so() -> None:
    """Without any row, the run cannot be judged; the sentences say why and give no figures."""
    assert opening_text(sample("nothing-recorded")) == (
        "INVALID: this run cannot be judged. "
        "The load was interrupted after 0 s, because the tool or one of its processes died. The data recorded until "
        "then is shown: see the logs of the run, then run it again. "
        "Send lag p99 was not measured, so the limit of 50 ms could not be checked. "
        "Answered requests were 0, below the limit of 100. "
        "TTFT p95 was not measured, so the limit of 2 s could not be checked. "
        "ITL p95 was not measured, so the limit of 100 ms could not be checked. "
        "Failed requests were not measured, so the limit of 1 % could not be checked. "
        "No request was scheduled, so there is nothing to measure. "
        "The replicas behind grpc://triton.example:8001 were not observed, so replica counts, lag and cost are unknown."
    )


def test_a_run_that_never_started_is_one_sentence() -> None:
    """The sentence is the error that was printed; a crash during start-up is listed."""
    run = sample("never-started")
    assert opening_text(run) == (
        "INVALID: the load never started; it failed with: no Triton answers at http://127.0.0.1:1; check --target."
    )
    crash = finding("replica.crashed", 1.0, 0.0, severity="warning", title="Replica crashes", unit="count")
    lines = summary_lines(replace(run, findings=(*run.findings, crash)))
    assert [line for line in lines if "Replica crashes" in line] == [f"  ! {finding_sentence(crash)}"]


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (0, "PASS: no limit was set, so nothing could fail."),
        (1, "PASS: the one limit was met; TTFT p95 is too close to call."),
        (2, "PASS: both limits were met; TTFT p95 is too close to call."),
        (3, "PASS: all three limits were met; TTFT p95 is too close to call."),
    ],
)
def test_limits_that_were_met_are_counted(limits: int, text: str) -> None:
    """The sentence has its own form for none, one, two and three limits."""
    run = sample("passing")
    met = tuple(f for f in run.findings if f.severity == "fail")[:limits]
    rest = tuple(f for f in run.findings if f.severity != "fail")
    assert opening(replace(run, findings=(*met, *rest)))[0] == text


def test_a_pass_that_tested_no_scaling_says_so() -> None:
    """A pass without any scaling is qualified, as an idle fleet meets its limits easily."""
    run = sample("passing")
    idle = finding("scaling.not_tested", None, None, severity="warning", title="Scaling not tested", unit="")
    assert opening(replace(run, findings=(*run.findings, idle)))[0] == (
        "PASS, scaling not tested: all three limits were met; TTFT p95 is too close to call."
    )


@pytest.mark.parametrize(
    ("static", "needed", "of_needed", "text"),
    [
        (4, 2, 1.3, "Cost: 65 % of static peak (4 replicas), but 130 % of the 2 replicas that this load needs."),
        (4, 3, 0.87, "Cost: 65 % of static peak (4 replicas), and 87 % of the 3 replicas that this load needs."),
        (4, 1, 2.6, "Cost: 65 % of static peak (4 replicas), but 260 % of the one replica that this load needs."),
        (4, 4, 0.65, "Cost: 65 % of static peak (4 replicas), which is what this load needs."),
        (1, 3, 0.22, "Cost: 65 % of static peak (1 replica); this load needs 3 replicas."),
        (4, None, None, "Cost: 65 % of static peak (4 replicas)."),
    ],
)
def test_cost_is_compared_with_the_smallest_fleet(
    failing: Analysis, static: int, needed: int | None, of_needed: float | None, text: str
) -> None:
    """An overshoot raises the static peak, so the smallest fleet that can serve the load is a second reference."""
    cost = replace(
        failing.cost, of_static_ratio=0.65, static_replicas=static, needed_replicas=needed, of_needed_ratio=of_needed
    )
    assert text in opening(replace(failing, cost=cost))


def test_two_scale_ups_have_their_own_wording(failing: Analysis) -> None:
    """Two scale-ups are compared with "longer" and "both", not with "longest" and "all"."""
    ups = tuple(event for event in failing.scaling if event.direction == "up")[:2]
    run = replace(failing, verdict="pass", scaling=ups, headline=replace(failing.headline, worst_event=0))
    assert "the longer of two scale-ups" in opening_text(run)
    assert "The lag of both scale-ups was not measured" in opening_text(
        replace(run, headline=replace(run.headline, lag_s=None))
    )


def test_a_target_without_autoscaler_is_named() -> None:
    """For a plain URL the sentences claim nothing about the fleet behind it."""
    text = opening_text(sample("url"))
    assert "The replicas behind grpc://triton.example:8001 were not observed" in text
    assert "Cost" not in text


def test_the_lag_leads_only_when_it_explains_the_slow_requests(failing: Analysis) -> None:
    """When most slow requests fell outside the lag windows, the missed limit comes first and the lag after it."""
    run = replace(failing, headline=replace(failing.headline, slow_requests=200, slow_in_lag=40), attainment=None)
    assert opening_text(run).startswith(
        "FAIL: TTFT p95 was 21 s, above the limit of 2 s. In off-peak 2, scale-up lagged the load by 45 s "
        "(95 % interval 43 … 46 s), the longest of three scale-ups. 200 of 1,309 requests exceeded TTFT ≤ 2 s, 20 % of "
        "them inside"
    )


def test_a_missing_lag_has_a_reason(failing: Analysis) -> None:
    """The sentence gives the reason, without the name of the missing step, and the steps that were measured."""
    event = replace(
        failing.scaling[0], trigger_s=None, missing=("load step: the load had not risen before the decision",)
    )
    head = replace(failing.headline, worst_event=0, lag_s=None, signal_s=None)
    text = opening_text(replace(failing, scaling=(event,), headline=head))
    assert "The lag of the scale-up was not measured, because the load had not risen before the decision." in text
    assert "Measured for 1 → 2: 9.1 s until the next HPA sync, 12.2 s in start-up" in text


def test_a_partly_measured_lag_mentions_the_rest(failing: Analysis) -> None:
    """Where a part of the lag is unknown, the sentence says that the rest was not measured."""
    text = opening_text(replace(failing, headline=replace(failing.headline, decide_s=None, signal_s=None)))
    assert (
        "Of the 45 s, 12.2 s passed in start-up, 1.7 s until traffic reached the last new replica; the rest was not"
        in text
    )


def test_a_signal_before_the_load_step_is_described_step_by_step(failing: Analysis) -> None:
    """Where the signal precedes the load step, the sentence lists the steps and does not add them up."""
    head = replace(failing.headline, signal_s=-3.0, decide_s=12.0, start_s=15.0, traffic_s=4.0, lag_s=28.0)
    assert (
        "Step by step: the signal crossed its target 3.0 s before the load step, the HPA decided 12.0 s after that, "
        "start-up took 15.0 s and traffic reached the last new replica 4.0 s later."
        in opening_text(replace(failing, headline=head))
    )


@pytest.mark.parametrize(
    ("slow", "inside", "windows", "text"),
    [
        (0, 0, 2, "All 1,309 requests met TTFT ≤ 2 s."),
        (1, 1, 1, "1 of 1,309 requests exceeded TTFT ≤ 2 s, inside the lag window."),
        (1, 1, 2, "1 of 1,309 requests exceeded TTFT ≤ 2 s, inside one of the two lag windows."),
        (1, 0, 1, "1 of 1,309 requests exceeded TTFT ≤ 2 s, not inside the lag window."),
        (5, 5, 2, "5 of 1,309 requests exceeded TTFT ≤ 2 s, all of them inside the two lag windows."),
        (5, 0, 2, "5 of 1,309 requests exceeded TTFT ≤ 2 s, none of them inside the two lag windows."),
        (5, None, 2, "5 of 1,309 requests exceeded TTFT ≤ 2 s."),
        (5, 0, 0, "5 of 1,309 requests exceeded TTFT ≤ 2 s."),
    ],
)
def test_slow_requests(failing: Analysis, slow: int, inside: int | None, windows: int, text: str) -> None:
    """Singular, plural, all and none have their own wording."""
    window = failing.lag_windows[0]
    head = replace(failing.headline, slow_requests=slow, slow_in_lag=inside)
    assert text in opening(replace(failing, headline=head, lag_windows=(window,) * windows))


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"timeout": 5}, "5 of 1,309 requests timed out."),
        ({"cut_off": 1}, "1 of 1,309 requests was cut off."),
        (
            {"rejected": 1, "error": 2, "not_sent": 3},
            "6 of 1,309 requests did not complete: 1 was rejected, 2 ended in an error and 3 were never sent.",
        ),
    ],
)
def test_unanswered_requests(failing: Analysis, counts: dict[str, int], text: str) -> None:
    """Requests without a complete answer are counted by outcome."""
    outcomes = tuple(
        OutcomeCount(outcome=name, cause=None, count=count, first_s=1.0, last_s=2.0) for name, count in counts.items()
    )
    assert text in opening(replace(failing, outcomes=outcomes))


def hung(answered: int, limits: list[tuple[str, str, float]]) -> Analysis:
    """100 requests, of which the last ones have no answer for the 0.9 s before the stop at 60 s."""
    rows = [request(n, n / 2) for n in range(answered)]
    rows += [request(n, 59.1, None, None, "cut_off", "run stopped", ended_s=60.0) for n in range(answered, 100)]
    return analyze(info(limits=limits, state="stopped", autoscaler=None), tables(requests=rows))


def test_requests_that_could_turn_the_verdict_are_counted() -> None:
    """The opening says which limit cannot be judged, and because of how many requests."""
    analysis = hung(94, [("ttft", "p95", 1.0)])
    text = opening_text(analysis)
    assert text.startswith("INVALID: this run cannot be judged.")
    assert "TTFT p95 cannot be compared with the limit of 1 s: 6 requests were open when the run was stopped." in text
    assert "All 94 requests met TTFT ≤ 1 s; 6 younger requests had no first token yet when the run was stopped." in text
    assert any("--stop-timeout" in line for line in summary_lines(analysis))


def test_open_requests_that_could_not_turn_the_verdict_are_mentioned() -> None:
    """With 5 of 100 open, p95 is that of the answered ones."""
    text = opening_text(hung(95, [("ttft", "p95", 1.0)]))
    assert text.startswith("PASS: the one limit was met.")
    assert "5 requests in flight were cut off and were judged by their age" in text


@pytest.mark.parametrize("cause", StopCause)
def test_how_the_run_was_stopped(cause: StopCause) -> None:
    """The opening, which the page, Markdown and the console share, ends the sentence with the cause."""
    stopped = sample("stopped")
    text = opening_text(replace(stopped, run=replace(stopped.run, stop_cause=cause)))
    assert f"The run was stopped early after 100 s {cause.label}; 41 requests in flight" in text


def test_requests_that_the_stop_ended_are_no_failures() -> None:
    """Requests that the operator's stop ended are mentioned with the stop and do not count as failures."""
    stopped = sample("stopped")
    unsent = OutcomeCount(outcome="not_sent", cause="run stopped", count=410, first_s=100.2, last_s=299.6)
    text = opening_text(replace(stopped, outcomes=(*stopped.outcomes, unsent)))
    # At 100 s two of the four replicas still have a queue from the time before the scale-up.
    assert (
        "The run was stopped early after 100 s; 41 requests in flight were cut off and were judged by their age"
    ) in text
    assert "410" not in text


def test_a_gap_follows_the_steps_of_the_lag(failing: Analysis) -> None:
    """The opening says by how much a step is uncertain; the label of the step is for the table."""
    gap = "serving: the counters of a were not read from 0:01 to 0:09, so it answered up to 8.0 s earlier"
    scaling = tuple(replace(event, gaps=(gap,)) for event in failing.scaling)
    text = opening_text(replace(failing, scaling=scaling))
    assert "the last new replica. The counters of a were not read from 0:01 to 0:09, so it answered up to" in text


def test_a_blind_signal_is_not_called_an_untested_scaling() -> None:
    """The ratio never crossed its target, and yet the load needed more replicas: that test of scaling failed."""
    idle = finding("signal.never_crossed", 0.4, 1.1, severity="warning", title="Highest ratio", unit="")
    run = sample("passing")
    assert run.signal is not None
    signal = replace(run.signal, verdict="blind", reason="It stayed at 0.")
    blind = replace(run, findings=(*run.findings, idle), signal=signal)
    assert "scaling not tested" not in opening_text(blind)
    assert signal_sentence(blind) == "The signal is blind: it stayed at 0."
