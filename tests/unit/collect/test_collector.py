"""The deadlines of the loop."""

import math

from hypothesis import example, given
from hypothesis import strategies as st

from loadgen.collect.collector import next_deadline


@given(start_s=st.floats(0, 1e6), later_s=st.floats(0, 1e5))
@example(start_s=31072.173838532894, later_s=100000.0)  # the sum is rounded down to now
def test_deadlines_lie_on_a_fixed_grid_ahead(start_s: float, later_s: float) -> None:
    """The next pass is at most one period away, a whole number of periods from the start, however long a pass took."""
    now_s = start_s + later_s
    deadline_s = next_deadline(start_s, now_s, 1.0)
    assert now_s < deadline_s <= now_s + 1.0 + 1e-6
    assert math.isclose((deadline_s - start_s) % 1.0, 0.0, abs_tol=1e-6) or (deadline_s - start_s) % 1.0 > 1 - 1e-6


def test_missed_deadlines_are_skipped() -> None:
    """A pass of 3.5 periods costs three passes, and the next one is on the grid again."""
    # started at 100, now 104.5: 101 … 104 are missed, 105 is next
    assert next_deadline(100.0, 104.5, 1.0) == 105.0
