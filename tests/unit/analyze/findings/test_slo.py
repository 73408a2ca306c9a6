"""The limits of the scenario against the measured values."""

import pytest

from loadgen.analyze.findings.slo import slo
from loadgen.analyze.measure import measure
from loadgen.analyze.results import Span
from support.runs.tables import by_code, info, observed, request


def judge(limits, requests, tokens=None, windows=()):
    run = observed(info(limits=limits), requests=requests, tokens=tokens)
    return slo(run, measure(run), windows)


def test_a_limit_that_is_met_leaves_a_finding_that_passed():
    """p95 of 0.5 s within 1 s: JUnit shows it as a test case."""
    (found,) = judge([("ttft", "p95", 1.0)], [request(n, float(n)) for n in range(20)])
    assert (found.code, found.title, found.severity) == ("slo.ttft.p95", "TTFT p95", "fail")
    assert (found.passed, found.measured, found.limit, found.unit) == (True, 0.5, 1.0, "s")
    assert found.advice


def test_a_limit_is_still_met_when_it_is_measured_exactly():
    """0.5 s is not more than 0.5 s."""
    assert judge([("ttft", "p95", 0.5)], [request(0, 1.0)])[0].passed


def test_a_missed_limit_reports_the_slow_requests_and_their_relation_to_scale_ups():
    """3 of 20 took 3 s; 2 of them were due during a scale-up: two thirds, 67 %."""
    requests = [request(n, float(n), 3.0 if n in (4, 5, 15) else 0.5, 4.0) for n in range(20)]
    (found,) = judge([("ttft", "p95", 2.0)], requests, windows=[Span(name="1 → 2", start_s=3.0, end_s=6.0)])
    assert (found.passed, found.measured) == (False, 3.0)
    summary = "3 of 20 requests were slower than 2 s (15 %, 5 % allowed), 67 % of them due during a scale-up"
    assert summary in found.advice


def test_a_met_limit_reports_the_slow_requests():
    """8 of 20 are slower than the median's limit, 40 %, and half of them may be; none is slower than 4 s."""
    requests = [request(n, float(n), 3.0 if n < 8 else 0.5, 4.0) for n in range(20)]
    half, every = judge([("ttft", "p50", 2.0), ("ttft", "max", 4.0)], requests)
    assert half.advice == "8 of 20 requests were slower than 2 s (40 %, 50 % allowed)."
    assert every.advice == "All 20 requests were within 4 s."


def test_unanswered_requests_are_slower_than_every_limit():
    """2 of 20 never received a token: p95 cannot be measured, and the finding has the reason; p90 can."""
    requests = [request(n, float(n)) for n in range(18)]
    requests += [request(18 + n, 18.0 + n, None, None, "rejected", "full", ended_s=20.0) for n in range(2)]
    findings = judge([("ttft", "p95", 9.0), ("ttft", "p90", 9.0), ("e2e", "p95", 9.0)], requests)
    assert (findings[0].passed, findings[0].measured, findings[0].severity) == (False, None, "fail")
    assert "More than 5 % of the requests (2 of 20) never received a first token" in findings[0].advice
    assert (findings[1].passed, findings[1].measured) == (True, 0.5)
    assert (findings[2].passed, findings[2].measured) == (False, None)


def test_a_stream_that_was_cut_keeps_its_ttft_but_never_ended():
    """Its first token came in 0.5 s: TTFT holds, E2E does not."""
    cut = [request(0, 1.0, 0.5, 1.0, "cut_off", "broken")]
    ttft, e2e = judge([("ttft", "max", 1.0), ("e2e", "max", 9.0)], cut)
    assert (ttft.passed, ttft.measured) == (True, 0.5)
    assert (e2e.passed, e2e.measured) == (False, None)


def test_the_share_of_failures_is_over_all_that_were_due():
    """1 of 4, a request that was never sent: 25 % against 10 %."""
    requests = [
        *(request(n, float(n)) for n in range(3)),
        request(3, 3.0, None, None, "not_sent", "no user", lag_s=None),
    ]
    (found,) = judge([("failed", "ratio", 0.1)], requests)
    assert (found.code, found.unit, found.measured, found.passed) == ("slo.failed.ratio", "ratio", 0.25, False)
    assert "1 of 4 requests" in found.advice


def hang(answered, still_open, age_s):
    """Requests answered within 0.5 s, then requests without a token that a stop at 60 s cuts off at this age."""
    last = [
        request(answered + n, 60.0 - age_s, None, None, "cut_off", "run stopped", ended_s=60.0)
        for n in range(still_open)
    ]
    return [request(n, n / 10) for n in range(answered)] + last


def test_requests_that_a_stop_ended_count_as_neither_failed_nor_answered():
    """Two answered, one cut off and one unsent by the stop: none of two failed, and the finding counts the third."""
    requests = [*hang(2, 1, 0.5), request(3, 59.9, None, None, "not_sent", "run stopped", lag_s=None)]
    (failed,) = judge([("failed", "ratio", 0.0)], requests)
    assert (failed.passed, failed.measured) == (True, 0.0)
    assert failed.advice.startswith("0 of 2 requests failed; 1 more were in flight")


def test_requests_open_for_longer_than_their_time_out_failed():
    """Of 2 answered and 2 open for 20 s, half failed with a time-out of 10 s."""
    run = observed(
        info(limits=[("failed", "ratio", 0.1)], settings={"request_timeout_s": 10.0}), requests=hang(2, 2, 20)
    )
    (failed,) = slo(run, measure(run), ())
    assert (failed.passed, failed.measured) == (False, 0.5)


def test_a_server_that_hangs_until_the_stop_misses_the_limit():
    """150 answered, then 259 without a token for 26 s: p95 of TTFT is at least 26 s, and p30 would be met."""
    ttft, e2e = judge([("ttft", "p95", 1.0), ("e2e", "p95", 2.0)], hang(150, 259, 26.0))
    assert (ttft.passed, ttft.severity, ttft.measured) == (False, "fail", 26.0)
    assert "259 of 409 requests were slower than 1 s" in ttft.advice
    assert "259 of them still open" in ttft.advice
    assert (e2e.passed, e2e.severity, e2e.measured) == (False, "fail", 26.0)


def test_open_requests_that_cannot_turn_the_result_leave_it_passed():
    """4 of 100 are open and younger than the limit: p95 is met whatever becomes of them, as with 5, but not with 6."""
    for still_open in (4, 5):
        (found,) = judge([("ttft", "p95", 1.0)], hang(100 - still_open, still_open, 0.9))
        assert (found.passed, found.measured, found.unknown) == (True, 0.5, 0)
    (found,) = judge([("ttft", "p95", 1.0)], hang(94, 6, 0.9))
    assert (found.passed, found.severity, found.measured, found.unknown) == (False, "invalid", None, 6)
    assert found.advice.startswith("6 of 100 requests were open when the run was stopped")


def test_the_known_ttft_of_an_open_request_counts():
    """All 6 open requests had their first token within 0.5 s: only their E2E is unknown."""
    requests = [request(n, float(n)) for n in range(14)]
    requests += [request(14 + n, 59.0, 0.5, None, "cut_off", "run stopped", ended_s=60.0) for n in range(6)]
    ttft, e2e = judge([("ttft", "max", 1.0), ("e2e", "p95", 2.0)], requests)
    assert (ttft.passed, ttft.measured, ttft.unknown) == (True, 0.5, 0)
    assert (e2e.passed, e2e.severity, e2e.unknown) == (False, "invalid", 6)


def test_a_stream_that_stalls_until_the_stop_misses_tpot_and_itl():
    """Both streams stall for 30 s after two tokens 0.1 s apart: the gap is 30 s, and 15 gaps take at least 2 s each."""
    requests = [request(n, 29.4, 0.5, None, "cut_off", "run stopped", ended_s=60.0, tokens=2) for n in range(2)]
    tokens = {n: [29.9, 30.0] for n in range(2)}
    itl, tpot = judge([("itl", "p95", 0.2), ("tpot", "p95", 0.2)], requests, tokens)
    assert (itl.severity, itl.measured) == ("fail", 30.0)
    assert (tpot.severity, tpot.measured) == ("fail", pytest.approx(30.1 / 15))


def test_itl_is_judged_over_gaps_and_tpot_over_requests():
    """Gaps 0.1 (×19) and 2.0: p95 of the gaps is 0.1; the request with the 2.0 has a TPOT of 2.0."""
    tokens = {0: [1.5 + n / 10 for n in range(20)], 1: [1.5, 3.5]}
    requests = [request(0, 1.0, 0.5, 2.4, tokens=20), request(1, 1.0, 0.5, 2.5, tokens=2)]
    itl, tpot = judge([("itl", "p95", 0.2), ("tpot", "max", 0.2)], requests, tokens)
    assert itl.measured == pytest.approx(0.1)
    assert itl.passed
    assert "token gaps" in itl.advice
    assert (tpot.measured, tpot.passed) == (2.0, False)


def test_a_limit_without_values_makes_the_run_invalid():
    """Without token times ITL and TPOT cannot be judged, and without requests no limit can."""
    for found in judge([("itl", "p95", 0.2), ("tpot", "p95", 0.2)], [request(0, 1.0)]):
        assert (found.passed, found.measured, found.severity) == (False, None, "invalid")
    for found in judge([("ttft", "p95", 1.0), ("failed", "ratio", 0.1)], []):
        assert (found.passed, found.measured, found.severity) == (False, None, "invalid")


def test_a_failed_request_counts_against_tpot_too():
    """1 of 2 never ended: the slower half of TPOT is infinite, p50 is that of the other."""
    requests = [request(0, 1.0, 0.5, 1.0, tokens=2), request(1, 1.0, None, None, "timeout", "late", ended_s=9.0)]
    findings = judge([("tpot", "p50", 1.0), ("tpot", "p95", 1.0)], requests, {0: [1.5, 2.0]})
    assert by_code(findings, "slo.tpot.p50").measured == 0.5
    assert by_code(findings, "slo.tpot.p95").measured is None
