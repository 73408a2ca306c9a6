"""The offered rate from arrivals: changes that chance makes are not told, real ones are, with their interval."""

import numpy as np
import pytest

from loadgen.analyze.demand.intensity import FALSE_ALARM_RATIO, highest_ratio, intensity, threshold


def poisson(rate, length, seed):
    """Arrivals of a rate that is a function of time with at most 20/s, by thinning."""
    random = np.random.default_rng(seed)
    times = np.sort(random.uniform(0, length, random.poisson(20 * length)))
    return times[random.uniform(0, 20, len(times)) < rate(times)]


def constant(rate, length, seed):
    return poisson(lambda t: np.full(len(t), rate), length, seed)


@pytest.mark.parametrize(("rate", "length"), [(0.1, 600), (0.5, 600), (4.5, 300)])
def test_a_constant_rate_shows_no_change(rate, length):
    """Forty runs at a false-alarm rate of 1 %: with three or more alarms the rate would be wrong (chance 0.8 %)."""
    made = [intensity(constant(rate, length, seed), length) for seed in range(40)]
    assert sum(len(each.changes) > 0 for each in made) <= 2


@pytest.mark.parametrize("count", [20, 50, 200])
def test_the_threshold_is_that_of_simulations_without_a_change(count):
    """Of 300 constant rates, about `FALSE_ALARM_RATIO` exceed it: 3 ± 1.7, so at most 9."""
    random = np.random.default_rng(count)
    ratios = [highest_ratio(np.sort(random.uniform(0, 1, count)), 1.0) for _ in range(300)]
    assert sum(ratio > threshold(count) for ratio in ratios) <= 300 * FALSE_ALARM_RATIO + 6
    assert threshold(count) < 2 * np.quantile(ratios, 0.95)  # not so high that it tells nothing


def test_a_step_is_found_where_it_is():
    """2/s, then 6/s from 60 s on: one change; its 95 % interval contains the truth in at least 18 of 20 runs."""
    made = [intensity(poisson(lambda t: np.where(t < 60, 2.0, 6.0), 120, seed), 120) for seed in range(20)]
    assert [len(each.changes) for each in made].count(1) >= 19
    found = [each.changes[0] for each in made]
    assert sum(each.low <= 60 <= each.high for each in found) >= 18
    assert max(each.high - each.low for each in found) < 15
    for each in made:
        assert each.segments[0].rate.low < each.segments[0].rate.value < each.segments[0].rate.high


def test_even_arrivals_are_exact():
    """Every half second until 60 s, then every sixth of a second until 120 s, then every second."""
    due = np.concatenate((np.arange(120) / 2, 60 + np.arange(360) / 6, 120 + np.arange(60.0)))
    made = intensity(due, 180.0)
    assert [round(each.rate.value, 1) for each in made.segments] == [2.0, 6.0, 1.0]
    assert made.changes[0].value == pytest.approx(60, abs=0.5)
    assert made.changes[1].value == pytest.approx(120, abs=0.2)


def test_a_short_peak_is_found():
    """1/s with 10/s from 300 to 320 s in ten minutes."""
    made = intensity(poisson(lambda t: np.where((t >= 300) & (t < 320), 10.0, 1.0), 600, 4), 600)
    assert len(made.changes) == 2
    assert made.changes[0].low <= 300 <= made.changes[0].high
    assert made.changes[1].low <= 320 <= made.changes[1].high


def test_arrivals_of_a_ramp_lean_to_its_end():
    """A trend is a standard normal for a constant rate, and large on a ramp from 0 to 10/s."""
    (ramp, *_) = intensity(poisson(lambda t: t / 10, 100, 1)[:40], 100).segments
    assert ramp.trend != 0
    flat = [intensity(constant(5, 100, seed), 100).segments[0].trend for seed in range(20)]
    assert abs(np.mean(flat)) < 1
    assert max(map(abs, flat)) < 4


@pytest.mark.parametrize("due", [[], [3.0], [3.0] * 50])
def test_few_or_simultaneous_arrivals(due):
    """No arrivals, one, and fifty at the same time, which is a change before and after."""
    made = intensity(np.array(due), 10.0)
    assert len(made.segments) == len(made.changes) + 1
    assert sum(each.rate.value * (each.end_s - each.start_s) for each in made.segments) == pytest.approx(len(due))
