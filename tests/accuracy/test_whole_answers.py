"""Runs without streaming: what the client does not see of a service follows from the lengths of the answers."""

import pytest

from support.runs.synthetic import PLANS, sample

PLAN = PLANS["no-streaming"]
MEAN_SERVICE_S = PLAN.prefill_s + 144.5e-4 + 39 * PLAN.step_s * 1.025
"""32 … 256 input and 16 … 64 output tokens, of which all but the first take a step of 0.85 … 1.2 of the mean each."""


def test_the_capacity_is_that_of_the_plan():
    """Four slots of 1.19 s complete 3.35/s.

    691 services with a coefficient of variation of 0.35 have a standard error of 1.3 %; 4 % is three of them.
    """
    demand = sample("no-streaming").demand
    truth = PLAN.slots / MEAN_SERVICE_S
    assert demand.slots == PLAN.slots
    assert demand.capacity is not None
    assert demand.capacity.low <= truth <= demand.capacity.high
    assert demand.capacity.value == pytest.approx(truth, rel=0.04)
