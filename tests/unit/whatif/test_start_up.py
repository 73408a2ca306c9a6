"""How replicas start: those that load at the same time take longer, and a simulation knows from a run how much."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadgen.analyze.observed import Observed
from loadgen.analyze.read import read_observed
from loadgen.analyze.scaling.replicas import Fleet, Replica, fleet
from loadgen.autoscale.spec import Behavior, HpaSpec, PodsMetric, Target
from loadgen.whatif.model import Load, MetricPath, Replicas
from loadgen.whatif.simulation import simulate
from loadgen.whatif.start_up import fitted_replicas
from support.runs.synthetic import PLANS, write

Start = tuple[float, float, float]
"""When a pod was created, started and ready."""
FIRST = (-30.0, -30.0, -28.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Observed, Fleet]:
    observed = read_observed(write(Path(tmp_path_factory.mktemp("runs")), PLANS["passing"]))
    return observed, fleet(observed)


def fitted(run: tuple[Observed, Fleet], *starts: Start) -> tuple[Replicas, list[str]]:
    observed, replicas = run
    pods = {
        str(number): Replica(name=str(number), created_s=created_s, started_s=started_s, ready_s=ready_s)
        for number, (created_s, started_s, ready_s) in enumerate(starts)
    }
    assumptions: list[str] = []
    made = fitted_replicas(observed, replace(replicas, pods=pods), 4, 0.0, assumptions)
    return made, assumptions


def together(at_s: float, *loads_s: float) -> Sequence[Start]:
    return [(at_s, at_s + 1.0, at_s + 1.0 + load_s) for load_s in loads_s]


def test_replicas_that_load_together_have_their_own_time(run: tuple[Observed, Fleet]) -> None:
    """One took 3 s, three took 9 s; two were not observed, and are in the middle."""
    made, assumptions = fitted(run, FIRST, *together(10.0, 3.0), *together(50.0, 8.0, 9.0, 10.0))
    assert (made.pending_s, made.loads_s) == (1.0, (3.0, 6.0, 9.0))
    assert made.start_up_s == 10.0
    assert not any("as fast as before the load" in each for each in assumptions)


def test_one_that_starts_while_others_load_counts_them(run: tuple[Observed, Fleet]) -> None:
    """The third starts 2 s after two that load for 6 s, and the fourth when all are ready."""
    made, _ = fitted(run, FIRST, *together(10.0, 6.0, 6.0), *together(12.0, 7.0), *together(40.0, 2.0))
    assert made.loads_s == (2.0, 6.0, 7.0)


def test_the_first_replica_shows_how_long_one_takes_alone(run: tuple[Observed, Fleet]) -> None:
    """Three started together under load; that one takes as long as before the load is assumed, and said."""
    made, assumptions = fitted(run, FIRST, *together(10.0, 8.0, 8.0, 8.0))
    assert made.loads_s == (2.0, 5.0, 8.0)
    expected = "a replica that starts alone loads as fast as before the load: under load at least 3 started together"
    assert expected in assumptions


def test_a_slow_first_replica_says_nothing_about_later_ones(run: tuple[Observed, Fleet]) -> None:
    """It loaded with a cold cache."""
    made, assumptions = fitted(run, (-90.0, -90.0, -20.0), *together(10.0, 8.0, 8.0, 8.0))
    assert made.loads_s == (8.0, 8.0, 8.0)
    assert not any("as fast as before the load" in each for each in assumptions)


def test_more_replicas_never_load_faster(run: tuple[Observed, Fleet]) -> None:
    """One took 9 s on a cold node, two took 3 s."""
    made, _ = fitted(run, FIRST, *together(10.0, 9.0), *together(50.0, 3.0, 3.0))
    assert made.loads_s == (9.0, 9.0)


def test_a_simulation_counts_the_replicas_that_load() -> None:
    """A queue that grows quickly adds three at once, which load for 9 s; four of them would take as long."""
    arrivals = np.arange(0.0, 60.0, 0.1)
    load = Load(arrival_s=arrivals, service_s=np.full(len(arrivals), 1.0), first_token_s=np.full(len(arrivals), 0.1))
    target = Target(type="AverageValue", average_value_milli=500)
    for most, load_s in ((2, 3.0), (3, 6.0), (4, 9.0), (5, 9.0)):
        simulated = simulate(
            load,
            Replicas(slots=1, pending_s=1.0, loads_s=(3.0, 6.0, 9.0)),
            MetricPath(scrape_s=1.0, window_s=10.0, sync_s=15.0),
            HpaSpec(
                min_replicas=1, max_replicas=most, metrics=(PodsMetric(name="r", target=target),), behavior=Behavior()
            ),
            initial=1,
            begin_s=0.0,
            end_s=60.0,
        )
        added = [each for each in simulated.replicas if each.created_s > 0]
        assert len(added) == most - 1
        assert {each.ready_s - each.created_s for each in added} == {1.0 + load_s}
