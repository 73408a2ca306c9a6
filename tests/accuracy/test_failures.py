"""Causes of failed requests in simulated runs, in which the simulation knows what happened to each of them."""

from collections import Counter

import pytest

from support.runs.synthetic import PLANS, sample, simulate

CAUSES = {
    "CANCELLED: stream ended without a final answer": "scale_down",
    "UNAVAILABLE: connection reset": "replica_lost",
    "UNAVAILABLE: exceeds maximum queue size": "overload",
    "no last token after 30 s": "overload",
    "UNAVAILABLE: no healthy upstream": "gateway",
    "empty answer": "not_attributed",
}
"""What the simulation did when it gave a request this cause: it never times out without a queue."""


@pytest.mark.parametrize("name", ["cut-on-drain", "crash", "no-first-token", "failing", "blind"])
def test_the_causes_are_those_of_the_simulation(name):
    """Exact: the simulation cuts streams only when it drains, resets only when it crashes, and so on."""
    truth = simulate(PLANS[name])
    expected = Counter(CAUSES[request.cause] for request in truth.requests if request.outcome != "ok")
    found = sample(name).failures
    assert {cause: count for cause, count in found.causes.items() if count} == dict(expected)
    assert found.failed == sum(expected.values()) == sample(name).whole.failed


def test_what_a_scale_down_cut_is_counted_in_its_window():
    """All cut streams of the run with broken drains are in windows of scale-downs."""
    made = sample("cut-on-drain")
    cut = sum(
        each.causes["scale_down"]
        for each in made.failures.windows
        if each.event is not None and made.scaling[each.event].direction == "down"
    )
    assert cut == made.failures.causes["scale_down"] > 0
