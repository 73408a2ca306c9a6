"""The figures of the summary."""

import pytest

from loadgen.analyze.headline import headline
from loadgen.analyze.results import ScalingEvent, Span
from loadgen.analyze.scaling.replicas import fleet
from support.runs.tables import info, life, observed, request


def up(trigger, over, decided, ready, serving, before=1):
    return ScalingEvent(
        direction="up",
        before=before,
        after=before + 1,
        reason="",
        trigger_s=trigger,
        over_target_s=over,
        decided_s=decided,
        created_s=decided,
        scheduled_s=decided,
        started_s=decided,
        ready_s=ready,
        serving_s=serving,
        recovered_s=None,
        pods=(),
        complete=True,
    )


def made(run, scaling=(), windows=()):
    return headline(run, fleet(run), scaling, windows)


def test_the_worst_scale_up_is_the_one_with_the_longest_lag_and_its_parts_add_up():
    """Lags 20 and 41 s; the second is 13 + 9 + 15 + 4 s."""
    first = up(5, 8, 10, 20, 25)
    second = up(30, 43, 52, 67, 71)
    found = made(observed(), [first, second])
    assert found.worst_event == 1
    assert found.lag_s == 41
    parts = (found.signal_s, found.decide_s, found.start_s, found.traffic_s)
    assert parts == (13, 9, 15, 4)
    assert sum(part for part in parts if part is not None) == found.lag_s


def test_a_complete_lag_takes_precedence_over_an_incomplete_one():
    """The second took longer, but its load step is unknown."""
    found = made(observed(), [up(5, 8, 10, 20, 25), up(None, 30, 45, 60, 90)])
    assert found.worst_event == 0
    only = made(observed(), [up(None, 30, 45, 60, 90)])
    assert (only.worst_event, only.lag_s, only.signal_s, only.decide_s) == (0, None, None, 15)


def test_without_a_scale_up_there_is_no_lag():
    """None, not 0."""
    found = made(observed())
    assert (found.worst_event, found.lag_s, found.traffic_s) == (None, None, None)


def test_slow_requests_are_those_beyond_the_limit_and_those_never_answered():
    """TTFT 3 s twice and one refused, of 6 known; two of the three were due in the lag window 2 … 4 s."""
    requests = [
        request(0, 1.0),
        request(1, 2.0, 3.0, 4.0),
        request(2, 4.0, None, None, "rejected", "full", ended_s=4.0),
        request(3, 5.0, 3.0, 4.0),
        request(4, 6.0),
        request(5, 7.0, 2.0, 4.0),  # exactly at the limit: not slow
        request(6, 8.0, None, None, "cut_off", "run stopped", ended_s=9.0),
    ]
    run = observed(info(limits=(("ttft", "p95", 2.0), ("ttft", "p50", 0.1))), requests=requests)
    found = made(run, windows=[Span(name="1 → 2", start_s=2.0, end_s=4.0)])
    assert (found.ttft_limit_s, found.slow_requests, found.slow_in_lag, found.judged_requests) == (2.0, 3, 2, 6)
    assert found.unknown_requests == 1


def test_requests_open_at_a_stop_are_slow_once_they_are_older_than_the_limit():
    """Open for 3 s and for 1 s without a token: the first exceeded 2 s, and of the second it is not known."""
    requests = [request(0, 1.0)]
    requests += [
        request(n, 10.0 - age, None, None, "cut_off", "run stopped", ended_s=10.0) for n, age in ((1, 3), (2, 1))
    ]
    found = made(observed(info(limits=(("ttft", "p95", 2.0),)), requests=requests))
    assert (found.slow_requests, found.judged_requests, found.unknown_requests) == (1, 2, 1)


def test_overlapping_lag_windows_count_a_request_once():
    """Two scale-ups at the same time do not make it slow twice."""
    run = observed(info(limits=(("ttft", "p95", 2.0),)), requests=[request(0, 3.0, 5.0, 6.0)])
    windows = [Span(name="a", start_s=2.0, end_s=4.0), Span(name="b", start_s=2.5, end_s=5.0)]
    assert made(run, windows=windows).slow_in_lag == 1


def test_without_a_limit_on_ttft_nothing_is_slow_or_fast():
    """The count is missing."""
    found = made(observed(info(limits=(("e2e", "p95", 2.0),)), requests=[request(0, 3.0, 5.0, 6.0)]))
    assert (found.ttft_limit_s, found.slow_requests, found.slow_in_lag) == (None, None, None)


@pytest.mark.parametrize(("stopped", "last"), [(None, 2), (50.0, 1)])
def test_ready_replicas_are_counted_while_the_load_ran(stopped, last):
    """One from the start, two from 20 s on; the take-down of a at 80 s after the load does not count."""
    events = life("a", -9, -5, 80, 81) + life("b", 10, 20, stopped, stopped)
    found = made(observed(events=sorted(events, key=lambda each: each["t_s"])))
    assert (found.lowest_replicas, found.peak_replicas) == (1, 2)
    assert found.last_replicas == last


def test_the_fewest_count_from_the_first_ready_replica_on():
    """Nothing was ready until 5 s: that is not a scale-down to 0."""
    assert made(observed(events=life("a", 1, 5))).lowest_replicas == 1
