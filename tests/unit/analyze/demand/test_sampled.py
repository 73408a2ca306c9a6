"""Intervals of percentiles of long runs, from a sample: other runs of the same load fall inside."""

import math
from dataclasses import replace

import numpy as np
import pytest

from loadgen.analyze.demand import sampled
from loadgen.analyze.demand.capacity import LatencyLimit, Work, latency_s
from loadgen.analyze.demand.replay import fixed, replay
from loadgen.analyze.demand.sampled import SAMPLED, poisson, sampled_interval
from loadgen.analyze.stats import quantile

ONE = fixed(1, 1, "round_robin")
SERVICE_S = 0.01
LIMIT = LatencyLimit(metric="e2e", share=0.95, limit_s=1.0)


def constant(t_s):
    return np.full(len(t_s), 70.0)


def waves(t_s):
    """Between 30/s and 90/s, every five minutes: eight times in the run."""
    return 60.0 + 30.0 * np.sin(2 * math.pi * t_s / 300.0)


def made(rate, highest, length_s, seed):
    """Arrivals, exponential services and their starts at one replica of 100/s."""
    random = np.random.default_rng(seed)
    due_s = poisson(rate, highest)(random, 0.0, length_s)
    work = Work(service_s=random.exponential(SERVICE_S, len(due_s)), prefill_s=np.zeros(len(due_s)))
    return due_s, work, replay(due_s, work.service_s, ONE)


def of(rate, highest, length_s, seed, limit=LIMIT):
    due_s, work, start_s = made(rate, highest, length_s, seed)
    return sampled_interval(due_s, work, ONE, start_s, limit, poisson(rate, highest))


def test_the_interval_holds_the_percentile_of_a_queue():
    """M/M/1 at 70 % load: the time in the system is exponential with mean 1/(100 − 70) s, so p95 is ln 20 / 30 s.

    Another run of so many requests has it within 3 %, and the interval is at most four times as wide.
    """
    found = of(constant, 70.0, 1500.0, 1)
    truth_s = math.log(20) / 30
    assert found.low_s < truth_s < found.high_s
    assert found.high_s - found.low_s < 0.24 * truth_s


@pytest.mark.parametrize(("rate", "highest", "length_s"), [(constant, 70.0, 1200.0), (waves, 90.0, 2400.0)])
def test_other_runs_fall_inside(rate, highest, length_s):
    """By chance, 3 or more of 12 are outside with a probability of 2 %, if the interval covers 95 %."""
    found = of(rate, highest, length_s, 2)
    inside = 0
    for seed in range(100, 112):
        due_s, work, start_s = made(rate, highest, length_s, seed)
        inside += found.low_s <= quantile(latency_s("e2e", due_s, start_s, work), 0.95) <= found.high_s
    assert inside >= 10


def test_the_sample_is_of_consecutive_requests_in_every_part_of_the_run():
    """At most 50,000 with those before the windows, at the same places each time."""
    sample, again = (sampled._sample(1000, 101_000, 40) for _ in range(2))
    assert (sample.end - sample.first).sum() <= SAMPLED
    parts = (sample.begin - 1000) // 2500
    assert parts.tolist() == list(range(40))
    assert ((sample.end - 1001) // 2500).tolist() == list(range(40))
    assert (sample.begin - sample.first == 250).all()
    assert sample.requests == 40_000
    assert again.begin.tolist() == sample.begin.tolist()


def test_a_backlog_that_outlasts_the_windows_has_no_interval():
    """At 101 % load the backlog grows from the first request to the last: no sample shows it."""
    due_s = np.arange(60_000) / 101.0
    work = Work(service_s=np.full(60_000, SERVICE_S), prefill_s=np.zeros(60_000))
    start_s = replay(due_s, work.service_s, ONE)

    def within(_, since_s, until_s):
        return due_s[(due_s >= since_s) & (due_s < until_s)]

    found = sampled_interval(due_s, work, ONE, start_s, LIMIT, within)
    assert found == "requests wait for longer than a sample of 50,000 requests shows"


def test_a_maximum_has_no_interval():
    """That of a sample is lower than that of the run."""
    found = of(constant, 70.0, 900.0, 3, replace(LIMIT, share=1.0))
    assert found == "the maximum of a sample is not that of the run"
