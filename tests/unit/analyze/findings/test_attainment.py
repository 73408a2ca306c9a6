"""Limits on the attainment and on the time in violation."""

import pytest

from loadgen.analyze.attainment import attainment
from loadgen.analyze.findings.attainment import attainment_limits
from loadgen.analyze.measure import measure
from support.runs.tables import info, observed, request

TTFT = ("ttft", "p95", 2.0)


def judge(limit, requests, others=(TTFT,), **changes):
    run = observed(info(limits=[*others, limit], **changes), requests=requests)
    (found,) = attainment_limits(run, attainment(run, measure(run)))
    return found


def rows(slow):
    """60 requests, one a second, of which the first ones have a TTFT of 3 s."""
    return [request(n, n + 0.5, 3.0 if n < slow else 0.5, 4.0) for n in range(60)]


def stopped(number):
    return request(number, 59.5, None, None, "cut_off", "run stopped", ended_s=60.0)


def test_a_limit_on_the_attainment_of_the_run():
    """54 of 60 are 90 %: at a limit of 90 % it is met, at 91 % it is missed."""
    met, missed = (judge(("attainment", "ratio", limit), rows(6)) for limit in (0.90, 0.91))
    assert (met.code, met.title, met.unit) == ("slo.attainment.ratio", "SLO attainment", "ratio")
    assert (met.passed, met.measured, met.limit) == (True, 0.9, 0.9)
    assert (missed.passed, missed.severity, missed.measured) == (False, "fail", 0.9)
    assert missed.advice.startswith("54 of 60 requests met TTFT ≤ 2 s")


def test_a_limit_on_the_time_in_violation():
    """The first of two windows is in violation: 30 s, which a limit of 30 s allows and one of 29 s does not."""
    met, missed = (judge(("in_violation", "total", limit), rows(6)) for limit in (30.0, 29.0))
    assert (met.code, met.title, met.unit) == ("slo.in_violation.total", "Time in violation", "s")
    assert (met.passed, met.measured) == (True, 30.0)
    assert (missed.passed, missed.severity, missed.measured) == (False, "fail", 30.0)
    assert "In 1 of 2 windows of 30 s, fewer than 95 % of the requests met TTFT ≤ 2 s" in missed.advice
    assert "the worst, from 0:00 to 0:30, had 80 %" in missed.advice


@pytest.mark.parametrize(
    ("limit", "passed", "severity", "unknown"),
    [
        (("attainment", "ratio", 0.90), True, "fail", 0),  # 54 of 60 for certain
        (("attainment", "ratio", 0.95), False, "invalid", 6),  # 54 to 60 of 60
        (("in_violation", "total", 0.0), False, "invalid", 6),
        (("in_violation", "total", 30.0), True, "fail", 0),  # at most one window of 30 s
    ],
)
def test_requests_in_flight_at_a_stop_may_leave_a_limit_unknown(limit, passed, severity, unknown):
    """54 of 60 attained, and 6 without a first token are younger than the limit when the run is stopped."""
    found = judge(limit, [*rows(0)[:54], *(stopped(54 + n) for n in range(6))], state="stopped")
    assert (found.passed, found.severity, found.unknown) == (passed, severity, unknown)
    assert (found.measured is None) == (severity == "invalid")


def test_a_limit_without_requests_makes_the_run_invalid():
    """Nothing to judge is not a pass; neither is a limit that no single request can meet."""
    for requests, others in (((), (TTFT,)), ([request(0, 1.0)], ())):
        found = judge(("attainment", "ratio", 0.9), requests, others)
        assert (found.passed, found.severity, found.measured) == (False, "invalid", None)


def test_without_a_limit_on_a_latency_requests_must_be_answered():
    """1 of 20 failed."""
    requests = [request(n, float(n)) for n in range(19)]
    requests.append(request(19, 19.0, None, None, "error", "full", ended_s=19.1))
    found = judge(("attainment", "ratio", 0.99), requests, (("failed", "ratio", 0.01),))
    assert (found.passed, found.measured) == (False, 0.95)
    assert found.advice.startswith("19 of 20 requests were answered")
