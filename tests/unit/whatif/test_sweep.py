"""Outcomes of setups, sweeps over settings, and HPAs that never settle."""

import math
from dataclasses import replace

import numpy as np
import pytest

from loadgen.autoscale.spec import DEFAULT_SCALE_DOWN, Behavior, HpaSpec, PodsMetric, Target
from loadgen.base.errors import SettingsError
from loadgen.whatif.cycle import limit_cycle
from loadgen.whatif.model import Load, MetricPath, Replicas
from loadgen.whatif.settings import Setup, Span
from loadgen.whatif.sweep import PHASES, combinations, outcome, percentile, possible, recommended, sweep

NEVER = replace(DEFAULT_SCALE_DOWN, select_policy="Disabled")
SETUP = Setup(
    replicas=Replicas(slots=1, create_s=0.0, loads_s=(10.0,)),
    path=MetricPath(scrape_s=1.0, window_s=10.0, sync_s=15.0),
    hpa=HpaSpec(
        min_replicas=1,
        max_replicas=4,
        metrics=(PodsMetric(name="r", target=Target(type="AverageValue", average_value_milli=500)),),
        behavior=Behavior(scale_down=replace(DEFAULT_SCALE_DOWN, stabilization_window_s=30)),
    ),
)
SPAN = Span(initial=1, begin_s=0.0, end_s=300.0)


def even(rate_per_s: float, until_s: float, service_s: float) -> Load:
    arrivals = np.arange(0.0, until_s, 1 / rate_per_s)
    services = np.full(len(arrivals), service_s)
    return Load(arrival_s=arrivals, service_s=services, first_token_s=services * 0.1)


def test_a_load_that_one_replica_carries_costs_one_replica() -> None:
    """1/s on a replica that completes 2/s: nothing waits, whatever the phase."""
    result = outcome(even(1.0, 300.0, 0.5), SETUP, SPAN, limit_s=1.0)
    for each in (result.ttft_p50_s, result.ttft_p95_s, result.ttft_p99_s):
        assert (each.best, each.worst) == pytest.approx((0.05, 0.05))
    assert result.slow_ratio.worst == result.rescales.worst == 0
    assert result.replica_hours.median == pytest.approx(300 / 3600)
    assert result.peak_replicas.worst == 1


def test_luck_is_the_spread_over_the_phases() -> None:
    """From 60 s on, 4/s on replicas of 2/s: the sync that sees the queue comes up to one sync period later."""
    step = even(4.0, 240.0, 0.5)
    load = Load(arrival_s=step.arrival_s + 60.0, service_s=step.service_s, first_token_s=step.first_token_s)
    growing = replace(SETUP, hpa=replace(SETUP.hpa, behavior=Behavior(scale_down=NEVER)))
    waits = outcome(load, growing, SPAN, limit_s=1.0).ttft_p99_s
    assert waits.best < waits.median < waits.worst
    # in a sync period of 15 s, 30 requests pile up that wait for half a second each; PHASES see 4/5 of it
    assert waits.worst - waits.best <= 30 * 0.5
    assert waits.worst - waits.best >= (PHASES - 1) / PHASES * 30 * 0.5 / 2


def test_percentiles_are_nearest_ranks() -> None:
    """They are values of the array, infinite ones included."""
    values = np.array([3.0, 1.0, math.inf, 2.0])
    assert [percentile(values, share) for share in (0.25, 0.5, 0.75, 0.76)] == [1.0, 2.0, 3.0, math.inf]
    assert percentile(np.empty(0), 0.5) == 0.0


def test_combinations_of_two_sweeps() -> None:
    """Every value of one with every value of the other, in order."""
    assert combinations(["hpa.target=0.1, 0.2", "hpa.max_replicas=3,4"]) == [
        ("hpa.target=0.1", "hpa.max_replicas=3"),
        ("hpa.target=0.1", "hpa.max_replicas=4"),
        ("hpa.target=0.2", "hpa.max_replicas=3"),
        ("hpa.target=0.2", "hpa.max_replicas=4"),
    ]
    with pytest.raises(SettingsError, match=r"hpa.target is swept twice"):
        combinations(["hpa.target=1", "hpa.target=2"])
    values = ",".join(str(number) for number in range(1, 27))
    with pytest.raises(SettingsError, match=r"the sweeps have 676 combinations: use at most 500"):
        combinations([f"hpa.max_replicas={values}", f"hpa.scale_down_window_s={values}"])


@pytest.mark.parametrize(
    ("sweeps", "message"),
    [
        (["hpa.target=,"], "the sweep 'hpa.target=,' has no value: write name=a,b,c"),
        (["hpa.target=0.1,0.2,0.1"], "the sweep of hpa.target has the value 0.1 more than once"),
        (["hpa.target=0.1..0.5"], "hpa.target=0.1..0.5: a sweep has single values and no ranges"),
        (["hpa.max_replicas=9-2"], "hpa.max_replicas=9-2: a sweep has single values and no ranges"),
        (["hpa.max_replicas=" + ",".join(map(str, range(1, 1001)))], "the sweeps have 1000 combinations"),
    ],
)
def test_a_wrong_sweep_is_one_sentence(sweeps: list[str], message: str) -> None:
    """It says what to write."""
    with pytest.raises(SettingsError, match=message):
        combinations(sweeps)


def test_a_million_combinations_are_refused_without_making_them() -> None:
    """Their number is known from those of the values."""
    values = ",".join(map(str, range(1, 1001)))
    with pytest.raises(SettingsError, match="the sweeps have 1000000 combinations: use at most 500"):
        combinations([f"hpa.max_replicas={values}", f"hpa.scale_down_window_s={values}"])


def test_combinations_that_cannot_be_are_left_out() -> None:
    """No metric at all, and a minimum above the maximum; each value is in another combination."""
    swept = combinations(
        ["hpa.target=none,1", "hpa.busy_target=none,0.6", "hpa.min_replicas=1,3", "hpa.max_replicas=2,4"]
    )
    changes, left_out = possible(SETUP, ["hpa.tolerance_up=0.2"], swept)
    assert len(changes) == 3 * 3
    assert len(left_out) == 16 - 9
    assert all(each[0] == "hpa.tolerance_up=0.2" for each in changes)
    assert left_out[0] == (
        "hpa.target=none, hpa.busy_target=none, hpa.min_replicas=1, hpa.max_replicas=2 is left out: "
        "hpa.target=none: the HPA would have no metric left: keep one"
    )
    assert possible(SETUP, [], combinations([])) == ([], [])


@pytest.mark.parametrize(
    ("fixed", "sweeps", "message"),
    [
        ([], ["hpa.target=1,x", "hpa.max_replicas=3,4"], "hpa.target=x: use a number"),
        ([], ["hpa.min_replicas=3", "hpa.max_replicas=2"], "minReplicas 3 is above maxReplicas 2"),
        (["hpa.target=1"], ["hpa.target=2,3"], "hpa.target is given twice"),
        (["hpa.target=x"], [], "hpa.target=x: use a number"),
    ],
)
def test_a_value_that_no_combination_can_have_is_an_error(fixed: list[str], sweeps: list[str], message: str) -> None:
    """It is wrong by itself."""
    with pytest.raises(SettingsError, match=message):
        possible(SETUP, fixed, combinations(sweeps))


def test_a_sweep_finds_the_cheapest_setup_that_keeps_the_limit() -> None:
    """3/s from the beginning needs two replicas: one never suffices, three cost more."""
    load = even(3.0, 300.0, 0.5)
    span = replace(SPAN, initial=2)
    changes = [[f"hpa.min_replicas={count}", f"hpa.max_replicas={count}"] for count in (1, 2, 3)]
    variants = sweep(load, SETUP, span, 0.2, changes)
    assert [each.changes for each in variants] == [(), *map(tuple, changes)]
    best = recommended(variants, 0.2)
    assert best is variants[2]
    assert best.efficient
    assert not variants[3].efficient
    assert best.outcome.replica_hours.median == pytest.approx(600 / 3600)
    assert recommended(variants[1:2], 0.2) is None


def test_an_hpa_on_a_ratio_alone_never_settles() -> None:
    """At 3/s two replicas of 2/s have no queue: a ratio of 0 takes one away, the queue of the other brings it back."""
    service = np.full(50, 0.5)
    cycle = limit_cycle(SETUP, service, service * 0.1, rate_per_s=3.0)
    assert cycle is not None
    assert cycle.low == 1
    assert cycle.high >= 2
    # one cycle needs the window of scale-downs and a start, at least
    assert cycle.period_s >= 30.0 + 10.0
    # what one replica carries does not move it, and without scale-downs it settles
    assert limit_cycle(SETUP, service, service * 0.1, rate_per_s=0.2) is None
    growing = replace(SETUP, hpa=replace(SETUP.hpa, behavior=Behavior(scale_down=NEVER)))
    assert limit_cycle(growing, service, service * 0.1, rate_per_s=3.0) is None
