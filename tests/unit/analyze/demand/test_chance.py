"""Intervals of percentiles: what other arrivals at the same rate would have given, and what the reports say of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from loadgen_reports.chance import too_close
from loadgen_reports.demand import summary

from loadgen.analyze.analysis import analyze
from loadgen.analyze.demand import chance, sampled
from loadgen.analyze.demand.capacity import LatencyLimit, Work
from loadgen.analyze.demand.chance import drawn_interval, from_rate, repeats
from loadgen.analyze.demand.replay import fixed
from loadgen.scenario.rates import Constant
from support.runs.queues import ALWAYS, answers, constant, drawn
from support.runs.tables import by_code, info, life, request, tables

LENGTH_S = 200.0


def run(limit_s, *, busy=0.8, arrivals="poisson", stall_s=0.0):
    """The analysis of one replica of 5/s; its last requests take longer to their first token by `stall_s`."""
    due = constant(5 * busy, LENGTH_S, 3)
    seen = answers(due, drawn("exponential", len(due), 1, 0.2), [ALWAYS])
    late = np.where(np.arange(len(due)) > 0.8 * len(due), stall_s, 0.0)
    rows = [
        request(n, float(at), float(first - at), float(last - at))
        for n, (at, first, last) in enumerate(zip(due, seen.first_s + late, seen.last_s + late, strict=True))
    ]
    load = Constant(per_s=5 * busy, duration_s=LENGTH_S).model_dump(mode="json")
    settings = {"load": load, "arrivals": arrivals}
    about = info(
        length_s=LENGTH_S, stages=(("all", 0.0, LENGTH_S),), limits=(("ttft", "p95", limit_s),), settings=settings
    )
    return analyze(about, tables(requests=rows, events=life("a", -20, -10)))


def test_a_limit_inside_the_interval_is_too_close_to_call():
    """The finding keeps its result, and says what other arrivals give and how many runs would decide."""
    (wide,) = run(100.0).demand.percentiles
    assert wide.low_s < by_code(run(100.0).findings, "slo.ttft.p95").measured < wide.high_s
    assert (wide.close, wide.repeats) == (False, None)
    made = run((wide.low_s + wide.high_s) / 2)
    (interval,) = made.demand.percentiles
    assert interval.close
    finding = by_code(made.findings, "slo.ttft.p95")
    assert f"Too close to call: other arrivals at the same rate give a p95 of {interval.low_s:.3g}" in finding.advice
    assert too_close(made) == "; TTFT p95 is too close to call"


def test_a_clear_result_says_nothing_of_chance():
    """Far below the limit, and another limit that was missed clearly."""
    made = run(100.0)
    assert "chance" not in by_code(made.findings, "slo.ttft.p95").advice
    assert too_close(made) == ""
    clear = replace(by_code(made.findings, "slo.ttft.p95"), code="slo.e2e.p95", passed=False)
    close = run((made.demand.percentiles[0].low_s + made.demand.percentiles[0].high_s) / 2)
    assert too_close(replace(close, findings=(*close.findings, clear))) == ""


def test_latency_that_a_replay_does_not_explain_has_no_interval():
    """A fifth of the requests stalled for 5 s without a queue."""
    (each,) = run(1.0, stall_s=5.0).demand.percentiles
    assert (each.low_s, each.high_s, each.close) == (None, None, False)
    assert each.why_missing is not None
    assert each.why_missing.startswith("a replay of the run gives ")


def test_evenly_spaced_arrivals_are_not_drawn_again():
    """Only services vary: the interval is narrower."""
    (even,), (poisson,) = (run(1.0, arrivals=each).demand.percentiles for each in ("even", "poisson"))
    assert even.high_s - even.low_s < poisson.high_s - poisson.low_s


def test_without_a_queue_and_with_equal_services_nothing_varies():
    """Every draw gives the prefill."""
    work = Work(service_s=np.full(10, 0.2), prefill_s=np.full(10, 0.05))
    arrivals = from_rate(lambda t: np.full(len(t), 2.0), 2.0, 50.0)
    limit = LatencyLimit(metric="ttft", share=0.5, limit_s=1.0)
    assert drawn_interval(arrivals, work, fixed(20, 1, "round_robin"), limit, 40) == pytest.approx((0.05, 0.05))


def test_an_interval_leaves_one_draw_of_eighty_on_either_side():
    """Draw k has k requests at once, the last of which waits for k − 1 services: 77 of 81 places are 95 %."""
    work = Work(service_s=np.full(10, 0.2), prefill_s=np.full(10, 0.05))
    counts = iter(np.random.default_rng(1).permutation(80) + 1)
    limit = LatencyLimit(metric="ttft", share=1.0, limit_s=1.0)
    found = drawn_interval(lambda _: np.zeros(next(counts)), work, fixed(1, 1, "round_robin"), limit, 80)
    assert found == pytest.approx((1 * 0.2 + 0.05, 78 * 0.2 + 0.05))


def test_draws_without_a_request_that_counts_have_no_interval():
    """All requests are due in the warm-up."""
    work = Work(service_s=np.full(10, 0.2), prefill_s=np.full(10, 0.05))
    limit = LatencyLimit(metric="ttft", share=0.5, limit_s=1.0)
    found = drawn_interval(lambda _: np.zeros(3), work, fixed(1, 1, "round_robin"), limit, 40, warm_up_s=10.0)
    assert np.isnan(found).all()


@pytest.mark.parametrize(
    ("interval", "value", "limit", "expected"),
    [
        ((0.6, 3.0), 1.2, 2.0, 3),  # (1.2 / 0.8)² = 2.25
        ((1.0, 2.0), 1.1, 1.9, 2),  # 0.4: one run more
        ((1.0, 2.0), 1.5, 1.5, None),
        ((1.0, math.inf), 1.5, 2.0, None),
    ],
)
def test_the_number_of_runs_that_would_decide(interval, value, limit, expected):
    """Half the width over the square root of the number is the distance from the limit."""
    assert repeats(interval, value, limit) == expected


def test_a_sample_of_a_long_run_is_named(monkeypatch):
    """With how many requests are too many to replay set to 500: the result and the page have what was sampled."""
    for module in (chance, sampled):
        monkeypatch.setattr(module, "SAMPLED", 500)
    monkeypatch.setattr(sampled, "WINDOWS", {10: 2.26})
    made = run(100.0, busy=0.6)
    (interval,) = made.demand.percentiles
    assert (interval.sampled, interval.windows) == (400, 10)
    assert interval.low_s < by_code(made.findings, "slo.ttft.p95").measured < interval.high_s
    (note,) = [row[-1].text for row in summary(made).rows if "of other arrivals" in row[0].text]
    assert note.endswith("from a sample of 400 requests in 10 windows at random places in equal parts of the run")
