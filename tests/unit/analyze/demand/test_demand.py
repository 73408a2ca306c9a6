"""Needed replicas over time, from a plan and from arrivals."""

import math

import numpy as np
import pytest

from loadgen.analyze.demand.demand import Planned, needed_of_arrivals, needed_of_plan, needed_replicas
from loadgen.analyze.demand.intensity import intensity
from loadgen.analyze.results.demand import Estimate
from loadgen.scenario.rates import Constant, Step, Wave


def exactly(value):
    return Estimate(value=value, low=value, high=value)


def planned(rate):
    edges = sorted({edge for span in rate.spans() for edge in (span.start_s, span.end_s)})
    return Planned(at=rate.at, edges_s=np.array(edges))


def test_a_step_of_the_plan_is_exact():
    """2/s, 6/s from 60 s, 1/s from 120 s, with 4/s for one replica: two are needed from 60 to 120 s."""
    (span,) = needed_of_plan(planned(Step(levels_per_s=(2.0, 6.0, 1.0), hold_s=60.0)), [exactly(4.0)])
    assert span.replicas == 2
    assert span.start.value == span.start.low == span.start.high == pytest.approx(60.0, abs=1e-9)
    assert span.end is not None
    assert span.end.value == pytest.approx(120.0, abs=1e-9)


def test_a_crossing_of_a_ramp_is_as_uncertain_as_the_capacity():
    """A ramp of 0.02/s² from 1/s at 0 s: 2/s at 50 s; capacities of 1.8 … 2.2/s are reached at 40 and 60 s.

    The trapezoid has a ramp of 100 s from 1/s to 3/s: period 500 s, ramp share 0.2, trough held for 75 s before it.
    """
    wave = Wave(trough_per_s=1.0, peak_per_s=3.0, period_s=500.0, shape="trapezoid", ramp_ratio=0.2)
    (span,) = needed_of_plan(planned(wave), [Estimate(value=2.0, low=1.8, high=2.2)])
    assert (span.start.low, span.start.value, span.start.high) == pytest.approx((115.0, 125.0, 135.0), abs=1e-6)
    assert span.end is not None
    assert (span.end.low, span.end.value, span.end.high) == pytest.approx((365.0, 375.0, 385.0), abs=1e-6)


def test_every_level_of_a_sine_wave_is_crossed_where_it_is():
    """r(t) = 0.5 + 7.5 · (1 − cos(2πt/150)) / 2 crosses 3, and 6 for the second replica, twice in each of two waves."""
    spans = needed_of_plan(
        planned(Wave(trough_per_s=0.5, peak_per_s=8.0, period_s=150.0, cycles=2)), [exactly(3.0), exactly(6.0)]
    )
    assert [span.replicas for span in spans] == [2, 3, 2, 3]

    def rises(rate):
        return math.acos(1 - 2 * (rate - 0.5) / 7.5) * 150 / (2 * math.pi)

    assert [span.start.value for span in spans] == pytest.approx([rises(3), rises(6), 150 + rises(3), 150 + rises(6)])
    needed = needed_replicas(spans, 300.0)
    assert needed.value.tolist() == [1, 2, 3, 2, 1, 2, 3, 2, 1]


def test_a_load_that_starts_over_the_capacity_needs_replicas_from_its_start():
    """5/s throughout, with 3/s for one replica and 6/s for two: two are needed from 0 s to the end."""
    spans = needed_of_plan(planned(Constant(per_s=5.0, duration_s=60.0)), [exactly(3.0), exactly(6.0)])
    assert [(span.replicas, span.start.value, span.end) for span in spans] == [(2, 0.0, None)]
    assert needed_replicas(spans, 60.0).value.tolist() == [2.0]


def test_a_peak_within_the_interval_of_the_capacity_may_not_be_a_need():
    """A peak of 3/s and a capacity of 2.9/s that may be 3.2/s: the start has no upper bound before the end."""
    wave = Wave(trough_per_s=1.0, peak_per_s=3.0, period_s=100.0)
    (span,) = needed_of_plan(planned(wave), [Estimate(value=2.9, low=2.8, high=3.2)])
    assert span.end is not None
    assert span.start.low < span.start.value < span.start.high == span.end.value


def poisson(rate, length, seed):
    random = np.random.default_rng(seed)
    times = np.sort(random.uniform(0, length, random.poisson(20 * length)))
    return times[random.uniform(0, 20, len(times)) < rate(times)]


@pytest.mark.parametrize("load", [0.1, 0.45])
def test_a_constant_load_below_the_capacity_needs_one_replica(load):
    """0.5/s is carried; a constant 0.1/s or 0.45/s for 20 minutes never needs more."""
    for seed in range(10):
        due = poisson(lambda t: np.full(len(t), load), 1200, seed)
        needs = needed_of_arrivals(intensity(due, 1200), [exactly(0.5)])
        certain = [span for span in needs if span.start.high < 1200]
        assert not certain


def test_a_ramp_of_arrivals_is_crossed_within_its_interval():
    """1/s + 0.02/s² · t until 300 s crosses 4/s at 150 s: within the interval in at least 18 of 20 runs.

    The interval is the distance of the middles of the two segments around it, which a tenth of the ramp does not reach.
    """
    spans = []
    for seed in range(20):
        due = poisson(lambda t: 1 + 0.02 * t, 300, seed)
        spans.append(needed_of_arrivals(intensity(due, 300), [exactly(4.0)])[0])
    assert sum(span.start.low <= 150 <= span.start.high for span in spans) >= 18
    errors = [span.start.value - 150 for span in spans]
    assert np.sqrt(np.mean(np.square(errors))) < 25


def test_a_step_of_arrivals_has_a_narrow_interval():
    """2/s, then 6/s from 60 s on, with 4/s for one replica."""
    spans = [
        needed_of_arrivals(intensity(poisson(lambda t: np.where(t < 60, 2.0, 6.0), 120, seed), 120), [exactly(4.0)])[0]
        for seed in range(20)
    ]
    assert sum(span.start.low <= 60 <= span.start.high for span in spans) >= 18
    assert np.median([span.start.high - span.start.low for span in spans]) < 8
    assert all(span.end is None for span in spans)
