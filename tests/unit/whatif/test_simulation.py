"""The closed loop of load, replicas and HPA, compared with code that shares nothing with it and with formulas."""

import heapq
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.autoscale.spec import DEFAULT_SCALE_DOWN as SCALE_DOWN
from loadgen.autoscale.spec import Behavior, HpaSpec, PodsMetric, ResourceMetric, ScalingRules, Target
from loadgen.whatif.model import Load, MetricPath, Replicas
from loadgen.whatif.simulation import Simulated, simulate
from support.runs.synthetic import PLANS
from support.runs.synthetic import simulate as simulate_plan
from support.runs.synthetic.plan import SCALE_DOWN_WINDOW_S, START_UP_S, SYNC_PERIOD_S, Plan
from support.runs.synthetic.replica import NETWORK_S
from support.runs.synthetic.simulation import FIRST_CREATED_S, FIRST_SCRAPE_S, FIRST_SYNC_S, REACTION_S, Truth

PATH = MetricPath(scrape_s=1.0, window_s=10.0, sync_s=15.0)
IMMEDIATE = Replicas(slots=1)


def hpa(low: int, high: int, target: float, *, window_s: int = 300, rules: ScalingRules = SCALE_DOWN) -> HpaSpec:
    metric = PodsMetric(name="ratio", target=Target(type="AverageValue", average_value_milli=round(target * 1000)))
    behavior = Behavior(scale_down=replace(rules, stabilization_window_s=window_s))
    return HpaSpec(min_replicas=low, max_replicas=high, metrics=(metric,), behavior=behavior)


def load(arrival_s: list[float], service_s: float | list[float]) -> Load:
    services = np.full(len(arrival_s), service_s) if isinstance(service_s, float) else np.array(service_s)
    return Load(arrival_s=np.array(arrival_s, dtype=float), service_s=services, first_token_s=services / 2)


def fixed(each: Load, slots: int, count: int, **settings: object) -> Simulated:
    last_s = float(each.arrival_s[-1]) + 1.0
    replicas = Replicas(slots=slots, **settings)  # type: ignore[arg-type]
    return simulate(each, replicas, PATH, None, initial=count, begin_s=0.0, end_s=last_s)


def closed_loop(plan: Plan, truth: Truth) -> Simulated:
    """The plan of a synthetic run in the simulation under test: same arrivals, services, phases and settings."""
    services = np.array([float(each.tokens_s[-1]) - each.start_s for each in truth.requests])
    return simulate(
        Load(
            # sends are late by a random millisecond, and may overtake one another
            arrival_s=np.maximum.accumulate([each.sent_s + NETWORK_S for each in truth.requests]),
            service_s=services,
            first_token_s=np.array([float(each.tokens_s[0]) - each.start_s for each in truth.requests]),
        ),
        Replicas(slots=plan.slots, create_s=REACTION_S, pending_s=START_UP_S - 1.6, loads_s=(1.6,)),
        # a scrape at either end of 10 s belongs to the window of the synthetic run
        MetricPath(
            scrape_s=1.0,
            scrape_offset_s=FIRST_SCRAPE_S,
            window_s=10.5,
            sync_s=SYNC_PERIOD_S,
            sync_offset_s=FIRST_SYNC_S,
        ),
        hpa(plan.replicas[0], plan.replicas[1], plan.ratio_target, window_s=round(SCALE_DOWN_WINDOW_S)),
        initial=plan.replicas[0],
        begin_s=FIRST_CREATED_S + START_UP_S,
        end_s=plan.load.length_s + plan.observed_s,
    )


@pytest.mark.parametrize("name", ["passing", "without time-outs"])
def test_a_closed_loop_repeats_a_synthetic_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every decision and the start of every request are those of the synthetic run."""
    # the HPA leaves out a sync at exactly the start of its window; sums of floats sometimes do
    monkeypatch.setattr("support.runs.synthetic.simulation.SCALE_DOWN_WINDOW_S", SCALE_DOWN_WINDOW_S - 0.5)
    plan = PLANS["passing"] if name == "passing" else replace(PLANS["failing"], peak_per_s=6.0, ratio_target=0.5)
    truth = simulate_plan(plan)
    assert {each.outcome for each in truth.requests} == {"ok"}
    assert len(truth.rescales) >= 4
    simulated = closed_loop(plan, truth)
    changes = [(each.t_s, each.before, each.after) for each in simulated.syncs if each.before != each.after]
    assert [(round(t_s, 6), before, after) for t_s, before, after in changes] == [
        (round(each.t_s, 6), each.before, each.after) for each in truth.rescales
    ]
    assert simulated.start_s == pytest.approx([each.start_s for each in truth.requests], abs=0.01)


def test_a_fixed_fleet_is_a_queue_for_each_replica() -> None:
    """Requests take turns; each replica starts them in order, as soon as a slot is free."""
    rng = np.random.default_rng(3)
    arrivals = np.cumsum(rng.exponential(0.2, 500)).tolist()
    services = rng.exponential(1.0, 500).tolist()
    simulated = fixed(load(arrivals, services), slots=3, count=2)
    for number in (0, 1):
        mine = np.flatnonzero(simulated.replica == number)
        free = [0.0] * 3
        for row in mine:
            start = max(arrivals[row], heapq.heappop(free))
            heapq.heappush(free, start + services[row])
            assert simulated.start_s[row] == pytest.approx(start, abs=1e-9)
        assert np.all(np.diff(mine) == 2)


def test_waits_follow_pollaczek_and_khinchine() -> None:
    """One slot, Poisson arrivals at 70 % load, equal services of 1 s: the mean wait is 0.7 / (2 · 0.3) s."""
    rng = np.random.default_rng(11)
    arrivals = np.cumsum(rng.exponential(1 / 0.7, 200_000)).tolist()
    simulated = fixed(load(arrivals, 1.0), slots=1, count=1)
    waits = simulated.start_s - np.array(arrivals)
    # autocorrelated waits: batch means of 100 batches give the standard error
    error = waits.reshape(100, -1).mean(axis=1).std(ddof=1) / math.sqrt(100)
    assert waits.mean() == pytest.approx(0.7 / (2 * 0.3), abs=4 * error)
    assert error < 0.05


def test_least_requests_avoids_the_busy_replica() -> None:
    """The second request would wait for 9 s behind the first, if requests took turns."""
    each = load([0.0, 1.0, 2.0, 3.0], [10.0, 0.5, 0.5, 0.5])
    assert fixed(each, slots=1, count=2).start_s.tolist() == [0.0, 1.0, 10.0, 3.0]
    assert fixed(each, slots=1, count=2, routing="least_requests").start_s.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_requests_give_up_after_their_timeout() -> None:
    """A request that gave up does not take a slot from the next one."""
    simulated = fixed(load([0.0, 0.5, 9.0], [10.0, 5.0, 1.0]), slots=1, count=1, timeout_s=3.0)
    assert simulated.start_s.tolist() == [0.0, math.inf, 10.0]


def test_without_a_ready_replica_requests_fail() -> None:
    """Nothing is ready before the simulation begins."""
    each = load([1.0, 2.0], 0.1)
    simulated = simulate(each, IMMEDIATE, PATH, None, initial=0, begin_s=0.0, end_s=3.0)
    assert (simulated.start_s.tolist(), simulated.replica.tolist()) == ([math.inf, math.inf], [-1, -1])


@pytest.mark.parametrize("stop_s", [0.0, 9.0])
def test_replicas_are_billed_from_creation_until_they_are_gone(stop_s: float) -> None:
    """A step of 8/s for 60 s on replicas that carry 2/s each, then nothing; a termination takes 9 s at least, or 0."""
    arrivals = np.arange(0, 60, 1 / 8).tolist()
    simulated = simulate(
        load(arrivals, 0.5),
        Replicas(slots=1, create_s=1.0, pending_s=2.0, loads_s=(4.0,), stop_s=stop_s),
        PATH,
        hpa(1, 4, 1.0, window_s=30),
        initial=1,
        begin_s=0.0,
        end_s=600.0,
    )
    created = sorted(each.created_s for each in simulated.replicas)
    assert created[0] == 0.0
    assert all((t_s - 1.0) % 15.0 == 0 for t_s in created[1:])  # a sync and the time to create pods
    assert all(each.ready_s == each.created_s + 6.0 for each in simulated.replicas[1:])
    assert max(each.after for each in simulated.syncs) == 4
    assert simulated.syncs[-1].after == 1
    for each in simulated.replicas:
        ends = simulated.start_s[simulated.replica == each.number] + 0.5
        assert each.gone_s == max([each.draining_s + stop_s, *ends])
        assert np.all(simulated.start_s[simulated.replica == each.number] >= each.ready_s)
    billed = sum(min(each.gone_s, 600.0) - each.created_s for each in simulated.replicas)
    assert simulated.replica_seconds(0.0, 600.0) == pytest.approx(billed)
    halves = simulated.replica_seconds(0.0, 100.0) + simulated.replica_seconds(100.0, 600.0)
    assert halves == pytest.approx(billed)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 20)), min_size=1, max_size=60),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(-50, 50),
)
def test_a_shift_of_time_changes_nothing(
    requests: list[tuple[float, float]], slots: int, low: int, by_s: float
) -> None:
    """All times move by the same amount, and no request starts before it arrives."""
    by_s = round(by_s)
    arrivals, services = sorted(t_s for t_s, _ in requests), [service_s for _, service_s in requests]

    def run(shift_s: float) -> Simulated:
        return simulate(
            load([t_s + shift_s for t_s in arrivals], services),
            Replicas(slots=slots, create_s=0.2, loads_s=(3.0,)),
            replace(PATH, scrape_offset_s=0.25 + shift_s, sync_offset_s=0.5 + shift_s),
            hpa(low, 5, 0.5, window_s=30),
            initial=low,
            begin_s=shift_s,
            end_s=150.0 + shift_s,
        )

    here, there = run(0.0), run(by_s)
    assert np.all(here.start_s >= np.array(arrivals))
    assert there.start_s - by_s == pytest.approx(here.start_s, abs=1e-6)
    assert [each.after for each in there.syncs] == [each.after for each in here.syncs]


def test_an_hpa_with_another_metric_is_refused() -> None:
    """What each of its metrics measures must be known."""
    cpu = ResourceMetric(resource="cpu", target=Target(type="Utilization", average_utilization_pct=60))
    two = replace(hpa(1, 2, 1.0), metrics=(*hpa(1, 2, 1.0).metrics, cpu))
    with pytest.raises(ValueError, match="the HPA has 2 metrics, and 1 are described"):
        simulate(load([0.0], 1.0), IMMEDIATE, PATH, two, initial=1, begin_s=0.0, end_s=1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: load([1.0, 0.0], 1.0), "arrivals are not in order"),
        (lambda: load([1.0, 2.0], [1.0]), "one service time"),
        (lambda: Replicas(slots=0), "at least one slot, not 0"),
        (lambda: Replicas(slots=2, slowdown_ratio=-0.1), "do not speed one another up: -0.1"),
        (lambda: MetricPath(scrape_s=0.0, window_s=10.0, sync_s=15.0), "scrape_s must be more than 0"),
        (lambda: MetricPath(scrape_s=1.0, window_s=math.nan, sync_s=15.0), "window_s must be more than 0"),
    ],
)
def test_impossible_inputs_are_refused(make: object, message: str) -> None:
    """The error names the value."""
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
