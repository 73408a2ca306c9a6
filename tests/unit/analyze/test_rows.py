"""Rows that cannot be true are left out; rows that only look odd stay."""

import math

import pytest

from loadgen.analyze.measure import measure
from loadgen.analyze.observed import Observed
from support.runs.tables import ZERO_S, event, info, life, observed, request, series


def faults(run: Observed) -> list[tuple[str, str, int]]:
    return [(each.table, each.fault, each.count) for each in measure(run).damage]


def test_sound_rows_have_no_faults() -> None:
    """Null where the columns may be null, undefined ratios, repeated samples, other machines' times, unknown names."""
    run = observed(
        requests=[
            request(0, 1.0),
            request(1, 2.0, None, None, "not_sent", "no free user", lag_s=None),
            request(2, 3.0, None, None, "ok", "not recordable"),
            request(3, 3.5) | {"first_token_s": None},
        ],
        tokens={0: [1.5, 1.5, 2.0], 9: [4.0]},
        samples=series("ratio", "a", {1.0: math.nan, 2.0: 0.5})
        + series("ratio", "a", {2.0: 0.5})
        + series("later_signal", None, {1.0: -5.0}),
        events=[
            *life("a", -10.0, -5.0),
            event(1.0, "later_kind"),
            *[event(2.0, "pod_event", "a", type="Normal", count=1)] * 2,
            event(3.0, "hpa_sync", metric_milli=None),
        ],
    )
    assert faults(run) == []
    assert len(run.requests) == 4


def test_times_outside_the_run_are_left_out() -> None:
    """The load of 60 s starts at 0, and answers may take 30 s: 390 s are the last time, -300 s the first."""
    run = observed(
        info(settings={"request_timeout_s": 30.0}),
        requests=[request(0, 1.0, e2e_s=389.0), request(1, 1.0, e2e_s=389.1), request(2, -300.1), request(3, -300.0)],
    )
    assert faults(run) == [
        ("requests", "an impossible scheduled_s", 1),
        ("requests", "an impossible last_token_s", 1),
    ]
    assert sorted(run.requests.ids.tolist()) == [0, 3]


def test_a_run_without_a_plan_is_bounded_by_the_longest_run() -> None:
    """Neither stages nor an end: any time within 30 days can be true."""
    day = 86_400.0
    run = observed(info(stages=(), length_s=None, state="loading"), requests=[request(0, day), request(1, 31 * day)])
    assert run.requests.ids.tolist() == [0]


def test_a_request_beyond_the_last_arrival() -> None:
    """A finished run has a row for each planned arrival and no other; a run that was stopped may have later ones."""
    requests = [request(0, 1.0), request(1, 2.0), request(2, 3.0)]
    assert len(observed(info(expected_rows=2), requests=requests).requests) == 2
    assert len(observed(info(expected_rows=2, state="stopped"), requests=requests).requests) == 3


def test_the_first_of_repeated_requests_counts() -> None:
    """Of requests and of tokens; of a row that is damaged, the next one."""
    run = observed(
        requests=[request(0, 1.0), request(0, 2.0), request(1, math.inf), request(1, 4.0)],
        tokens={0: [1.5]},
    )
    assert run.requests.scheduled_s.tolist() == [1.0, 4.0]
    assert faults(run) == [
        ("requests", "an impossible scheduled_s", 1),
        ("requests", "the request_id of an earlier row", 1),
    ]


def test_counters_of_two_sources_in_turn() -> None:
    """Every second step is a fall; a server that restarts every fourth sample is one source."""
    mixed = {float(n): 100.0 + n if n % 2 else n / 2 for n in range(40)}
    restarts = {float(n): n % 4 * 10.0 for n in range(40)}
    run = observed(samples=series("raw_success", "a", mixed) + series("raw_success", "b", restarts))
    assert list(run.signals["raw_success"]) == ["b"]
    assert [count for *_, count in faults(run)] == [40]


def test_a_sample_without_its_replica() -> None:
    """One of 200 of a signal of replicas; a signal of the whole fleet has none at all."""
    pods = series("ratio", "a", {float(n): 0.5 for n in range(200)})
    run = observed(samples=pods + series("ratio", None, {7.0: 9.0}) + series("up", None, {1.0: 1.0}))
    assert list(run.signals["ratio"]) == ["a"]
    assert list(run.signals["up"]) == [""]


def test_data_at_fault_costs_the_field_alone() -> None:
    """The event and its other fields stay."""
    rows = [
        event(1.0, "hpa_rescale", before=1, after=-2),
        event(2.0, "collect_gap", source="prometheus", from_s=ZERO_S + 9.0, to_s=ZERO_S + 2.0),
        event(3.0, "node_lost", node="n", pods=[1]),
    ]
    run = observed(events=rows)
    assert [dict(each.data) for each in run.events] == [{"before": 1}, {"source": "prometheus"}, {"node": "n"}]
    assert faults(run) == [
        ("events", "an impossible after in its data", 1),
        ("events", "a to_s before its from_s in its data", 1),
        ("events", "an impossible pods in its data", 1),
    ]


@pytest.mark.parametrize("kind", ["replica_created", "replica_ready", "replica_unschedulable", "replica_stopped"])
def test_an_event_of_a_replica_without_its_name(kind: str) -> None:
    """It does not say which replica it is about."""
    run = observed(events=[event(1.0, kind), event(2.0, kind, "")])
    assert run.events == ()
    assert faults(run) == [("events", "no pod, which such an event has", 2)]
