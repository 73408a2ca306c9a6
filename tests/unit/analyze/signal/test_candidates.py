"""How recorded series compare as signals."""

import numpy as np
import pytest

from loadgen.analyze.queueing import mean_over_pods, stale_s
from loadgen.analyze.scaling.replicas import fleet
from loadgen.analyze.signal.candidates import candidates
from support.runs.tables import info, life, observed, request, series

TTFT = (("ttft", "p95", 2.0),)


def compared(**values):
    """Requests due from 40 to 70 s wait for 5 s; each value is a function of the time, sampled every second."""
    requests = [request(n, n / 4, 5.0 if 160 <= n < 280 else 0.5, 5.5 if 160 <= n < 280 else 1.0) for n in range(400)]
    samples = [row for name, at in values.items() for row in series(name, "a", {float(t): at(t) for t in range(101)})]
    run = observed(info(length_s=100.0, limits=TTFT), requests=requests, samples=samples, events=life("a", -9, -5))
    pods = run.signals.get("ratio", {})
    return {each.signal: each for each in candidates(run, fleet(run), mean_over_pods(pods, stale_s(run)))}


def from_s(start):
    return lambda t: 8.0 if start <= t < 80 else 0.0


def test_the_longest_lead_is_the_best():
    """The limit is broken at 42 s: waiting requests show it at 38 s, Triton's queue at 41 s and the ratio at 45 s."""
    made = compared(ratio=from_s(45), engine_waiting=from_s(38), raw_pending=from_s(41))
    assert [(each.signal, each.lead_s) for each in made.values()] == [
        ("engine_waiting", 4.0),
        ("raw_pending", 1.0),
        ("ratio", -3.0),
    ]


def test_a_blind_series_comes_last():
    """The KV cache never fills, and nothing is known of its gain."""
    made = compared(ratio=from_s(45), kv_used_ratio=lambda t: 0.3)
    assert list(made) == ["ratio", "kv_used_ratio"]
    assert (made["kv_used_ratio"].blind, made["kv_used_ratio"].gain, made["kv_used_ratio"].monotonicity) == (
        True,
        None,
        None,
    )


def test_a_noisy_series_does_not_win_by_its_lead():
    """Active requests exceed their noise in every tenth second of a calm load, too."""
    made = compared(ratio=from_s(45), engine_active=lambda t: 8.0 if 38 <= t < 80 or t % 10 == 0 else 1.0)
    assert list(made) == ["ratio", "engine_active"]
    assert made["engine_active"].noise_ratio == pytest.approx(0.1, abs=0.05)


def test_monotonicity_is_the_rank_correlation_with_the_load():
    """A value that is the square of the requests in flight has their ranks: 1; its negative has −1."""
    n_in_flight = [np.sum((np.arange(400) / 4 <= t) & (t < np.arange(400) / 4 + np.where((np.arange(400) >= 160) & (
        np.arange(400) < 280), 5.5, 1.0))) for t in range(101)]  # fmt: skip
    made = compared(ratio=lambda t: float(n_in_flight[t]) ** 2, engine_active=lambda t: 1000.0 - n_in_flight[t])
    assert made["ratio"].monotonicity == pytest.approx(1.0)
    assert made["engine_active"].monotonicity == pytest.approx(-1.0)


def test_without_an_autoscaler_nothing_is_compared():
    """There is no signal to replace."""
    run = observed(info(autoscaler=None), requests=[request(0, 0.0)])
    assert candidates(run, fleet(run), mean_over_pods({}, 3.0)) == ()
