"""What the sentences about other fleets claim, and where GPUs and prices come from."""

import pytest

from loadgen.analyze.cost.cost import cost, met_latency_limits
from loadgen.analyze.cost.pricing import prices
from loadgen.analyze.findings import codes
from loadgen.analyze.results import Attribution, CostAlternative, Demand, SmallestFleet
from loadgen.analyze.scaling.replicas import fleet
from loadgen.scenario.settings import Pricing
from support.runs.tables import info, life, observed, rescale

ONE_AND_A_HALF = [*life("a", -9, -5), rescale(20, 1, 2), *life("b", 20, 25, 45, 50)]
"""90 replica-seconds in 60 s."""


def conclusion(kind: str, demand: Demand, *, met: bool | None = None, limits: bool = True) -> CostAlternative:
    run = observed(info(limits=(("ttft", "p95", 1.0),) if limits else ()), events=ONE_AND_A_HALF)
    made = cost(run, fleet(run), demand, met=met)
    (found,) = [each for each in made.alternatives if each.kind == kind]
    return found


def attributed(*, conclusive: bool) -> Attribution:
    return Attribution(slow=30, by_lag=0, otherwise=30 if conclusive else 20, unexplained=10, conclusive=conclusive)


def test_a_cheaper_fleet_that_keeps_the_limit() -> None:
    """One replica for 60 s instead of 90 replica-seconds: a third less."""
    found = conclusion("smallest_fixed_fleet", Demand(smallest=SmallestFleet(replicas=1, low=1, high=1)), met=False)
    assert found.meets_limits is True
    assert found.conclusion == (
        "A fixed fleet of 1 would have cost 33 % less (0.00833 replica-hours) and met the limit on TTFT, which this "
        "run missed, by a replay of this run."
    )


def test_an_interval_that_spans_the_cost_of_the_run_is_too_close_to_call() -> None:
    """One replica is cheaper than this run, and two, which the load may need, are not."""
    found = conclusion("smallest_fixed_fleet", Demand(smallest=SmallestFleet(replicas=1, low=1, high=2)))
    assert "1 to 2 replicas, so which of the two is cheaper is too close to call" in found.conclusion
    within = conclusion("smallest_fixed_fleet", Demand(smallest=SmallestFleet(replicas=3, low=2, high=3)))
    assert "too close" not in within.conclusion


def test_a_replay_that_does_not_explain_the_run_meets_nothing() -> None:
    """With 10 of 30 slow requests unexplained, no fleet is said to meet the limit, and no price of tokens on one."""
    demand = Demand(smallest=SmallestFleet(replicas=1, low=1, high=1), attribution=attributed(conclusive=False))
    found = conclusion("smallest_fixed_fleet", demand)
    assert found.meets_limits is None
    assert "is not known: the replay does not explain 10 of 30 slow requests" in found.conclusion
    assert conclusion("static_peak", demand).meets_limits is None
    certain = Demand(smallest=demand.smallest, attribution=attributed(conclusive=True))
    assert conclusion("smallest_fixed_fleet", certain).meets_limits is True


@pytest.mark.parametrize(
    ("smallest", "expected"), [((2, 1, 2), True), ((2, 2, 3), None), ((3, 2, 3), None), ((4, 3, 4), False)]
)
def test_the_static_peak_is_judged_by_the_interval_of_the_smallest_fleet(
    smallest: tuple[int, int, int], expected: bool | None
) -> None:
    """Two were desired at most."""
    replicas, low, high = smallest
    demand = Demand(smallest=SmallestFleet(replicas=replicas, low=low, high=high))
    assert conclusion("static_peak", demand).meets_limits is expected


def test_without_a_limit_nothing_is_met() -> None:
    """The fleet carries the rate, and that is all."""
    found = conclusion("smallest_fixed_fleet", Demand(smallest=SmallestFleet(replicas=1, low=1, high=1)), limits=False)
    assert found.meets_limits is None
    assert "no limit on TTFT or E2E is set" in found.conclusion


def test_whether_the_run_met_its_limits() -> None:
    """Only limits on TTFT and E2E count; one that cannot be judged leaves it open."""
    ttft, itl = codes.SLO["ttft", "p95"], codes.SLO["itl", "p95"]
    passed = ttft.finding(measured=1.0, limit=2.0, advice="", passed=True)
    failed = itl.finding(measured=1.0, limit=0.1, advice="")
    assert met_latency_limits([passed, failed]) is True
    assert met_latency_limits([failed]) is None
    assert met_latency_limits([passed, ttft.finding(measured=3.0, limit=2.0, advice="")]) is False
    assert met_latency_limits([passed, ttft.finding(measured=None, limit=2.0, advice="", severity="invalid")]) is None


@pytest.mark.parametrize(
    "damaged",
    ["2 GPUs", 3, {"per_gpu_hour": -1}, {"per_gpu_hour": "NaN"}, {"gpus_per_replica": 1.5}, {"price": 1}, {3: 1}],
)
def test_damaged_prices_of_a_folder_are_no_prices(damaged: object) -> None:
    """The rest of the report does not depend on them."""
    assert prices(info(settings={"pricing": damaged})).gpus_per_replica is None


def test_flags_replace_single_values() -> None:
    """A price of a flag goes with the GPUs of the setting."""
    about = info(settings={"pricing": {"per_gpu_hour": 1.0, "currency": "EUR", "gpus_per_replica": 2}})
    found = prices(about, Pricing(per_gpu_hour=4.0))
    assert (found.per_gpu_hour, found.currency, found.gpus_per_replica, found.gpu_source) == (4.0, "EUR", 2, "setting")
    assert prices(about, Pricing(currency="GBP")).currency == "GBP"
    assert found.charge(1800.0).amount == 4.0
