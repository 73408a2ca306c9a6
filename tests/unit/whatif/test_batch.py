"""Requests in a batch slow one another down: an engine that computes tokens step by step tells the truth."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from loadgen.analyze.demand.services import Services
from loadgen.whatif.batch import BatchEffect, batch_effect
from loadgen.whatif.model import Load, MetricPath, Replicas
from loadgen.whatif.simulation import simulate

PATH = MetricPath(scrape_s=1.0, window_s=10.0, sync_s=15.0)
ALONE_S, FURTHER_S, SLOTS = 0.019, 0.003, 6
"""A step takes 19 ms with one request and 3 ms more with each further one: a slowdown of 3 / 19."""


def engine(arrivals: np.ndarray, tokens: np.ndarray, further_s: float = FURTHER_S) -> dict[str, np.ndarray]:
    """Starts, first and last tokens of an engine that computes a token of each running request in a step."""
    now, waiting, running = 0.0, list(range(len(arrivals))), dict[int, int]()
    times = {name: np.full(len(arrivals), np.nan) for name in ("start_s", "first_s", "last_s")}
    while waiting or running:
        if not running:
            now = max(now, arrivals[waiting[0]])
        while waiting and len(running) < SLOTS and arrivals[waiting[0]] <= now:
            request = waiting.pop(0)
            running[request], times["start_s"][request] = 0, now
        now += ALONE_S + further_s * (len(running) - 1)
        for request in list(running):
            running[request] += 1
            if running[request] == 1:
                times["first_s"][request] = now
            if running[request] == tokens[request]:
                times["last_s"][request] = now
                del running[request]
    return times


def poisson(seed: int, count: int = 400, per_s: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.exponential(1 / per_s, count)), rng.integers(16, 65, count)


class _Requests(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.first_s)


def effect_of(times: dict[str, np.ndarray], tokens: np.ndarray, *, pods: bool = True) -> tuple[BatchEffect, Services]:
    count = len(tokens)
    requests = _Requests(
        first_s=times["first_s"],
        last_s=times["last_s"],
        output_tokens=tokens.astype(float),
        pod=np.array(["a" if pods else None] * count, dtype=object),
    )
    services = Services(
        start_s=times["start_s"],
        service_s=times["last_s"] - times["start_s"],
        prefill_s=times["first_s"] - times["start_s"],
        method="measured",
    )
    fleet = SimpleNamespace(ready=SimpleNamespace(at=np.ones_like))
    return batch_effect(cast(Any, SimpleNamespace(requests=requests)), cast(Any, fleet), services, SLOTS), services


@pytest.mark.parametrize("pods", [True, False], ids=["by replica", "by number of replicas"])
def test_the_slowdown_is_found(pods: bool) -> None:
    """Within a tenth of 3 / 19: a request that starts within a step gets its first token a step later."""
    arrivals, tokens = poisson(1)
    effect, _ = effect_of(engine(arrivals, tokens), tokens, pods=pods)
    assert effect.why_missing is None
    assert effect.slowdown_ratio == pytest.approx(FURTHER_S / ALONE_S, rel=0.1)


def test_an_engine_that_is_not_slowed_down() -> None:
    """Every step takes as long, so the slowdown is 0 and known."""
    arrivals, tokens = poisson(2)
    effect, _ = effect_of(engine(arrivals, tokens, further_s=0.0), tokens)
    assert (effect.slowdown_ratio, effect.why_missing) == (0.0, None)


def test_batches_that_do_not_vary_say_nothing() -> None:
    """As one request at a time."""
    tokens = np.full(100, 20)
    effect, _ = effect_of(engine(np.arange(100.0), tokens), tokens)
    assert effect.why_missing is not None
    assert "too little variation" in effect.why_missing
    few, _ = effect_of(engine(np.arange(20.0), tokens[:20]), tokens[:20])
    assert few.why_missing is not None
    assert "of only 20 requests" in few.why_missing


def test_a_full_batch_is_predicted_with_the_slowdown() -> None:
    """Fitted at 4/s, the time that the engine takes for all requests at once is met within 5 %.

    Without the slowdown it is more than 10 % too short, as batches of 6 are larger than those of the run.
    """
    arrivals, tokens = poisson(3)
    effect, services = effect_of(engine(arrivals, tokens), tokens)
    at_once = np.zeros(len(tokens))
    truth_s = float(engine(at_once, tokens)["start_s"].max())

    def last_start_s(service_s: np.ndarray, slowdown_ratio: float) -> float:
        load = Load(arrival_s=at_once, service_s=service_s, first_token_s=np.minimum(0.02, service_s))
        replicas = Replicas(slots=SLOTS, slowdown_ratio=slowdown_ratio)
        simulated = simulate(load, replicas, PATH, None, initial=1, begin_s=-1.0, end_s=60.0)
        return float(simulated.start_s.max())

    alone_s = effect.alone_s(services.service_s, effect.batch)
    assert last_start_s(alone_s, effect.slowdown_ratio) == pytest.approx(truth_s, rel=0.05)
    assert last_start_s(services.service_s, 0.0) < 0.9 * truth_s


def test_two_requests_share_a_replica_by_hand() -> None:
    """With a slowdown of 1, two requests take twice as long while both run.

    The first, of 4 s, runs alone for 2 s. Then both run at half the pace: the second, of 1 s, is over at 4 s, when the
    third, which waits since 3 s, takes its place. Its first token, after 0.5 s alone, comes 1 s later.
    """
    load = Load(
        arrival_s=np.array([0.0, 2.0, 3.0]),
        service_s=np.array([4.0, 1.0, 1.0]),
        first_token_s=np.array([0.5, 0.5, 0.5]),
    )
    simulated = simulate(load, Replicas(slots=2, slowdown_ratio=1.0), PATH, None, initial=1, begin_s=0.0, end_s=20.0)
    assert simulated.start_s == pytest.approx([0.0, 2.0, 4.0])
    assert simulated.first_token_s == pytest.approx([0.5, 3.0, 5.0])
