"""Correlation at the lag with the highest value."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.correlation import correlate

WAVE = 1 + np.sin(np.arange(300) / 20)


def test_a_delayed_copy_is_found_at_its_delay():
    """y(t) = x(t − 17): r = 1 at lag 17, from the 283 pairs that are left."""
    late = np.concatenate((np.full(17, np.nan), WAVE[:-17]))
    made = correlate("x", WAVE, "y", late)
    assert made.lag_s == 17.0
    assert made.coefficient == pytest.approx(1.0)
    assert made.samples == 283


def test_scale_and_offset_do_not_matter():
    """Pearson's r is about shape."""
    assert correlate("x", WAVE, "y", 3 + 2 * WAVE).coefficient == pytest.approx(1.0)


def test_missing_values_are_dropped_in_pairs():
    """Half of y is missing: half of the pairs are left, and they still agree."""
    holes = WAVE.copy()
    holes[::2] = math.nan
    made = correlate("x", WAVE, "y", holes)
    assert (made.lag_s, made.samples) == (0.0, 150)


def test_a_series_that_never_changes_has_no_correlation():
    """The value is missing with a reason and not 0."""
    made = correlate("x", WAVE, "y", np.full(300, 2.0))
    assert made.coefficient is None
    assert made.lag_s is None
    assert made.why_missing == "one of the two never changed"


def test_too_few_pairs_are_no_evidence():
    """29 seconds are not 30."""
    made = correlate("x", WAVE[:29], "y", WAVE[:29])
    assert made.coefficient is None
    assert "29 seconds" in str(made.why_missing)


def test_a_lag_may_not_drop_more_than_half_of_the_series():
    """A copy that is 65 s late in 100 s agrees in 35 pairs: that may be chance, and 50 s is the longest lag."""
    late = np.concatenate((np.cos(np.arange(65) * 7.0), WAVE[:35]))
    lag = correlate("x", WAVE[:100], "y", late).lag_s
    assert lag is not None
    assert abs(lag) <= 50


def test_an_early_copy_has_a_negative_lag():
    """y(t) = x(t + 12): y leads x by 12 s."""
    early = np.concatenate((WAVE[12:], np.full(12, np.nan)))
    made = correlate("x", WAVE, "y", early)
    assert (made.lag_s, made.samples) == (-12.0, 288)
    assert made.coefficient == pytest.approx(1.0)


def test_the_same_series_have_the_same_threshold():
    """The draws have a fixed seed."""
    noise = np.random.default_rng(3).standard_normal((2, 200))
    first, second = (correlate("x", noise[0], "y", noise[1]) for _ in range(2))
    assert first == second
    assert first.threshold is not None
    assert first.significant == (abs(first.coefficient or 0.0) > first.threshold)


def test_a_series_that_only_varies_where_the_other_is_missing_has_no_correlation():
    """x is 0 except for one second at which y is missing."""
    x, y = np.zeros(100), np.random.default_rng(1).standard_normal(100)
    x[50], y[50] = 1.0, math.nan
    assert correlate("x", x, "y", y).why_missing == "one of the two never changed"


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=30, max_size=80))
def test_a_coefficient_is_within_minus_one_and_one(pairs):
    """And the samples are at least 30."""
    x, y = np.array(pairs).T
    made = correlate("x", x, "y", y)
    if made.coefficient is not None:
        assert -1 <= made.coefficient <= 1
        assert made.threshold is not None
        assert 0 <= made.threshold <= 1
        assert made.samples >= 30
    else:
        assert made.why_missing
