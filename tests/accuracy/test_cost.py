"""Analyzes a run whose cost, and that of other fleets, follows from arithmetic.

Requests come evenly, 4/s for 150 s, 9/s for 150 s and 4/s for 150 s, and each takes 0.2 s in the one slot of a replica,
which completes 5/s. So one replica is enough for 4/s without any wait, and 9/s need two: with one the queue would grow
by 0.8 s in every second, against a limit of 0.5 s.
"""

import numpy as np
import pytest

from loadgen.analyze.analysis import analyze
from loadgen.dataset.run_info import ClusterInfo
from loadgen.scenario.settings import Pricing
from support.runs.tables import info, life, request, rescale, series, tables

LENGTH_S, SERVICE_S, LIMIT_S = 450.0, 0.2, 0.5
CREATED_S, READY_S, GONE_S = 155.0, 165.0, 310.0
PRICING = {"per_gpu_hour": 3.6, "currency": "EUR", "gpus_per_replica": 2}
USED_S = LENGTH_S + (GONE_S - CREATED_S)
"""One replica throughout, and one that is billed from its creation: 605 s."""


def arrivals():
    spans = ((0.0, 4.0), (150.0, 9.0), (300.0, 4.0))
    return np.concatenate([start + np.arange(0, 150, 1 / rate) for start, rate in spans])


def starts(due, lives):
    """When each request starts: replicas with one slot get requests in turn."""
    free = [since for since, _ in lives]
    start = []
    for number, at in enumerate(due):
        there = [r for r, (since, until) in enumerate(lives) if since <= at < until]
        chosen = there[number % len(there)]
        start.append(max(at, free[chosen]))
        free[chosen] = start[-1] + SERVICE_S
    return np.array(start)


def run(tokens=10, pricing=None, settings=None, limits=(("ttft", "p95", LIMIT_S),), **changes):
    due = arrivals()
    start = starts(due, [(-10.0, np.inf), (READY_S, 300.0)])
    ttft = start - due + 0.02
    rows = [
        request(n, float(at), float(first), float(first) + 0.18, tokens=tokens)
        for n, (at, first) in enumerate(zip(due, ttft, strict=True))
    ]
    events = [*life("a", -16.0, -10.0), rescale(CREATED_S, 1, 2), rescale(300.0, 2, 1)]
    events += life("b", CREATED_S, READY_S, 300.0, GONE_S)
    counters = series("raw_success", "a", {-1.0: 0.0, 1.0: 4.0}) + series("raw_success", "b", {165.0: 0.0, 166.0: 4.0})
    about = info(length_s=LENGTH_S, stages=(("all", 0.0, LENGTH_S),), limits=limits, settings=settings or {}, **changes)
    made = analyze(
        about, tables(requests=rows, events=sorted(events, key=lambda e: e["t_s"]), samples=counters), pricing
    )
    return made, ttft


@pytest.fixture(scope="module")
def priced():
    return run(settings={"pricing": PRICING})


def of(cost, kind):
    (found,) = [each for each in cost.alternatives if each.kind == kind]
    return found


def test_the_bill_is_replica_time_times_gpus_times_price(priced):
    """605 replica-seconds, 2 GPUs, 3.60 for a GPU-hour: 1.21."""
    billed = priced[0].cost.billed
    assert billed.replica_hours == pytest.approx(USED_S / 3600)
    assert billed.gpu_hours == pytest.approx(2 * USED_S / 3600)
    assert billed.amount == pytest.approx(1.21)
    assert (priced[0].cost.gpu_source, priced[0].cost.currency) == ("setting", "EUR")


def test_fixed_fleets_cost_their_replicas_for_the_whole_load(priced):
    """Two replicas keep the limit and one does not, so the smallest fleet is the static peak: 900 s, 49 % more."""
    smallest, peak = of(priced[0].cost, "smallest_fixed_fleet"), of(priced[0].cost, "static_peak")
    assert (smallest.replicas, smallest.meets_limits, peak.replicas, peak.meets_limits) == (2, True, 2, True)
    assert smallest.charge.replica_hours == peak.charge.replica_hours == pytest.approx(900 / 3600)
    assert smallest.conclusion.startswith(
        "A fixed fleet of 2 would have cost 49 % more (0.59 EUR) and met the limit on"
    )


@pytest.mark.parametrize(("kind", "start_up_s"), [("perfect", 0.0), ("perfect_with_start_up", READY_S - CREATED_S)])
def test_a_perfect_autoscaler_has_two_replicas_for_150_s(priced, kind, start_up_s):
    """450 + 150 s, the start of one replica, and at most one service of 0.2 s while it drains."""
    found = of(priced[0].cost, kind)
    seconds = found.charge.replica_hours * 3600
    assert 600 + start_up_s <= seconds <= 600 + start_up_s + SERVICE_S
    assert (found.replicas, found.start_up_s, found.meets_limits) == (2, start_up_s, True)
    # 2,550 services of 0.2 s are 510 s of a slot, of which 5 % need not attain.
    assert found.least_replica_hours * 3600 == pytest.approx(0.95 * 2550 * SERVICE_S, rel=0.01)


def test_a_schedule_that_keeps_its_windows_may_miss_another_limit():
    """The limit on p95 lets one replica serve the first 30 s of the peak, over 10 % of all requests, which wait."""
    made, _ = run(limits=(("ttft", "p90", 0.05), ("ttft", "p95", 20.0)))
    found = of(made.cost, "perfect")
    assert found.meets_limits is False
    assert "kept 95 % of the requests of every 30 s within TTFT ≤ 20 s" in found.conclusion
    assert found.conclusion.endswith("; it would have missed TTFT p90 ≤ 0.05 s over the whole run.")


def test_the_cost_of_good_requests_and_of_tokens(priced):
    """Of 2,550 requests those within 0.5 s are good, by the queue of this test; all have ten tokens."""
    made, ttft = priced
    good = int((ttft <= LIMIT_S).sum())
    assert 0.7 < good / 2550 < 0.8
    unit = made.cost.per_thousand_good
    assert (unit.count, unit.charge.amount) == (good, pytest.approx(1.21 * 1000 / good))
    tokens = made.cost.per_million_tokens
    assert (tokens.count, tokens.charge.amount) == (25_500, pytest.approx(1.21 / 25_500 * 1e6))
    assert "with a fixed fleet of 2 they would have cost 70.59 EUR" in tokens.conclusion  # 1.80 / 0.0255


def test_what_is_not_recorded_is_not_known():
    """Without GPUs there is no money, without token counts no cost of tokens, and without limits no SLO."""
    made, _ = run(tokens=None, settings={"pricing": {"per_gpu_hour": 3.6}}, limits=())
    cost = made.cost
    assert (cost.billed.gpu_hours, cost.billed.amount, cost.gpus_per_replica) == (None, None, None)
    assert cost.per_million_tokens.charge is None
    assert "2,550 of 2,550 answers were not recorded" in cost.per_million_tokens.conclusion
    assert "no limit applies to single requests" in cost.per_thousand_good.conclusion
    perfect = of(cost, "perfect")
    assert (perfect.charge, perfect.why_missing) == (None, "no limit on TTFT or E2E is set")


def test_flags_come_before_the_workload_and_the_workload_before_settings():
    """The workload requests 4 GPUs, the settings say 2, and a flag says 8."""
    cluster = ClusterInfo(
        kind="Deployment",
        workload="t",
        namespace="n",
        context="c",
        endpoint="ingress 10.0.0.7:80",
        balances="requests",
        gpus_per_replica=4,
    )
    settings = {"pricing": PRICING}
    made, _ = run(settings=settings, cluster=cluster)
    assert (made.cost.gpus_per_replica, made.cost.gpu_source) == (4, "workload")
    made, _ = run(settings=settings, cluster=cluster, pricing=Pricing(gpus_per_replica=8, per_gpu_hour=1.0))
    cost = made.cost
    assert (cost.gpus_per_replica, cost.gpu_source, cost.price_per_gpu_hour, cost.currency) == (8, "flag", 1.0, "EUR")


def test_a_run_in_which_nothing_waited_does_not_tell_what_fewer_replicas_would_do():
    """Two replicas serve 4/s without a wait: how many requests one serves at once was not shown."""
    due = np.arange(0, LENGTH_S, 0.25)
    rows = [request(n, float(at), 0.02, 0.2, tokens=10) for n, at in enumerate(due)]
    events = life("a", -16.0, -10.0) + life("b", -16.0, -10.0)
    about = info(length_s=LENGTH_S, stages=(("all", 0.0, LENGTH_S),), limits=(("ttft", "p95", LIMIT_S),))
    cost = analyze(about, tables(requests=rows, events=events)).cost
    for kind in ("smallest_fixed_fleet", "perfect", "perfect_with_start_up"):
        found = of(cost, kind)
        assert (found.charge, found.meets_limits) == (None, None)
        assert "is not known, because requests hardly ever waited" in found.conclusion
