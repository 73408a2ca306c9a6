"""Values that a run cannot have, and rows that it has twice: the page must not fill them in from the others."""

import math

import pytest
from loadgen_reports.formats import markdown

from loadgen.analyze.analysis import analyze
from loadgen.dataset.names import Cause
from support.runs.tables import by_code, info, life, request, series, tables

LENGTH_S = 200.0
TTFT_S = 0.05
TIMEOUT_S = 30.0
LIMITS = (("ttft", "p95", 1.0),)


def analyzed(rows, *, samples=(), limits=LIMITS, **changes):
    about = info(
        length_s=LENGTH_S,
        stages=(("low", 0.0, 100.0), ("peak", 100.0, LENGTH_S)),
        limits=limits,
        settings={"request_timeout_s": TIMEOUT_S},
        autoscaler=None,
        **changes,
    )
    return analyze(about, tables(requests=rows, events=life("a", -20.0, -10.0), samples=samples))


def answered(number, due_s):
    return request(number, due_s, TTFT_S, 0.5)


def test_a_peak_of_which_half_is_unanswered_has_no_p95():
    """100 answers at the trough and 200 requests at the peak, of which each second one timed out: a third of all.

    The survivors have a TTFT p95 of 50 ms; of all 300 requests only the lower two thirds are known, so that the median
    is 50 ms and p90, p95 and p99 are values that never came.
    """
    rows = [answered(number, number + 0.5) for number in range(100)]
    for number in range(100, 300):
        due_s = 100.0 + (number - 100) / 2
        if number % 2:
            row = request(number, due_s, None, None, "timeout", "no first token", ended_s=due_s + TIMEOUT_S)
        else:
            row = answered(number, due_s)
        rows.append(row)
    made = analyzed(rows)
    ttft = made.whole.ttft
    assert (ttft.due, ttft.never, ttft.count, ttft.covers) == (300, 100, 200, "answered")
    assert (ttft.lower.p50, ttft.upper.p50) == pytest.approx((TTFT_S, TTFT_S))
    for name in ("p90", "p95", "p99"):
        assert (getattr(ttft.lower, name), getattr(ttft.upper, name)) == (math.inf, math.inf)
    peak = made.stages[1].ttft
    assert (peak.due, peak.never, peak.upper.p50) == (200, 100, pytest.approx(TTFT_S))  # the 100th of 200
    finding = by_code(made.findings, "slo.ttft.p95")
    assert (finding.passed, finding.measured) == (False, None)
    assert made.verdict == "fail"
    assert "TTFT p95 has no value" in markdown.render(made)


@pytest.mark.parametrize(
    ("waiting", "passed", "verdict"), [(9, True, "pass"), (15, False, "invalid"), (40, False, "fail")]
)
def test_a_stop_leaves_bounds(waiting, passed, verdict):
    """200 requests, of which the last ones waited when the operator stopped the run at 200 s.

    9 open ones of 200 leave p95, the 190th, known. 15 young ones (0.5 s) make it anything from 0.5 s up: under and over
    the limit of 1 s. 40 that waited for up to 20 s are over the limit whatever came.
    """
    step_s = 0.5 if waiting == 40 else 0.02
    rows = [answered(number, 0.9 * number) for number in range(200 - waiting)]
    for place in range(waiting):
        due_s = LENGTH_S - 0.5 - step_s * place
        rows.append(request(200 - 1 - place, due_s, None, None, "cut_off", Cause.RUN_STOPPED, ended_s=LENGTH_S))
    made = analyzed(rows, state="stopped")
    ttft = made.whole.ttft
    ages = sorted([TTFT_S] * (200 - waiting) + [0.5 + step_s * place for place in range(waiting)])
    assert (ttft.unknown, ttft.never) == (waiting, 0)
    assert ttft.lower.p95 == pytest.approx(ages[189])
    assert ttft.upper.p95 == (pytest.approx(TTFT_S) if waiting == 9 else math.inf)
    assert (by_code(made.findings, "slo.ttft.p95").passed, made.verdict) == (passed, verdict)


@pytest.mark.parametrize(("count", "is_max"), [(51, True), (99, True), (100, False)])
def test_a_percentile_of_few_values_is_their_maximum(count, is_max):
    """1 / (1 − 0.99) = 100: of fewer values the 99th percentile is the slowest, and says so."""
    made = analyzed([request(number, 1.0 * number, 0.1 + number / 1000, 1.0) for number in range(count)])
    assert made.whole.ttft.p99_is_max == is_max
    assert made.whole.ttft.p99 == pytest.approx(0.1 + (98 if count == 100 else count - 1) / 1000)
    assert not made.whole.ttft.p95_is_max


def test_rows_that_are_there_twice_count_once():
    """Parts given twice do not count as more load, and every surplus row is an error."""
    rows = [answered(number, 1.0 * number) for number in range(200)]
    once, twice = analyzed(rows), analyzed([*rows, *rows])
    assert twice.whole.scheduled == once.whole.scheduled == 200
    assert twice.whole.offered_per_s == pytest.approx(1.0)
    assert twice.verdict == "invalid"
    assert by_code(twice.findings, "validity.damaged_rows").measured == 200


def test_two_models_in_one_run_are_not_mixed():
    """Counters of two models in turn fall at every second sample, so none of them is used."""
    own = series("raw_compute_us", "a", {float(t): 1e6 * t for t in range(200)})
    other = series("raw_compute_us", "a", {t + 0.5: 1e3 * t for t in range(200)})
    finding = by_code(
        analyzed([answered(number, 1.0 * number) for number in range(200)], samples=[*own, *other]).findings,
        "validity.damaged_rows",
    )
    assert finding.measured == 400
    assert "as those of two sources do" in finding.advice
