"""When latency was within the SLO again."""

import pytest

from loadgen.analyze.scaling.recovery import broke_limit, recovered_s, recovery_limit, request_limit
from support.runs.tables import info, observed, request

TTFT = (("ttft", "p95", 1.0),)


def slow_until(end_s, limits=TTFT, **more):
    """Two requests a second for 60 s; TTFT is 3 s for those due before `end_s`, else 0.5 s."""
    rows = [request(n, n / 2, 3.0 if n / 2 < end_s else 0.5, 4.0) for n in range(120)]
    return observed(info(limits=limits, **more), requests=rows)


def test_latency_has_recovered_after_ten_fast_seconds():
    """Requests due before 30 s are slow; looked for from 20 s in steps of 1 s: 30 s."""
    assert recovered_s(slow_until(30.0), 20.0) == 30.0


def test_latency_within_the_limit_has_recovered_at_once():
    """The recovery is the first time of the search."""
    assert recovered_s(slow_until(0.0), 20.25) == 20.25


def test_five_fast_seconds_are_not_a_recovery():
    """Fast for 6 s, slow for 1 s, fast again: 10 s in a row come only after the second burst, at 37 s."""
    rows = [request(n, n / 2, 3.0 if n / 2 < 30 or 36 <= n / 2 < 37 else 0.5, 4.0) for n in range(120)]
    assert recovered_s(observed(info(limits=TTFT), requests=rows), 20.0) == 37.0


def test_a_request_without_a_first_token_is_slower_than_every_limit():
    """One that was refused at 32 s moves the recovery to 33 s."""
    rows = [request(n, n / 2, 3.0 if n / 2 < 30 else 0.5, 4.0) for n in range(120)]
    rows[64] = request(64, 32.0, None, None, "rejected", "full", ended_s=32.0)
    assert recovered_s(observed(info(limits=TTFT), requests=rows), 20.0) == 32.0 + 1.0


def test_a_load_that_ends_too_early_has_no_recovery():
    """The last request is due at 59.5 s, so 10 s from 52 s on were not seen."""
    assert recovered_s(slow_until(52.0), 20.0) is None


def test_ten_seconds_without_a_request_are_not_a_recovery():
    """Requests at 0 … 10 s and at 40 s: there are no measurements in the pause."""
    rows = [request(n, float(n), 3.0) for n in range(10)] + [request(10, 40.0), request(11, 55.0)]
    assert recovered_s(observed(info(limits=TTFT), requests=rows), 12.0) == 31.0  # 31 … 41 s holds the one at 40 s


def test_without_an_slo_on_ttft_that_on_e2e_counts():
    """E2E is 4 s: within 5 s at once, never within 3 s."""
    assert recovered_s(slow_until(30.0, (("e2e", "p95", 5.0),)), 20.0) == 20.0
    assert recovered_s(slow_until(30.0, (("e2e", "p95", 3.0),)), 20.0) is None


def test_without_an_slo_there_is_no_recovery():
    """The recovery is None, independent of the latencies."""
    assert recovered_s(slow_until(0.0, ()), 20.0) is None
    assert recovery_limit(info(limits=(("itl", "p95", 0.1), ("failed", "ratio", 0.01))).limits) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [(("p50", "p95", "p99"), "p95"), (("p50", "p99"), "p99"), (("p50", "p90"), "p90"), (("p50",), "p50")],
)
def test_the_limit_of_single_requests_is_that_of_p95_first(given, expected):
    """Then p99, p90, p50."""
    limits = info(limits=[("ttft", name, 1.0) for name in given]).limits
    found = request_limit(limits, "ttft")
    assert found is not None
    assert found.statistic == expected


def test_whether_any_request_exceeded_the_limit_is_known():
    """Slow until 30 s: from 20 s on it was broken, from 30 s on never; without a limit it is unknown."""
    assert broke_limit(slow_until(30.0), 20.0, 30.0) is True
    assert broke_limit(slow_until(30.0), 30.0, 35.0) is False
    assert broke_limit(slow_until(30.0, ()), 20.0, 30.0) is None
