"""The plan: every arrival belongs to one process, and there are enough users for all arrivals."""

import numpy as np
import pytest

from loadgen.load.plan import SPARE_USERS, LoadPlan
from loadgen.scenario.rates import Constant, Wave
from loadgen.scenario.settings import Scenario

WAVES = Scenario(name="waves", load=Wave(trough_per_s=0.5, peak_per_s=8, period_s=150, cycles=2))


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_shares_are_a_partition(workers: int) -> None:
    """Every arrival belongs to exactly one process."""
    plan = LoadPlan(WAVES)
    numbers = [n for worker in range(workers) for n in plan.share(worker, workers)]
    assert sorted(numbers) == list(range(len(plan)))


def test_users_cover_the_worst_case() -> None:
    """At an even 10/s with a 3 s time-out, any closed window of 3 s has 31 arrivals: 31 users plus the spare ones."""
    scenario = Scenario(name="x", load=Constant(per_s=10, duration_s=60), arrivals="even", request_timeout_s=3.0 + 1e-6)
    assert LoadPlan(scenario).users(workers=1) == 31 + SPARE_USERS
    # two processes: every second arrival, 16 within 3 s each
    assert LoadPlan(scenario).users(workers=2) == 2 * (16 + SPARE_USERS)


def test_plans_are_equal_in_every_process() -> None:
    """Two plans of the same settings hold the same times and prompts."""
    one, two = LoadPlan(WAVES), LoadPlan(WAVES.model_copy())
    assert np.array_equal(one.due_s, two.due_s)
    assert one.arrival(17) == two.arrival(17)
