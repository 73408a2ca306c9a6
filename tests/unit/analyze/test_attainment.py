"""Attainment per window: which requests attain, how windows are joined, and when they are in violation."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.attainment import attainment, request_limits, target_ratio
from loadgen.analyze.measure import measure
from loadgen.dataset.names import Cause
from loadgen.dataset.run_info import Limit
from support.runs.tables import info, observed, request

TTFT = [("ttft", "p95", 2.0)]


def attained(requests, limits=TTFT, tokens=None, **changes):
    run = observed(info(limits=limits, **changes), requests=requests, tokens=tokens)
    return attainment(run, measure(run))


def stopped(number, due_s, ttft_s=None):
    """A request in flight at a stop at 60 s."""
    return request(number, due_s, ttft_s, None, "cut_off", "run stopped", ended_s=60.0)


def test_an_outage_is_in_violation_although_the_percentile_of_the_run_is_met():
    """One request a second for an hour; those of 90 s have a TTFT of 30 s: 2.5 % of all, and all of three windows."""
    rows = [request(n, n + 0.5, 30.0 if 900 <= n < 990 else 0.1, 31.0) for n in range(3600)]
    found = attained(rows, length_s=3600.0, stages=(("all", 0.0, 3600.0),))
    assert (len(found.windows), found.window_s, found.target_ratio) == (120, 30.0, 0.95)
    assert [(each.start_s, each.end_s) for each in found.windows if each.in_violation] == [
        (900.0, 930.0),
        (930.0, 960.0),
        (960.0, 990.0),
    ]
    assert (found.in_violation_lower_s, found.in_violation_upper_s) == (90.0, 90.0)
    window = found.windows[found.worst_window]
    assert (window.requests, window.attained, window.attainment_upper) == (30, 0, 0.0)
    assert (window.burn_upper, window.goodput_upper_per_s) == (pytest.approx(20.0), 0.0)  # (1 - 0) / (1 - 0.95)
    worst = found.worst
    assert (worst.start_s, worst.end_s, worst.requests, worst.attained) == (900.0, 990.0, 90, 0)
    assert (worst.metric, worst.statistic, worst.limit_s, worst.measured_s, worst.at_least) == (
        "ttft", "p95", 2.0, 30.0, False,
    )  # fmt: skip
    assert found.whole.attainment_lower == pytest.approx(1 - 90 / 3600)
    assert found.whole.goodput_lower_per_s == pytest.approx(3510 / 3600)


def test_a_window_with_exactly_the_share_is_not_in_violation():
    """19 of 20 are 95 %: on target; 18 of 20 are not."""
    for slow, violated in ((1, False), (2, True)):
        rows = [request(n, n + 0.5, 3.0 if n < slow else 0.5, 4.0) for n in range(20)]
        found = attained(rows, length_s=20.0, stages=(("all", 0.0, 20.0),))
        assert [each.in_violation for each in found.windows] == [violated]


def test_windows_with_few_requests_are_joined_with_the_next():
    """15, 10, 25, 19 requests: the first two are one window, the third is one, and the last is joined with it."""
    counts = [15, 10, 25, 19]
    rows, number = [], 0
    for window, count in enumerate(counts):
        for position in range(count):
            rows.append(request(number, 30 * window + 30 * position / count))
            number += 1
    found = attained(rows, length_s=120.0, stages=(("all", 0.0, 120.0),))
    assert [(each.start_s, each.end_s, each.requests) for each in found.windows] == [(0, 60, 25), (60, 120, 44)]


def test_a_run_of_few_requests_is_one_window():
    """Five requests."""
    found = attained([request(n, 10.0 * n) for n in range(5)])
    assert [(each.start_s, each.end_s, each.requests) for each in found.windows] == [(0.0, 60.0, 5)]


def test_the_length_of_the_windows_can_be_set():
    """60 s of one request a second in windows of 20 s; a length that is no number is not used."""
    rows = [request(n, float(n)) for n in range(60)]
    assert len(attained(rows, settings={"slo": {"window_s": 20.0}}).windows) == 3
    for wrong in (0, -1.0, "x", None, math.inf):
        assert attained(rows, settings={"slo": {"window_s": wrong}}).window_s == 30.0


def test_a_long_run_has_a_bounded_number_of_windows():
    """Thirty days in windows of one second."""
    rows = [request(n, 25_920.0 * n) for n in range(100)]
    length = 30 * 86_400.0
    found = attained(
        rows, length_s=length, stages=(("all", 0.0, length),), zero_s=0.0, settings={"slo": {"window_s": 1.0}}
    )
    assert len(found.windows) <= 2000


def test_a_request_must_meet_the_limit_of_the_highest_percentile_of_every_metric():
    """TTFT 0.9 s meets the limit of p95 and not that of p50; E2E 6 s exceeds the limit on E2E."""
    limits = [("ttft", "p50", 0.5), ("ttft", "p95", 1.0), ("e2e", "p99", 5.0), ("failed", "ratio", 0.01)]
    assert {metric: limit.limit for metric, limit in request_limits(_limits(limits)).items()} == {
        "ttft": 1.0,
        "e2e": 5.0,
    }
    rows = [request(0, 1.0, 0.9, 4.0), request(1, 2.0, 0.9, 6.0), request(2, 3.0, 1.1, 4.0), request(3, 4.0, 0.4, 1.0)]
    assert attained(rows, limits).whole.attained == 2


def _limits(limits):
    return tuple(Limit(metric=metric, statistic=statistic, limit=value) for metric, statistic, value in limits)


@pytest.mark.parametrize(
    ("limits", "target"),
    [
        (TTFT, 0.95),
        ([("ttft", "p50", 1.0), ("ttft", "p99", 5.0)], 0.99),
        ([("ttft", "p50", 1.0), ("e2e", "p99", 5.0)], 0.5),  # half of the requests may exceed the limit on TTFT
        ([("failed", "ratio", 0.01)], 0.99),
        ([("failed", "ratio", 0.0)], 1.0),
        ([], None),
    ],
)
def test_the_target_is_that_of_the_limits(limits, target):
    """The lowest of the highest limited percentiles, or else what the limit on failed requests leaves."""
    assert target_ratio(_limits(limits)) == target


def test_without_a_limit_on_a_latency_a_request_attains_when_it_is_answered():
    """One of four failed; a target of 100 % leaves nothing to burn."""
    rows = [request(n, n + 1.0) for n in range(3)] + [request(3, 5.0, None, None, "error", "full", ended_s=5.1)]
    found = attained(rows, [("failed", "ratio", 0.0)])
    assert (found.whole.attained, found.limits_s, found.whole.burn_upper) == (3, {}, math.inf)
    assert found.worst.metric is None
    assert attained(rows[:3], [("failed", "ratio", 0.0)]).whole.burn_upper == 0.0


def test_without_limits_there_is_no_attainment():
    """Nothing says which requests attain; and a run that never started, or without requests, has none."""
    assert attained([request(0, 1.0)], []) is None
    assert attained([]) is None
    assert attained([], zero_s=None, length_s=None) is None


def test_a_stream_is_judged_by_the_same_percentile_of_its_own_gaps():
    """40 gaps: two of 2 s are 5 % and meet ITL p95 ≤ 0.1 s, three do not; one gap of 2 s of two is too many."""
    tokens, rows = {}, []
    for number, (gaps, slow) in enumerate([(40, 2), (40, 3), (2, 1), (1, 0)]):
        times = [number + 0.5]
        for gap in range(gaps):
            times.append(times[-1] + (2.0 if gap < slow else 0.01))
        tokens[number] = times
        rows.append(request(number, float(number), 0.5, times[-1] - number, tokens=gaps + 1))
    found = attained(rows, [("itl", "p95", 0.1)], tokens)
    assert found.whole.attained == 2


def test_requests_in_flight_at_a_stop_give_bounds():
    """17 of 20 attained, 2 are in flight and young, 1 is in flight and already over its limit: 85 % to 95 %."""
    rows = [request(n, n + 30.0) for n in range(17)]
    rows += [stopped(17, 59.0), stopped(18, 59.5, 0.25), stopped(19, 57.0)]
    found = attained(rows, state="stopped")
    (window,) = found.windows
    assert (window.attained, window.unknown) == (17, 2)
    assert (window.attainment_lower, window.attainment_upper, window.in_violation) == (0.85, 0.95, None)
    assert (window.burn_lower, window.burn_upper) == (pytest.approx(1.0), pytest.approx(3.0))
    assert (found.in_violation_lower_s, found.in_violation_upper_s, found.worst) == (0.0, 60.0, None)
    certain = attained([*rows, stopped(20, 57.5)], state="stopped")
    assert certain.windows[0].in_violation


def test_requests_of_the_load_generator_are_not_judged():
    """A request without a free port says nothing about the server; one that found no free user waited for it."""
    rows = [
        *(request(n, float(n)) for n in range(4)),
        request(4, 5.0, None, None, "not_sent", "no user", lag_s=None),
        request(5, 6.0, None, None, "error", Cause.NO_PORT, ended_s=6.0),
    ]
    found = attained(rows)
    assert (found.whole.requests, found.whole.attained) == (5, 4)


def test_consecutive_windows_in_violation_are_one_violation_with_the_worst_latency():
    """Two windows of 30 s: E2E exceeds its limit five times, TTFT twice; some requests never had a first token."""
    limits = [("ttft", "p95", 1.0), ("e2e", "p95", 2.0)]
    rows = [request(n, n + 0.5, 2.0 if n >= 30 else 0.5, 10.0 if n >= 30 else 1.0) for n in range(90)]
    worst = attained(rows, limits, length_s=90.0, stages=(("all", 0.0, 90.0),)).worst
    assert (worst.start_s, worst.end_s, worst.metric, worst.measured_s) == (30.0, 90.0, "e2e", 10.0)
    never = [request(n, n + 0.5, None, None, "error", "full", ended_s=n + 0.6) for n in range(90)]
    worst = attained(never, limits, length_s=90.0, stages=(("all", 0.0, 90.0),)).worst
    assert (worst.start_s, worst.end_s, worst.measured_s) == (0.0, 90.0, math.inf)


@given(
    st.lists(st.tuples(st.integers(0, 1200), st.sampled_from([0.5, 3.0, None])), min_size=1, max_size=120),
    st.sampled_from([5.0, 30.0, 45.0]),
)
def test_windows_share_out_the_requests(rows, window_s):
    """Windows follow one another, hold every request once, have at least 20 (or are the only one), and add up."""
    requests = [
        request(n, due / 10, ttft, 4.0, "ok" if ttft else "error", ended_s=due / 10 + 4)
        for n, (due, ttft) in enumerate(rows)
    ]
    found = attained(requests, length_s=124.0, stages=(("all", 0.0, 120.0),), settings={"slo": {"window_s": window_s}})
    windows = found.windows
    assert all(before.end_s == after.start_s for before, after in pairwise(windows))
    assert (windows[0].start_s, windows[-1].end_s) == (0.0, 120.0)
    assert len(windows) == 1 or min(each.requests for each in windows) >= 20
    assert sum(each.requests for each in windows) == len(rows) == found.whole.requests
    last = windows[-1]
    for window in windows:
        inside = [
            ttft for due, ttft in rows if window.start_s <= due / 10 < window.end_s or (window is last and due == 1200)
        ]
        good = sum(ttft == 0.5 for ttft in inside)
        assert (window.requests, window.attained) == (len(inside), good)
        assert window.in_violation == (good * 100 < 95 * len(inside))
    assert sum(each.attained for each in windows) == found.whole.attained
