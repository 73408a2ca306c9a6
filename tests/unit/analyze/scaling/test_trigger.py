"""When the load crossed the capacity of a number of replicas."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analyze.scaling.trigger import load_fell, load_rose


def steady(rate, start, end):
    return np.arange(start, end, 1 / rate)


STEP = np.concatenate((steady(1, 0, 60), steady(5, 60, 120)))
FALL = np.concatenate((steady(5, 0, 60), steady(1, 60, 120)))


def test_a_step_of_the_load_is_found_to_the_request():
    """1/s until 60 s, then 5/s, and 2/s are carried: the step is the request due at 60 s."""
    assert load_rose(STEP, 2.0, 0.0, 75.0, 80.0) == 60.0


def test_a_burst_that_is_worked_off_is_not_a_step():
    """Ten requests at once at 20 s are worked off until 40 s; the step at 60 s stays the step."""
    burst = np.sort(np.concatenate((STEP, np.linspace(20.0, 20.5, 10))))
    assert load_rose(burst, 2.0, 0.0, 75.0, 80.0) == 60.0


def test_a_load_that_starts_too_high_is_a_step_at_the_start():
    """5/s from the first request on."""
    assert load_rose(FALL, 2.0, 0.0, 10.0, 12.0) == 0.0


def test_no_step_when_the_load_stayed_below():
    """1/s against 2/s: the scale-up came ahead of the load."""
    assert load_rose(STEP, 2.0, 0.0, 50.0, 50.0) is None


def test_a_step_may_be_proven_after_the_ratio_crossed_its_target():
    """The target is crossed at 60.3 s, hardly too much having come: the next seconds prove it."""
    assert load_rose(STEP, 2.0, 0.0, 60.3, 60.3) is None
    assert load_rose(STEP, 2.0, 0.0, 60.3, 70.0) == 60.0


def test_a_surge_that_is_over_is_still_a_step():
    """5/s from 60 s to 70 s, 1/s before and long after, 2/s carried: 30 too many, whatever comes later."""
    hump = np.concatenate((steady(1, 0, 60), steady(5, 60, 70), steady(1, 70, 200)))
    assert load_rose(hump, 2.0, 0.0, 62.0, 200.0) == 60.0


def test_no_step_without_requests():
    """Nothing was due."""
    assert load_rose(np.empty(0), 2.0, 0.0, 5.0, 5.0) is None
    assert load_rose(STEP, 2.0, 300.0, 305.0, 305.0) is None


def test_the_step_is_at_the_latest_when_the_ratio_crossed_its_target():
    """A queue is proof: with 3/s carried wrongly known as 6/s … the crossing bounds the step."""
    assert load_rose(STEP, 2.0, 0.0, 58.5, 80.0) == 58.0
    assert load_rose(np.array([50.0, 50.1, 50.2]), 1.0, 0.0, 40.0, 50.5) == 40.0


def test_a_fall_of_the_load_is_found_to_the_request():
    """5/s until 60 s, then 1/s, and 2/s are carried: the last fast request was due at 59.8 s … the next at 60 s."""
    found = load_fell(FALL, 2.0, 0.0, 100.0)
    assert found is not None
    assert abs(found - 60.0) <= 0.2


def test_no_fall_while_the_load_is_still_above():
    """A decision at 50 s, with 5/s still coming."""
    assert load_fell(FALL, 2.0, 0.0, 50.0) is None


def test_a_load_that_was_below_from_the_start_fell_at_the_start():
    """1/s since the scale-up at 0: the surplus was there from then on."""
    assert load_fell(STEP, 2.0, 0.0, 50.0) == 0.0


@given(
    st.integers(5, 50),
    st.integers(2, 6),
    st.integers(1, 4),
    st.integers(-50, 50),
)
def test_the_step_moves_with_the_time_axis_and_lies_between_start_and_decision(step_s, fast, carried, shift):
    """Shifting all times shifts the answer; the answer is a due time in the span."""
    due = np.concatenate((np.arange(0.0, step_s, 1.0), step_s + np.arange(0, 20, 1 / 2**fast)))
    end = float(step_s + 20)
    found = load_rose(due, carried + 0.5, 0.0, end, end)
    moved = load_rose(due + shift, carried + 0.5, float(shift), end + shift, end + shift)
    assert (found is None) == (moved is None)
    if found is not None and moved is not None:
        assert moved == found + shift
        assert 0.0 <= found <= end
