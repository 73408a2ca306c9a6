"""How long a request occupies a slot: by queues of a few lines whose slots are Triton's instances, or the engine's."""

import heapq
import math
from typing import Any, NamedTuple

import numpy as np
import pytest

from loadgen.analyze.demand.need import Need, need
from loadgen.analyze.demand.occupancy import Occupancy, occupancy
from loadgen.analyze.demand.replay import replay
from loadgen.analyze.demand.replica import ReplicaModel, fit
from loadgen.analyze.demand.result import assess
from loadgen.analyze.demand.served import as_served
from loadgen.analyze.observed import Observed
from loadgen.analyze.scaling.replicas import fleet
from loadgen.scenario.rates import Step
from support.runs.tables import info, life, observed, request, series

SLOTS, PER_S, LENGTH_S, SECOND_S = 4, 7.0, 60.0, 30.0
PREFILL_S, HELD_S = 0.1, 0.03
SERVICES_S = np.random.default_rng(4).uniform(0.6, 1.0, int(PER_S * LENGTH_S))
"""What the engine reports: 0.8 s on average."""


class Served(NamedTuple):
    """A run, and when a slot took each request."""

    run: Observed
    start_s: np.ndarray


def served(
    *, inside: bool = False, limit_s: float = 8.0, more_s: float = 0.0, others: int = 0, counters: bool = True
) -> Served:
    """7/s, on one replica of four slots for 30 s, and then on two.

    Args:
        inside: Whether requests wait in the engine, and Triton counts that as compute; otherwise they wait in Triton's
            queue for an instance, which they hold for `HELD_S` besides the service.
        limit_s: Limit on TTFT p95.
        more_s: What Triton counts as compute besides.
        others: Requests of others that each replica counts, too.
        counters: Whether Triton's counters were collected.
    """
    free = {"a": [-math.inf] * SLOTS, "b": [SECOND_S] * SLOTS}
    rows, starts = [], []
    counted: dict[str, list[tuple[float, float]]] = {pod: [(SECOND_S + 0.5, 0.8)] * others for pod in "ab"}
    held_s = 0.0 if inside else HELD_S
    for number, service_s in enumerate(SERVICES_S.tolist()):
        at = number / PER_S
        pod = "b" if number % 2 and at >= SECOND_S else "a"
        start = max(at, free[pod][0])
        end = start + service_s + held_s
        heapq.heapreplace(free[pod], end)
        counted[pod].append((end, end - (at if inside else start) + more_s))
        engine = {"engine_prefill_s": PREFILL_S, "engine_decode_s": service_s - PREFILL_S, "pod": pod}
        engine["engine_queue_s"] = start - at if inside else 0.001
        first_s = start + held_s + PREFILL_S
        rows.append(request(number, at, first_s - at, end - at) | engine)
        starts.append(start)
    samples: list[dict[str, Any]] = []
    for pod, answers in counted.items():
        ends, compute_s = np.array(sorted(answers)).T
        times = [-6.0, *ends.tolist()]
        samples += series("raw_success", pod, dict(zip(times, range(len(times)), strict=True)))
        total_us = np.cumsum([0.0, *compute_s]) * 1e6
        samples += series("raw_compute_us", pod, dict(zip(times, total_us.tolist(), strict=True)))
    load = Step(levels_per_s=(PER_S,), hold_s=LENGTH_S).model_dump(mode="json")
    about = info(length_s=LENGTH_S, limits=(("ttft", "p95", limit_s),), settings={"load": load})
    events = [*life("a", -9, -5), *life("b", 15, SECOND_S)]
    run = observed(about, requests=rows, events=events, samples=samples if counters else ())
    return Served(run, np.array(starts))


def occupied(run: Observed) -> Occupancy:
    found = occupancy(run, fleet(run), run.requests.service_s)
    assert isinstance(found, Occupancy)
    return found


def fitted(run: Observed) -> tuple[ReplicaModel, Need]:
    model = fit(run, fleet(run), run.requests.service_s)
    assert isinstance(model, ReplicaModel)
    needed = need(run, model.rates)
    assert isinstance(needed, Need)
    return model, needed


def test_an_instance_of_triton_is_held_for_longer_than_the_engine_works() -> None:
    """Each request holds it for its service and 30 ms, from the moment at which it left the queue."""
    truth = served()
    found = occupied(truth.run)
    assert found.slots == SLOTS
    assert found.services.service_s == pytest.approx(SERVICES_S + HELD_S)
    assert found.services.start_s == pytest.approx(truth.start_s)
    # from the slot to the first token: the hand-over and the prefill
    assert found.services.prefill_s == pytest.approx(HELD_S + PREFILL_S)


def test_the_capacity_is_that_of_the_instances() -> None:
    """4 slots / (0.8 s + 30 ms), by the services that began in a full batch; 4 % less than the engine's times say."""
    model, _ = fitted(served().run)
    full = model.services.known & (served().start_s > 2.0)
    truth = SLOTS / (SERVICES_S[full].mean() + HELD_S)
    assert model.rates.capacity.value == pytest.approx(truth, rel=0.01)
    assert model.rates.capacity.value < 0.98 * SLOTS / SERVICES_S.mean()


@pytest.mark.parametrize("limit_s", [4.0, 8.0, 12.0])
def test_a_replay_repeats_the_waits_of_the_run(limit_s: float) -> None:
    """To the millisecond, so each slow request is explained: by the second replica, which was needed from the start."""
    run, start_s = served(limit_s=limit_s)
    model, needed = fitted(run)
    lives = as_served(run, fleet(run), 0.8, model.rates.slots, model.rates.policy)
    again_s = replay(run.requests.scheduled_s, model.services.service_s, lives)
    assert again_s == pytest.approx(start_s, abs=0.001)
    cause = assess(run, fleet(run), model, needed, ()).demand.attribution
    assert cause is not None
    slow = int((start_s + HELD_S + PREFILL_S - run.requests.scheduled_s > limit_s).sum())
    assert slow > 20
    assert (cause.slow, cause.by_lag, cause.otherwise, cause.unexplained) == (slow, slow, 0, 0)


def test_without_the_counters_the_waits_are_not_explained() -> None:
    """The engine's times alone are 30 ms short, 4 % of the wait: most of those over 12 s are not slow in a replay."""
    run, _ = served(limit_s=12.0, counters=False)
    model, needed = fitted(run)
    assert model.services.service_s == pytest.approx(SERVICES_S)
    cause = assess(run, fleet(run), model, needed, ()).demand.attribution
    assert cause is not None
    assert not cause.conclusive


def test_a_wait_inside_the_engine_is_no_service() -> None:
    """Triton counts it as compute, and the slots are those of the batch: 0.8 s each, whatever Triton counts."""
    truth = served(inside=True)
    found = occupied(truth.run)
    assert (found.slots, found.services.service_s) == (SLOTS, pytest.approx(SERVICES_S))
    assert found.services.start_s == pytest.approx(truth.start_s)


@pytest.mark.parametrize(
    "changes",
    [{"counters": False}, {"others": 60}, {"more_s": 0.3}, {"more_s": -0.3}],
    ids=["no counters", "requests of others", "more than a fifth of a service", "less than the service"],
)
def test_counters_of_something_else_change_nothing(changes: dict[str, Any]) -> None:
    """The services are then what the engine reported."""
    assert occupied(served(**changes).run).services.service_s == pytest.approx(SERVICES_S)


def test_replicas_take_requests_from_the_first_that_they_answered() -> None:
    """Answers name their replica: the second one took its first request when that was due, not a service before."""
    run, _ = served()
    lives = as_served(run, fleet(run), 5.0, SLOTS, "round_robin")
    first = int(np.flatnonzero(run.requests.pod == "b")[0])
    assert lives.from_s.tolist() == [-math.inf, run.requests.scheduled_s[first]]
    assert lives.until_s.tolist() == [math.inf, math.inf]


def test_a_replica_that_drains_took_its_last_request_when_that_was_due() -> None:
    """The gateway sent it another one 1 s after its termination began, as it learns of it later."""
    rows = [request(n, n / 2) | {"pod": "a" if n % 2 else "b"} for n in range(60)]
    events = [*life("a", -9, -5), *life("b", -9, -5, 28.0, 31.0)]
    run = observed(requests=rows, events=events)
    lives = as_served(run, fleet(run), 1.0, 1, "round_robin")
    assert lives.until_s.tolist() == [math.inf, np.nextafter(29.0, math.inf)]
