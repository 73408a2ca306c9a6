"""The bounds of the latencies of requests that were open when the run was stopped."""

import math

import pytest

from loadgen.analyze.bounds import bounds, unfinished_gaps
from loadgen.analyze.measure import measure
from support.runs.tables import info, observed, request

INF = math.inf


def both(metric, requests, tokens=None, **changes):
    run = observed(info(state="stopped", **changes), requests=requests, tokens=tokens)
    measured = measure(run)
    known = measured.gaps.of(run.requests.due).value.tolist() if metric == "itl" else []
    found = unfinished_gaps(run, measured) if metric == "itl" else bounds(run, measured, metric)
    return sorted([*zip(known, known, strict=True), *zip(found.lower_s.tolist(), found.upper_s.tolist(), strict=True)])


def stopped(number, due_s, ended_s, ttft_s=None, tokens=None):
    """A request that a stop at `ended_s` cut off, `ttft_s` after whose due time the first token had come."""
    return request(number, due_s, ttft_s, None, "cut_off", "run stopped", ended_s=ended_s, tokens=tokens)


def test_ttft_is_known_once_the_first_token_arrived():
    """0.5 s answered, 0.25 s open with a first token, at least 3 s open without one, never for a refused one."""
    requests = [
        request(0, 1.0),
        stopped(1, 8.0, 10.0, ttft_s=0.25),
        stopped(2, 7.0, 10.0),
        request(3, 2.0, None, None, "rejected", "full", ended_s=2.0),
    ]
    assert both("ttft", requests) == [(0.25, 0.25), (0.5, 0.5), (3.0, INF), (INF, INF)]


def test_e2e_of_an_open_request_is_at_least_its_age():
    """1 s answered; 2 s old at the stop, with a first token or without."""
    requests = [request(0, 1.0), stopped(1, 8.0, 10.0, ttft_s=0.25), stopped(2, 8.0, 10.0)]
    assert both("e2e", requests) == [(1.0, 1.0), (2.0, INF), (2.0, INF)]


def test_tpot_of_an_open_request_is_at_least_its_time_since_the_first_token_over_all_its_gaps():
    """Of 16 tokens 15 gaps: 3 s since the first make at least 0.2 s a gap, however many tokens came so far."""
    requests = [
        request(0, 1.0, 0.5, 1.0, tokens=2),
        stopped(1, 6.5, 10.0, ttft_s=0.5, tokens=2),
        stopped(2, 9.0, 10.0),
    ]
    tokens = {0: [1.5, 2.0], 1: [7.0, 7.1]}
    assert both("tpot", requests, tokens) == [(0.0, INF), (pytest.approx(0.2), INF), (0.5, 0.5)]


def test_the_gap_that_is_open_at_the_stop_counts_with_its_length_so_far():
    """Gaps of 0.1 s, then 2.5 s of silence until the stop."""
    requests = [stopped(0, 7.0, 10.0, ttft_s=0.3, tokens=3)]
    assert both("itl", requests, {0: [7.3, 7.4, 7.5]}) == [
        (pytest.approx(0.1), pytest.approx(0.1)),
        (pytest.approx(0.1), pytest.approx(0.1)),
        (2.5, INF),
    ]


def test_a_stream_that_broke_off_has_a_gap_without_end():
    """Two tokens 0.1 s apart, then an error: what had not come never will."""
    requests = [request(0, 7.0, 0.5, 0.6, "cut_off", "broken", tokens=2)]
    assert both("itl", requests, {0: [7.5, 7.6]}) == [(pytest.approx(0.1), pytest.approx(0.1)), (INF, INF)]


def test_a_request_open_for_longer_than_its_time_out_never_ends():
    """Sent at 1 s, stopped at 10 s: lost with a time-out of 5 s, open with one of 30 s."""
    requests = [stopped(0, 1.0, 10.0)]
    assert both("e2e", requests, settings={"request_timeout_s": 5.0}) == [(INF, INF)]
    assert both("e2e", requests, settings={"request_timeout_s": 30.0}) == [(9.0, INF)]


def test_what_was_not_sent_because_of_a_stop_has_no_value():
    """It was never due."""
    requests = [request(0, 1.0), request(1, 9.9, None, None, "not_sent", "run stopped", lag_s=None)]
    assert both("ttft", requests) == [(0.5, 0.5)]
