"""The model of a replica and the need of a run, from hand-made runs."""

import numpy as np
import pytest

from loadgen.analyze.demand.need import need, planned
from loadgen.analyze.demand.replica import ReplicaModel, fit
from loadgen.analyze.demand.result import until_backlog_gone
from loadgen.analyze.demand.served import serving_spans, supply
from loadgen.analyze.results import Span
from loadgen.analyze.scaling.replicas import fleet
from loadgen.scenario.rates import Constant, Step
from support.runs.needs import needed
from support.runs.tables import info, life, observed, request, series

EVEN = [request(n, n / 2) for n in range(120)]
"""2/s for 60 s."""


def with_load(load, **changes):
    return observed(info(settings={"load": load}, **changes), requests=EVEN)


def test_the_plan_is_used_where_the_arrivals_follow_it():
    """2/s for 60 s, of which 120 requests are expected and 120 came; its edges are those of the plan."""
    plan = planned(with_load(Constant(per_s=2.0, duration_s=60.0).model_dump(mode="json")))
    assert plan is not None
    assert plan.edges_s.tolist() == [0.0, 60.0]
    assert plan.highest() == 2.0


@pytest.mark.parametrize(
    "load",
    [
        None,
        "a trace",
        {"kind": "no such rate"},
        {
            "kind": "scaled",
            "factor": 1.0,
            "rate": {"kind": "wave", "trough_per_s": 1, "peak_per_s": 3, "period_s": 1e-9, "cycles": 10**11},
        },
        Constant(per_s=1.0, duration_s=60.0).model_dump(mode="json"),
        Constant(per_s=4.0, duration_s=60.0).model_dump(mode="json"),
    ],
)
def test_a_load_without_a_plan_or_off_its_plan_is_estimated(load):
    """No rate, no known rate, or 60 or 240 requests expected where 120 came: more than five standard deviations."""
    run = with_load(load)
    assert planned(run) is None
    found = needed(run, 4.0)
    assert not isinstance(found, str)
    assert found.source == "arrivals"


def test_a_stopped_run_followed_its_plan_until_then():
    """The load was to last for 120 s and was stopped at 60 s, before its second level."""
    load = Step(levels_per_s=(2.0, 2.0, 9.0), hold_s=40.0).model_dump(mode="json")
    plan = planned(with_load(load))
    assert plan is not None
    assert plan.edges_s.tolist() == [0.0, 40.0, 60.0]
    assert plan.highest() == 2.0


def test_without_requests_nothing_is_needed_for_a_reason():
    """The need is missing, and so is what follows from it."""
    assert needed(observed(), 2.0) == "no request was due"


def waiting(count=120, slots=2, service_s=1.5, gap_s=0.5):
    """Requests on one replica of two slots that get behind: 2/s come, 1.33/s are served."""
    free = [0.0] * slots
    rows = []
    for n in range(count):
        free.sort()
        start = max(n * gap_s, free[0])
        free[0] = start + service_s
        rows.append(request(n, n * gap_s, start - n * gap_s + 0.25, start - n * gap_s + service_s))
    return rows


def test_a_backlog_tells_slots_and_capacity():
    """Two slots of 1.5 s: 1.333/s, although a queue is there almost throughout: its first request has the prefill."""
    run = observed(info(length_s=120.0), requests=waiting(), events=life("a", -9, -5))
    model = fit(run, fleet(run))
    assert isinstance(model, ReplicaModel)
    assert model.rates.slots == 2
    assert model.full_batch
    assert model.rates.capacity.value == pytest.approx(2 / 1.5)


def test_reported_services_need_no_model():
    """The engine reports 1.5 s for each request: exactly 2 / 1.5 s."""
    run = observed(info(length_s=120.0), requests=waiting(), events=life("a", -9, -5))
    model = fit(run, fleet(run), np.full(120, 1.5))
    assert isinstance(model, ReplicaModel)
    assert (model.services.method, model.rates.slots) == ("measured", 2)
    assert model.rates.capacity.value == pytest.approx(2 / 1.5)
    assert model.rates.capacity.low == model.rates.capacity.high == pytest.approx(2 / 1.5)
    some = np.where(np.arange(120) < 30, 1.5, np.nan)  # reported for a quarter: the model serves all
    partly = fit(run, fleet(run), some)
    assert isinstance(partly, ReplicaModel)
    assert partly.services.method == "modelled"


def test_what_cannot_be_known_has_a_reason():
    """No replica, no request, too few answers; without waits the slots are a lower bound."""
    assert fit(observed(requests=EVEN), fleet(observed(requests=EVEN))) == "the replicas were not observed"
    few = observed(requests=EVEN[:19], events=life("a", -9, -5))
    assert "fewer than 20 requests" in str(fit(few, fleet(few)))
    nothing = observed(events=life("a", -9, -5))
    assert fit(nothing, fleet(nothing)) == "no request was due"
    idle = observed(requests=EVEN, events=life("a", -9, -5))
    model = fit(idle, fleet(idle))
    assert isinstance(model, ReplicaModel)
    assert (model.slots_known, model.rates.slots) == (False, 2)  # each takes 1 s, and there is one each 0.5 s
    assert isinstance(need(idle, model.rates, "why"), str)  # 2/s are not less than the bound of 2/s


def test_replicas_that_were_ready_before_the_load_serve_since_then():
    """a is ready 5 s before the load and answers at 1 s; b is ready at 20 s and answers at 23 s."""
    answers = series("raw_success", "a", {0.0: 0.0, 1.0: 1.0}) + series("raw_success", "b", {20.0: 0.0, 23.0: 1.0})
    run = observed(requests=EVEN, events=[*life("a", -9, -5), *life("b", 12, 20, 50, 52)], samples=answers)
    replicas = fleet(run)
    assert serving_spans(replicas.pods["a"], replicas) == [(-5.0, np.inf)]
    assert serving_spans(replicas.pods["b"], replicas) == [(23.0, 50.0)]
    assert supply(replicas).at(np.array([-1.0, 22.0, 30.0, 55.0])).tolist() == [1, 1, 2, 1]


def test_without_counters_replicas_serve_while_they_are_ready():
    """No answer was counted at all."""
    run = observed(requests=EVEN, events=[*life("a", -9, -5), *life("b", 12, 20)])
    assert supply(fleet(run)).at(np.array([19.0, 20.0])).tolist() == [1, 2]


def test_a_lag_window_lasts_until_its_backlog_is_gone():
    """Served at 80 s and slow until 95 s; the next window begins at 200 s and has no slow request of its own."""
    windows = [Span(name="a", start_s=50.0, end_s=80.0), Span(name="b", start_s=200.0, end_s=220.0)]
    first, second = until_backlog_gone(windows, np.array([60.0, 95.0]))
    assert (first.start_s, first.end_s) == (50.0, 95.0)
    assert second == windows[1]
