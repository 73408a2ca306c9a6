"""Step functions."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.steps import Step, count, runs


def test_a_count_goes_up_and_down_at_the_edges_of_its_intervals():
    """[1, 4) and [2, ∞) from 0: 0, 1, 2, then 1 for ever; unknown before."""
    step = count([(1.0, 4.0), (2.0, math.inf)], since_s=0.0)
    at = step.at(np.array([-0.5, 0.0, 1.0, 1.9, 2.0, 3.9, 4.0, 1e9]))
    assert np.isnan(at[0])
    assert at[1:].tolist() == [0, 1, 1, 2, 2, 1, 1]


def test_two_changes_at_one_time_are_one_step():
    """A replica that ends when another begins leaves the count as it is."""
    step = count([(0.0, 5.0), (5.0, 9.0)], since_s=0.0)
    assert step.at(np.array([4.9, 5.0, 8.9, 9.0])).tolist() == [1, 1, 1, 0]
    assert len(set(step.t_s.tolist())) == len(step.t_s)


def test_a_function_without_steps_is_unknown_everywhere():
    """A step function without a step has no value."""
    assert np.isnan(Step(np.empty(0), np.empty(0)).at(np.array([0.0, 1.0]))).all()


def test_the_values_within_a_span_come_with_their_durations():
    """1 on [0, 3), 2 on [3, 5), 1 from 5: in [2, 6] they hold for 1, 2 and 1 s."""
    values, seconds = Step(np.array([0.0, 3.0, 5.0]), np.array([1.0, 2.0, 1.0])).within(2.0, 6.0)
    assert values.tolist() == [1, 2, 1]
    assert seconds.tolist() == [1, 2, 1]


def test_runs_are_the_maximal_spans_of_true():
    """First and last index of each, both included."""
    assert runs(np.array([True, True, False, True, False, False, True])) == [(0, 1), (3, 3), (6, 6)]
    assert runs(np.zeros(3, dtype=bool)) == []


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=12))
def test_the_area_below_a_count_is_the_sum_of_its_intervals(pairs):
    """Σ value · duration equals Σ length, whatever overlaps."""
    intervals = [(float(min(pair)), float(max(pair))) for pair in pairs]
    values, seconds = count(intervals, since_s=0.0).within(0.0, 50.0)
    assert float(values @ seconds) == sum(end - start for start, end in intervals)
