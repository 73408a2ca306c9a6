"""What the ratio that the HPA read differs from the truth by, in simulated runs whose causes are known.

The expected parts are sums over the simulated requests that finished between the scrapes at the ends of a window.
"""

import math
from functools import cache
from statistics import fmean, median

import pytest

from support.runs.synthetic import ENGINE, PLANS, UNREACHED, Plan, analysis, simulate
from support.runs.synthetic.plan import RATE_WINDOW_S
from support.runs.synthetic.replica import HAND_OFF_S, NETWORK_S
from support.runs.synthetic.simulation import FIRST_SCRAPE_S

BLIND, SCALED = PLANS["blind"], PLANS["failing"]
ORDER = [
    "completion delay",
    "engine wait",
    "mean of ratios",
    "missing series",
    "stale values",
    "sum over models",
    "floor in divisor",
    "not attributed",
]


def parts(plan: Plan) -> dict[str, float | None]:
    made = analysis(plan).signal
    assert made is not None
    assert [each.name for each in made.causes] == ORDER
    return {each.name: each.mean for each in made.causes}


def scraped(t_s: float) -> float:
    """The last scrape until then."""
    return FIRST_SCRAPE_S + math.floor(t_s - FIRST_SCRAPE_S + 1e-9)


class Window:
    """What the counters of a plan with waits in the engine, or in Triton, show of the window before a time."""

    def __init__(self, plan: Plan, t_s: float) -> None:
        since, until = scraped(t_s - RATE_WINDOW_S), scraped(t_s)
        self.ended = [
            each
            for each in simulate_once(plan).requests
            if each.outcome == "ok" and since < float(each.tokens_s[-1]) <= until
        ]
        self.wait_s = sum(each.start_s - each.sent_s - NETWORK_S for each in self.ended)
        self.work_s = sum(float(each.tokens_s[-1]) - each.start_s for each in self.ended)

    @property
    def ratio(self) -> float:
        """Waits over work, wherever requests waited."""
        return self.wait_s / self.work_s if self.work_s else math.nan

    @property
    def as_counted(self) -> float:
        """What Triton counts if only the hand-over to the engine is queue."""
        queue = HAND_OFF_S * len(self.ended)
        return queue / (self.wait_s - queue + self.work_s) if self.work_s else math.nan


@cache
def simulate_once(plan):
    return simulate(plan)


def judged(plan: Plan) -> list[float]:
    """The syncs with a value and with completions in the window, then and one median E2E later."""
    truth, delay = simulate_once(plan), delay_s(plan)
    times = [each.t_s for each in truth.syncs if 0 <= each.t_s <= truth.end_s and each.ratio is not None]
    return [t for t in times if Window(plan, t).work_s and Window(plan, t + delay).work_s]


def delay_s(plan: Plan) -> float:
    ok = [each for each in simulate_once(plan).requests if each.outcome == "ok"]
    return median(float(each.tokens_s[-1]) - each.due_s for each in ok)


def test_the_wait_inside_the_engine_is_what_triton_books_as_compute():
    """One replica, so there is nothing else but the delay; windows of the client are up to a scrape newer: 10 %."""
    found, times = parts(ENGINE), judged(ENGINE)
    expected = fmean(Window(ENGINE, t).as_counted - Window(ENGINE, t).ratio for t in times)
    assert expected < -5
    assert found["engine wait"] == pytest.approx(expected, rel=0.1)
    delay = fmean(Window(ENGINE, t).ratio - Window(ENGINE, t + delay_s(ENGINE)).ratio for t in times)
    assert found["completion delay"] == pytest.approx(delay, rel=0.1)
    rest = ("mean of ratios", "missing series", "stale values", "floor in divisor", "not attributed")
    assert [found[name] for name in rest] == pytest.approx([0.0] * 5, abs=0.002)
    assert found["sum over models"] is None


def test_replicas_that_nothing_reaches_pull_the_mean_down():
    """The first replica does all the work: with n serving, the mean is 1/n of its ratio."""
    found, truth = parts(UNREACHED), simulate_once(UNREACHED)
    expected = []
    for t in judged(UNREACHED):
        ratio = Window(UNREACHED, t).ratio
        serving = sum(each.ready_s <= t < each.draining_s for each in truth.replicas)
        expected.append(ratio / serving - ratio)
    assert fmean(expected) < -1
    assert found["mean of ratios"] == pytest.approx(fmean(expected), rel=0.02)
    assert found["engine wait"] is None
    assert found["not attributed"] == pytest.approx(0.0, abs=0.002)


def test_a_rule_that_records_nothing_is_not_attributed():
    """The recorded ratio is always 0: all that the counters show is missing, and no other cause explains it."""
    found = parts(BLIND)
    expected = -fmean(Window(BLIND, t).ratio for t in judged(BLIND))
    assert expected < -1
    assert found["not attributed"] == pytest.approx(expected, rel=0.02)
    assert found["mean of ratios"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("plan", [ENGINE, UNREACHED, BLIND, SCALED], ids=lambda plan: plan.name)
def test_the_parts_add_up_to_the_whole(plan):
    """Ratio as read (in milli) minus the ratio of what was in the system."""
    read = {each.t_s: int(each.ratio * 1000) / 1000 for each in simulate_once(plan).syncs if each.ratio is not None}
    times = judged(plan)
    whole = fmean(read[t] - Window(plan, t + delay_s(plan)).ratio for t in times)
    assert sum(each for each in parts(plan).values() if each is not None) == pytest.approx(whole, rel=0.1, abs=0.05)


def test_the_engine_times_of_the_folder_are_those_of_the_simulation():
    """Services are measured then: four slots of 1.19 s, 3.35/s; 4 % is three standard errors of 690 services."""
    demand = analysis(ENGINE).demand
    assert demand.service_method == "measured"
    services = [
        float(each.tokens_s[-1]) - each.start_s for each in simulate_once(ENGINE).requests if each.outcome == "ok"
    ]
    assert demand.capacity is not None
    assert demand.capacity.value == pytest.approx(ENGINE.slots / fmean(services), rel=0.04)
