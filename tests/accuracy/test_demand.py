"""Analyzes runs whose demand is known: capacity, lag, unnecessary scale-ups, what the lag did, the smallest fleet.

Every run is a queue of a few lines (`support.runs.queues`), in which replicas of one slot get requests in turn.
"""

import math

import numpy as np
import pytest

from loadgen.analyze.analysis import analyze
from loadgen.scenario.rates import Constant, Step, Wave
from support.runs import queues
from support.runs.queues import ALWAYS, poisson, served
from support.runs.tables import event, info, life, request, rescale, series, tables

SERVICE_S = 0.2
"""One replica serves five requests a second."""


def drawn(kind, count, seed, mean=SERVICE_S):
    return queues.drawn(kind, count, seed, mean)


def run(due, service, lives, length, *, events=(), limits=(), load=None, samples=()):
    """The analysis of such a run; its first token comes after a tenth of the service."""
    start = served(due, service, lives)
    first, last = start - due + 0.1 * service, start - due + service
    rows = [request(n, *(float(x) for x in row)) for n, row in enumerate(zip(due, first, last, strict=True))]
    events = list(events)
    counters = list(samples)
    for number, (since, until) in enumerate(lives):
        pod = f"p{number}"
        since = max(since, -10.0)
        until_s = None if until == math.inf else until
        events += life(pod, since - 6.0, since, until_s, until_s)
        answered = since + 1 if since > 0 else 1.0
        counters += series("raw_success", pod, {since: 0.0, answered: 1.0, length: 9.0})
    settings = {} if load is None else {"load": load.model_dump(mode="json")}
    about = info(length_s=length, stages=(("all", 0.0, length),), limits=limits, settings=settings)
    return analyze(about, tables(requests=rows, events=events, samples=counters))


@pytest.mark.parametrize("kind", ["equal", "exponential", "lognormal"])
@pytest.mark.parametrize("load", [0.3, 0.9])
def test_a_replica_of_five_a_second_has_that_capacity(kind, load):
    """Within the stated interval, and within 12 %: four standard errors of 1,500 or 2,700 lognormal services."""
    length = 600 if load > 0.5 else 1000
    due = poisson(lambda t: np.full(len(t), load * 5), length, 1)
    made = run(due, drawn(kind, len(due), 2), [ALWAYS], length)
    capacity = made.demand.capacity
    assert capacity.low <= 5.0 <= capacity.high
    assert made.capacity_per_s == pytest.approx(5.0, rel=0.12)
    assert (made.demand.slots, made.demand.service_method) == (1, "modelled")


@pytest.mark.parametrize(
    ("per_s", "load", "kind"), [(0.5, 0.1, "equal"), (1.0, 0.5, "exponential"), (5.0, 4.5, "exponential")]
)
@pytest.mark.parametrize("planned", [True, False])
def test_a_constant_load_below_the_capacity_has_no_load_step(per_s, load, kind, planned):
    """A scale-up under it is unnecessary, whether the plan is recorded or the rate is estimated from arrivals."""
    for seed in range(3):
        length = 1200.0 if load < 1 else 400.0
        due = poisson(lambda t: np.full(len(t), load), length, seed)
        events = [rescale(200, 1, 2), *[event(t, "hpa_sync", current=1, desired=1) for t in (185.0, 200.0)]]
        plan = Constant(per_s=load, duration_s=length) if planned else None
        service = drawn(kind, len(due), seed, 1 / per_s)
        made = run(due, service, [ALWAYS, (212.0, math.inf)], length, events=events, load=plan)
        (up,) = made.scaling
        assert (up.trigger_s, up.needless) == (None, True)
        assert [each.code for each in made.findings].count("scaling.needless") == 1
        assert made.demand.needed == ()
        assert made.demand.in_time is None
        assert made.cost.needed_replicas == 1


RAMP = Wave(trough_per_s=2.0, peak_per_s=6.0, period_s=720.0, shape="trapezoid", ramp_ratio=200 / 720)
"""2/s until 80 s (half of the trough of 160 s), then 0.02/s² up to 6/s at 280 s."""


@pytest.mark.parametrize("planned", [True, False])
def test_a_ramp_that_was_answered_early_has_a_negative_lag(planned):
    """5/s are reached at 230 s (plan), and the second replica serves at 206 s: in time by 24 s.

    The interval of the capacity is 2 % on either side for modelled services, so that of the crossing is 10 s wide
    (2 · 0.1 / 0.02). A rate that is estimated from arrivals has the wider interval of its change.
    """
    load = RAMP if planned else None
    due = poisson(RAMP.at, 360, 5)
    events = [rescale(190, 1, 2)]
    made = run(due, drawn("equal", len(due), 1), [ALWAYS, (205.0, math.inf)], 360.0, events=events, load=load)
    (up,) = made.scaling
    (lag,) = made.demand.lags
    assert lag.lag.low <= -24.0 <= lag.lag.high
    assert lag.lag.value < 0
    assert made.headline.lag_s == up.lag_s == lag.lag.value
    assert not up.needless
    if planned:
        assert lag.lag.value == pytest.approx(-24.0, abs=2.0)
        assert lag.lag.high - lag.lag.low < 12.0
    assert made.lag_windows == ()
    assert made.demand.in_time is (True if planned else None)


def test_a_long_backlog_is_the_lags_to_its_end():
    """3/s, then 8/s from 100 s on; the second replica serves at 160 s: its backlog of 180 requests lasts very long.

    With two replicas throughout no request would be slow, so the lag made all of them slow.
    """
    load = Step(levels_per_s=(3.0, 8.0), hold_s=100.0)
    due = poisson(load.at, 200, 3)
    service = drawn("equal", len(due), 1)
    limit = 2.0

    def slow(lives):
        start = served(due, service, lives)
        return int((start - due + 0.1 * service > limit).sum())

    assert slow([ALWAYS, ALWAYS]) == 0
    late = [ALWAYS, (159.0, math.inf)]
    made = run(due, service, late, 200.0, events=[rescale(140, 1, 2)], limits=(("ttft", "p95", limit),), load=load)
    cause = made.demand.attribution
    assert cause.slow == made.headline.slow_requests == slow(late) > 200
    assert cause.conclusive
    assert cause.by_lag / cause.slow > 0.97  # which replica has which turn differs by a few requests
    assert made.headline.slow_in_lag >= cause.by_lag
    assert made.cost.needed_replicas == 2
    assert made.headline.lag_s > 50
    assert made.demand.in_time is False


def test_the_smallest_fleet_keeps_the_limit():
    """12/s of 0.2 s each with a limit on p95: the fleet found keeps it in a queue, and one replica fewer does not."""
    due = poisson(lambda t: np.full(len(t), 12.0), 120, 7)
    service = drawn("exponential", len(due), 3)
    limit = 1.0
    made = run(due, service, [ALWAYS] * 4, 120.0, limits=(("ttft", "p95", limit),))

    def p95(count):
        start = served(due, service, [ALWAYS] * count)
        return sorted(start - due + 0.1 * service)[math.ceil(0.95 * len(due)) - 1]

    fleet = made.demand.smallest
    assert made.cost.needed_replicas == fleet.replicas
    assert p95(fleet.high) <= limit < p95(fleet.low - 1)


def test_slow_requests_without_a_queue_are_not_attributed():
    """Fifty requests of a run with two idle replicas took 3 s to their first token: a replay cannot explain that."""
    due = poisson(lambda t: np.full(len(t), 3.0), 300, 7)
    service = drawn("exponential", len(due), 3)
    start = served(due, service, [ALWAYS])
    rows = []
    for n, (at, begin, takes) in enumerate(zip(due, start, service, strict=True)):
        stall = 3.0 if 400 <= n < 450 else 0.0
        rows.append(request(n, float(at), float(begin - at + 0.1 * takes + stall), float(begin - at + takes + stall)))
    about = info(length_s=300.0, stages=(("all", 0.0, 300.0),), limits=(("ttft", "p95", 2.5),))
    made = analyze(about, tables(requests=rows, events=life("a", -20, -10)))
    cause = made.demand.attribution
    assert cause.unexplained >= 45
    assert not cause.conclusive


def test_elasticity_is_that_of_the_two_curves():
    """Two replicas are needed from 100 to 200 s and serve from 130 to 230 s: θ_U = τ_U / 2 = 30/600, θ_O = τ_O."""
    load = Step(levels_per_s=(2.0, 8.0, 2.0), hold_s=100.0)
    due = poisson(load.at, 300, 4)
    made = run(
        due,
        drawn("equal", len(due), 1),
        [ALWAYS, (129.0, 230.0)],
        300.0,
        events=[rescale(115, 1, 2), rescale(229, 2, 1)],
        load=load,
    )
    value = made.demand.elasticity_serving
    assert (value.theta_under, value.tau_under) == (pytest.approx(15 / 300), pytest.approx(30 / 300))
    assert (value.theta_over, value.tau_over) == (pytest.approx(30 / 300), pytest.approx(30 / 300))
    assert made.demand.lags[0].lag.value == pytest.approx(30.0, abs=1e-6)


def test_an_unobserved_fleet_has_no_demand():
    """Behind a URL nothing is known about replicas, and the reason says so."""
    made = analyze(info(), tables(requests=[request(n, float(n)) for n in range(60)]))
    assert made.demand.capacity is None
    assert made.demand.why_missing == "the replicas were not observed"
