"""Percentiles by nearest rank."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.stats import quantile, stats

values = st.lists(st.floats(0, 1e6) | st.just(math.inf), min_size=1, max_size=200).map(np.array)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.50, 10.0),  # ceil(0.50 · 20) = 10th smallest
        (0.90, 18.0),
        (0.95, 19.0),  # 0.95 · 20 = 19 exactly
        (0.99, 20.0),  # ceil(19.8) = 20
        (1.00, 20.0),
    ],
)
def test_a_percentile_is_the_smallest_value_that_this_share_does_not_exceed(share, expected):
    """Of 1 … 20, each percentile is the value at rank ceil(share · 20)."""
    shuffled = np.random.default_rng(1).permutation(np.arange(1.0, 21.0))
    assert quantile(shuffled, share) == expected


def test_a_percentile_is_infinite_when_more_values_are_infinite_than_it_allows():
    """1 of 20 is 5 %: p95 is still measured; 2 of 20 are more: p95 is infinite, p90 is not."""
    one, two = np.arange(1.0, 21.0), np.arange(1.0, 21.0)
    one[-1:] = math.inf
    two[-2:] = math.inf
    assert quantile(one, 0.95) == 19.0
    assert quantile(two, 0.95) == math.inf
    assert quantile(two, 0.90) == 18.0


def test_statistics_skip_missing_values():
    """NaN counts nowhere."""
    made = stats(np.array([math.nan, 3.0, 1.0, math.nan, 2.0]))
    assert (made.count, made.mean, made.p50, made.max) == (3, 2.0, 2.0, 3.0)


def test_statistics_without_values_are_missing_and_not_zero():
    """The count is 0, and all other fields are None."""
    made = stats(np.array([math.nan]))
    assert made.count == 0
    assert {made.mean, made.p50, made.p90, made.p95, made.p99, made.max} == {None}


@given(values)
def test_percentiles_rise_with_their_share_and_are_measured_values(numbers):
    """p50 ≤ p90 ≤ p95 ≤ p99 ≤ max, each one of the values."""
    made = stats(numbers)
    found = [made.p50, made.p90, made.p95, made.p99, made.max]
    assert found == sorted(found)
    assert set(found) <= set(numbers.tolist())
    assert made.max == numbers.max()


@given(values, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_at_least_the_share_is_within_a_percentile_and_no_smaller_value_has_that(numbers, share):
    """The definition itself."""
    limit = quantile(numbers, share)
    assert (numbers <= limit).mean() >= share - 1e-9
    assert (numbers < limit).mean() < share
