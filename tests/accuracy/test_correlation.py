"""Correlations of simulated series whose relation is known.

The series are first-order autoregressive: x(t) = 0.95 · x(t − 1) + e(t) with independent normal e. Two of them change
so slowly that the best of 121 lags reaches |r| = 0.7 although they are unrelated: `test_coverage.py` has that case.
"""

import numpy as np
import pytest

from loadgen.analyze.analysis import analyze
from loadgen.analyze.correlation import correlate
from support.runs.tables import info, life, request, series, tables

SECONDS = 300
RHO = 0.95


def autoregressive(seed: int, seconds: int, rho: float = RHO) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(seconds + 200)
    series = np.zeros(seconds + 200)
    for t in range(1, seconds + 200):
        series[t] = rho * series[t - 1] + noise[t]
    return series[200:]


@pytest.mark.parametrize("lead_s", [5, -3, 0, 60])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_known_lead_is_recovered(lead_s, sign):
    """y(t) = ± x(t − lead) + noise of a third of its size: the lag is the lead, in each of four draws."""
    for seed in range(4):
        x = autoregressive(seed, SECONDS + 120)
        noise = autoregressive(20_000 + seed, SECONDS, rho=0.5)
        y = sign * x[60 - lead_s : 60 - lead_s + SECONDS] + noise
        made = correlate("x", x[60 : 60 + SECONDS], "y", y)
        assert (made.lag_s, made.significant) == (lead_s, True)
        assert made.coefficient is not None
        assert np.sign(made.coefficient) == sign


def test_a_lead_survives_missing_seconds():
    """A tenth of the values of either series is missing: the lead of 5 s is still found."""
    x = autoregressive(1, SECONDS + 10)
    leader, follower = x[5:-5].copy(), x[:SECONDS].copy()
    rng = np.random.default_rng(2)
    leader[rng.random(SECONDS) < 0.1] = np.nan
    follower[rng.random(SECONDS) < 0.1] = np.nan
    made = correlate("x", leader, "y", follower)
    assert (made.lag_s, made.significant) == (5.0, True)
    assert made.samples < SECONDS - 5


@pytest.mark.parametrize("lag_s", [6, -4])
def test_the_lag_of_a_run_is_that_of_its_requests_and_samples(lag_s):
    """The ratio of each second is the latency of the requests that are due `lag_s` seconds later, 4 requests a second.

    Exact: p95 of one second is one of its four requests. With the requests of two seconds on either side, as in the
    chart, the largest of 20 would be found up to 2 s off.
    """
    latency = 0.1 * np.exp(0.3 * autoregressive(7, 620, rho=0.8))
    rows = [
        request(4 * t + k, t + k / 4, float(latency[t + 10] * (0.8 + 0.05 * k)), 4.0)
        for t in range(600)
        for k in range(4)
    ]
    ratio = {t + 0.5: float(latency[t + 10 + lag_s]) for t in range(600)}
    about = info(length_s=600.0, limits=(("ttft", "p95", 9.0),), stages=(("all", 0.0, 600.0),))
    made = analyze(about, tables(requests=rows, samples=series("ratio", "a", ratio), events=life("a", -9, -5)))
    found = next(each for each in made.correlations if each.follower == "TTFT p95")
    assert (found.lag_s, found.significant) == (float(lag_s), True)
    assert found.coefficient > 0.8
