"""Failed requests by cause and scaling event: what shows each cause, and that nothing is lost or counted twice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loadgen_reports.failures import failure_table

from loadgen.analyze.analysis import analyze
from loadgen.analyze.failures import failures
from loadgen.analyze.observed import Series
from loadgen.analyze.results import Demand
from loadgen.analyze.results.demand import Estimate, NeededSpan
from loadgen.analyze.scaling.events import lag_windows, scaling_events
from loadgen.analyze.scaling.replicas import fleet
from loadgen.dataset.names import Cause, FailureCause
from support.runs.tables import event, info, life, observed, request, rescale, series, tables

EVENTS = [
    *life("a", -20.0, -10.0),
    rescale(10.0, 1, 2),
    *life("b", 10.0, 20.0, 40.0, 43.0),
    rescale(40.0, 2, 1),
]
"""b is created at 10 s, ready at 20 s, and terminates from 40 to 43 s."""


def failed(outcome, cause, ended_s, *, due_s=None, pod=None):
    due = ended_s - 1.0 if due_s is None else due_s
    return request(0, due, None, None, outcome, cause, ended_s=ended_s) | {"pod": pod}


def attributed(*rows, events=EVENTS, samples=(), demand=None):
    numbered = [row | {"request_id": number} for number, row in enumerate(rows)]
    run = observed(info(), requests=numbered, events=events, samples=samples)
    replicas = fleet(run)
    scaling = scaling_events(run, replicas, Series(np.empty(0), np.empty(0)), "it is unknown")
    return failures(run, replicas, scaling, lag_windows(run, scaling), demand or Demand())


def cause_of(row, **more):
    found = attributed(row, **more)
    (cause,) = [name for name, count in found.causes.items() if count]
    return cause


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        (failed("not_sent", Cause.NO_FREE_USER, 30.0), "client"),
        (failed("error", Cause.NO_PORT, 30.0), "client"),
        (failed("cut_off", "UNAVAILABLE: Socket closed", 41.0), "scale_down"),
        (failed("error", "UNAVAILABLE: Connection reset by peer", 43.9), "scale_down"),
        (failed("error", "UNAVAILABLE: Connection reset by peer", 44.1), "not_attributed"),
        (failed("cut_off", "UNAVAILABLE: Socket closed", 41.0, pod="b"), "scale_down"),
        (failed("cut_off", "UNAVAILABLE: Socket closed", 41.0, pod="a"), "not_attributed"),
        (failed("error", Cause.EMPTY_ANSWER, 41.0), "not_attributed"),
        (failed("error", "500: out of memory", 15.0, pod="b"), "not_ready"),
        (failed("error", "500: out of memory", 25.0, pod="b"), "not_attributed"),
        (failed("rejected", "503: model llm is not ready", 15.0), "not_ready"),
        (failed("rejected", "UNAVAILABLE: Request for unknown model: 'llm'", 20.5), "not_ready"),
        (failed("rejected", "UNAVAILABLE: Request for unknown model: 'llm'", 30.0), "not_attributed"),
        (failed("rejected", "UNAVAILABLE: Exceeds maximum queue size", 30.0), "overload"),
        (failed("rejected", "503: Exceeds maximum queue size", 41.0), "overload"),
        (failed("rejected", "429: slow down", 30.0), "overload"),
        (failed("timeout", Cause.TIMEOUT, 30.0), "not_attributed"),
        (failed("rejected", "503: no available server", 30.0), "gateway"),
        (failed("error", "502: Bad Gateway", 30.0), "gateway"),
        (failed("rejected", "UNAVAILABLE: no healthy upstream", 30.0), "gateway"),
        (failed("error", "UNAVAILABLE: failed to connect to all addresses", 30.0), "not_attributed"),
    ],
)
def test_what_shows_a_cause(row, cause):
    """The outcome, the message, the named replica, and what the fleet did at that time."""
    assert cause_of(row) == cause


def test_a_time_out_is_overload_where_requests_waited():
    """Samples of a queue within the life of the request show it, others do not; of a named replica only its own."""
    row = failed("timeout", Cause.TIMEOUT, 30.0, due_s=5.0)
    assert cause_of(row, samples=series("raw_pending", "a", {8.0: 3.0})) == "overload"
    assert cause_of(row, samples=series("engine_waiting", "a", {8.0: 1.0})) == "overload"
    assert cause_of(row, samples=series("raw_pending", "a", {4.0: 3.0, 31.0: 2.0})) == "not_attributed"
    samples = [*series("raw_pending", "a", {8.0: 0.0}), *series("raw_pending", "b", {8.0: 3.0})]
    assert cause_of(row | {"pod": "a"}, samples=samples) == "not_attributed"


def test_a_time_out_is_overload_while_more_replicas_were_needed_than_served():
    """Two replicas were needed from 12 to 18 s, and one served until 20 s."""
    span = NeededSpan(
        replicas=2, start=Estimate(value=12.0, low=12.0, high=12.0), end=Estimate(value=18.0, low=18.0, high=18.0)
    )
    needs = Demand(needed=(span,))
    assert cause_of(failed("timeout", Cause.TIMEOUT, 30.0, due_s=5.0), demand=needs) == "overload"
    assert cause_of(failed("timeout", Cause.TIMEOUT, 50.0, due_s=25.0), demand=needs) == "not_attributed"


def test_a_crash_is_no_scale_down():
    """A replica that crashed cut off what it served; at other times a broken stream has no cause."""
    events = [*EVENTS, event(30.0, "replica_crashed", "a")]
    assert cause_of(failed("cut_off", "UNAVAILABLE: Socket closed", 30.2), events=events) == "replica_lost"
    assert cause_of(failed("cut_off", "UNAVAILABLE: Socket closed", 30.2, pod="b"), events=events) == "not_attributed"
    assert cause_of(failed("cut_off", "UNAVAILABLE: Socket closed", 33.0), events=events) == "not_attributed"


def test_requests_are_counted_in_the_window_of_their_event():
    """The scale-up lasts from 10 to 20 s, the scale-down from 40 to 44 s, and the rest is outside."""
    found = attributed(
        failed("rejected", "503: no available server", 15.0),
        failed("rejected", "503: no available server", 30.0),
        failed("cut_off", "UNAVAILABLE: Socket closed", 41.0),
    )
    assert [(each.event, each.failed) for each in found.windows] == [(0, 1), (1, 1), (None, 1)]
    assert (found.windows[0].start_s, found.windows[1].end_s) == (10.0, 44.0)
    assert found.windows[1].causes["scale_down"] == 1


CAUSES = [
    Cause.TIMEOUT, Cause.EMPTY_ANSWER, Cause.NO_FREE_USER, Cause.USER_STOPPED, "UNAVAILABLE: Socket closed",
    "503: no available server", "UNAVAILABLE: Exceeds maximum queue size", "503: model llm is not ready", None,
]  # fmt: skip
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["ok", "rejected", "timeout", "error", "cut_off", "not_sent"]),
        st.sampled_from(CAUSES),
        st.floats(0.0, 55.0),
        st.sampled_from([None, "a", "b", "gone"]),
    ),
    max_size=20,
)


@settings(deadline=None)
@given(ROWS)
def test_the_causes_add_up_to_the_failed_requests(rows):
    """Every failed request has exactly one cause and one window, whatever happened to it."""
    made = [
        request(0, at, outcome=outcome) | {"pod": pod}
        if outcome == "ok"
        else failed(outcome, cause, at + 1.0, due_s=at, pod=pod)
        for outcome, cause, at, pod in rows
    ]
    found = attributed(*made)
    expected = sum(outcome != "ok" for outcome, *_ in rows)
    assert found.failed == sum(found.causes.values()) == sum(each.failed for each in found.windows) == expected
    assert all(sum(each.causes.values()) == each.failed for each in found.windows)
    assert set(found.causes) == {cause.value for cause in FailureCause}
    for cause, count in found.causes.items():
        assert sum(each.causes[cause] for each in found.windows) == count


def test_requests_that_a_stop_ended_did_not_fail():
    """One was in flight when the run was stopped, one was not sent because of it."""
    found = attributed(failed("cut_off", Cause.RUN_STOPPED, 30.0), failed("not_sent", Cause.RUN_STOPPED, 30.0))
    assert (found.failed, found.windows) == (0, ())


def test_the_table_has_the_causes_that_occur():
    """A column for each cause that occurs, a row for each window, and one for all."""
    rows = [
        failed("rejected", "503: no available server", 15.0) | {"request_id": 0},
        failed("cut_off", "UNAVAILABLE: Socket closed", 41.0, pod="b") | {"request_id": 1},
    ]
    made = analyze(info(), tables(requests=rows, events=EVENTS))
    table = failure_table(made)
    assert [column.label for column in table.columns] == ["Scaling event", "Window", "Failed", "Scale-down", "Gateway"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["1: 1 → 2", "0:10–0:20", "1", "0", "1"],
        ["2: 2 → 1", "0:40–0:44", "1", "1", "0"],
        ["all", "", "2", "1", "1"],
    ]
    assert table.notes[0] == "1 of 2 name the replica that they reached."
    assert failure_table(analyze(info(), tables(requests=[request(0, 0.0)]))).rows == ()
