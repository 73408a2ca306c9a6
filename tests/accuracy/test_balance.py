"""Analyzes runs of which every request's replica is given: shares, time to the fair share, and cold replicas.

Ten requests come in each second, evenly, so counts and times follow from arithmetic.
"""

import math

import numpy as np
import pytest

from loadgen.analyze.analysis import analyze
from support.runs.tables import by_code, info, life, request, rescale, tables

LENGTH_S, RATE, READY_S = 120.0, 10.0, 60.0


def run(pod_of, ttft_of=lambda t: 0.1, *, named=True, counted=False, second=READY_S, limit_s=1.0, length_s=LENGTH_S):
    """A run in which `pod_of(number, time)` is the replica of each request: `a`, or `b`, which is ready at `second`."""
    times = np.arange(0.05, length_s, 1 / RATE)
    rows, done = [], {"a": [], "b": []}
    for number, at in enumerate(times):
        pod, ttft = pod_of(number, at), ttft_of(at)
        row = request(number, float(at), ttft, ttft + 0.1)
        rows.append({**row, "pod": pod if named else None})
        done[pod].append(at + ttft + 0.1)
    events = [*life("a", -20.0, -10.0)]
    if second is not None:
        events += [rescale(second - 10.5, 1, 2), *life("b", second - 10, second)] if second > 0 else life("b", -20, -9)
    samples = []
    if counted:
        for pod, ends in done.items():
            at = np.arange(-5.0 if pod == "a" or second <= 0 else second, length_s + 2, 1.0)
            counts = np.searchsorted(np.sort(ends), at, side="right")
            samples += [
                {"t_s": float(t), "signal": "raw_success", "pod": pod, "value": float(n)}
                for t, n in zip(at, counts, strict=True)
            ]
    about = info(
        length_s=length_s, stages=(("all", 0.0, length_s),), limits=(("ttft", "p95", limit_s),), autoscaler=None
    )
    return analyze(about, tables(requests=rows, events=sorted(events, key=lambda e: e["t_s"]), samples=samples))


def turns(number, at):
    return "b" if at >= READY_S and number % 2 else "a"


def uses(made):
    return {use.replica: use for use in made.balance.replicas}


def codes(made):
    return [each.code for each in made.findings if not each.passed]


@pytest.mark.parametrize("named", [True, False])
def test_a_new_replica_that_gets_every_second_request_is_used(named):
    """600 requests before and 600 with two replicas: 900 and 300; by counters also, within a second of requests."""
    made = run(turns, named=named, counted=not named)
    a, b = uses(made)["a"], uses(made)["b"]
    slack = 0 if named else RATE
    assert abs(a.requests - 900) <= slack
    assert abs(b.requests - 300) <= slack
    assert b.fair == pytest.approx(300, abs=1 + slack)
    assert (made.balance.verdict, made.balance.source) == ("used", "requests" if named else "counters")
    assert 0 <= b.to_fair_share_s <= (0.2 if named else 1.5)
    assert made.balance.variation <= 0.05
    if named:
        assert (b.ttft_p50_s, b.ttft_p95_s) == (pytest.approx(0.1), pytest.approx(0.1))
        assert b.e2e_p95_s == pytest.approx(0.2)
    assert not {"replica.unused", "balance.uneven", "balance.late_share"} & set(codes(made))


def test_a_replica_that_clients_find_late_has_its_time_to_fair_share():
    """Nothing comes to b for 40 s. Up to 20 % of its share may miss, 4 of 20 requests: at most 0.4 s too early."""
    made = run(lambda number, at: "b" if at >= READY_S + 40 and number % 2 else "a")
    b = uses(made)["b"]
    assert 40 - 0.4 <= b.to_fair_share_s <= 40 + 0.2
    assert b.of_fair_ratio == pytest.approx(100 / 300, rel=0.01)
    assert made.balance.verdict == "partly used"
    found = by_code(made.findings, "balance.late_share")
    assert (found.measured, found.limit) == (b.to_fair_share_s, 15.0)


@pytest.mark.parametrize("named", [True, False])
def test_a_replica_that_nothing_reaches_is_scaled_but_not_used(named):
    """Whether requests name their replica or counters show it; the rule is not to be checked."""
    made = run(lambda number, at: "a", named=named, counted=not named)
    assert made.balance.verdict == "scaled but not used"
    b = uses(made)["b"]
    assert (b.requests, b.to_fair_share_s) == (0, None)
    assert "scaled but not used" in by_code(made.findings, "replica.unused").advice
    assert not any("recording rule" in each.advice for each in made.findings)
    # Windows with both: counts of n and 0, whose standard deviation is their mean.
    assert made.balance.variation == pytest.approx(1.0)


def test_without_a_new_replica_it_is_not_scaled():
    """Two replicas from the start."""
    made = run(lambda number, at: "b" if number % 2 else "a", second=-9.0)
    assert made.balance.verdict == "not scaled"


def test_without_names_and_counters_the_balance_is_not_known():
    """Which replica answered was not recorded."""
    made = run(turns, named=False)
    assert (made.balance.verdict, made.balance.variation, uses(made)["b"].requests) == ("not known", None, None)


def test_the_coefficient_of_variation_of_three_to_one():
    """225 and 75 requests in 30 s: mean 150, standard deviation 75. Random choice gives √(1 / 300)."""
    made = run(lambda number, at: "b" if number % 4 == 0 else "a", second=-9.0)
    assert made.balance.variation == pytest.approx(0.5, abs=0.01)
    assert made.balance.variation_by_chance == pytest.approx(math.sqrt(1 / 300), rel=0.01)
    found = by_code(made.findings, "balance.uneven")
    assert found.measured == made.balance.variation
    assert "a got 150 % of its fair share and b 50 %" in found.advice


def test_cold_answers_that_decide_the_limit_are_told_apart():
    """The 72 requests (6 %) of the first 7.2 s take 19.9 s to their first token, all others 0.1 s."""
    made = run(lambda number, at: "a", lambda at: 19.9 if at < 7.2 else 0.1, second=None)
    age = made.replica_age
    assert made.verdict == "fail"
    assert (age.known, age.answered) == (1200, 1200)
    assert (age.cold_s, age.warm_p95_s) == (5.0, pytest.approx(0.1))
    assert [(group.from_s, group.to_s, group.requests) for group in age.groups[:3]] == [
        (0.0, 5.0, 50),
        (5.0, 15.0, 100),
        (15.0, 30.0, 150),
    ]
    assert (age.groups[0].ttft_p50_s, age.groups[2].ttft_max_s) == (pytest.approx(19.9), pytest.approx(0.1))
    found = by_code(made.findings, "replica.cold")
    assert found.measured == pytest.approx(19.9)


@pytest.mark.parametrize("named", [True, False])
def test_each_replica_is_cold_once(named):
    """b is as cold at 60 s as a was: 6 s each; without names only the age of a is known, until b is ready."""
    made = run(turns, lambda at: 5.0 if at % 60 < 6 else 0.1, named=named)
    # In the first 6 s from 60 s on a is slow, too, and not cold any more: 30 of its requests, 2.5 % of all.
    age = made.replica_age
    assert age.known == (1200 if named else 600)
    assert age.groups[0].requests == (50 + 25 if named else 50)
    assert age.groups[0].ttft_p50_s == pytest.approx(5.0)
    assert age.cold_s == (5.0 if named else None)


def test_slow_requests_of_warm_replicas_are_not_cold():
    """Every tenth second is slow, whatever the age."""
    made = run(lambda number, at: "a", lambda at: 5.0 if int(at) % 10 == 0 else 0.1, second=None)
    assert made.replica_age.cold_s is None
    assert "replica.cold" not in codes(made)


def test_a_limit_that_is_met_has_no_cold_replicas():
    """2 % are cold: p95 is met."""
    made = run(lambda number, at: "a", lambda at: 5.0 if at < 2.4 else 0.1, second=None)
    assert made.replica_age.cold_s is None
    assert made.replica_age.groups[0].ttft_max_s == pytest.approx(5.0)
