"""Slow requests whose cause is no lag: a fleet that was large enough, and waits that were not for a free slot."""

import numpy as np
from loadgen_reports.sentences import opening

from loadgen.analyze.analysis import analyze
from loadgen.analyze.results import Analysis
from support.runs.queues import ALWAYS, constant, drawn, served
from support.runs.tables import info, life, request, tables

PREFILL_S = 0.05


def analyzed(due: np.ndarray, start: np.ndarray, service: np.ndarray, replicas: int, limit_s: float) -> Analysis:
    """A run without an autoscaler; the engine reports the services."""
    rows = [
        request(number, at, begun - at + PREFILL_S, begun - at + takes)
        | {"engine_queue_s": 0.0, "engine_prefill_s": PREFILL_S, "engine_decode_s": takes - PREFILL_S}
        for number, (at, begun, takes) in enumerate(zip(due.tolist(), start.tolist(), service.tolist(), strict=True))
    ]
    events = [event for number in range(replicas) for event in life(f"pod-{number}", -20, -10)]
    about = info(length_s=float(due[-1]) + 1.0, limits=(("ttft", "p95", limit_s),), autoscaler=None)
    return analyze(about, tables(requests=rows, events=events))


def test_a_fleet_that_was_large_enough_did_not_lag():
    """Six replicas where five are enough, and 2 % of the requests are slow by chance: none of them by a lag.

    A replay with five gives other requests to other replicas, so it is fast where the run was slow; without a shortage
    that is no lag. Exact: the count is 0.
    """
    due = constant(5.0, 400.0, 11)
    service = np.maximum(drawn("exponential", len(due), 11, 0.9), 0.1)
    start = served(due, service, [ALWAYS] * 6, 2)
    slow = int((start + PREFILL_S - due > 0.5).sum())
    made = analyzed(due, start, service, 6, 0.5)
    assert 20 < slow < 0.05 * len(due)
    assert (made.demand.attribution.slow, made.demand.attribution.by_lag) == (slow, 0)
    assert "because the fleet was too small" not in " ".join(opening(made))


def test_without_an_autoscaler_the_fleet_is_too_small_and_does_not_lag():
    """One replica of 5/s at 6/s: every slow request is so because a replica is missing, and nothing lags."""
    due = constant(6.0, 120.0, 12)
    service = np.full(len(due), 0.2)
    start = served(due, service, [ALWAYS])
    slow = int((start + PREFILL_S - due > 2.0).sum())
    made = analyzed(due, start, service, 1, 2.0)
    assert made.headline.in_time.answer == "not_tested"
    assert (made.demand.attribution.slow, made.demand.attribution.by_lag) == (slow, slow)
    text = " ".join(opening(made))
    assert f"{slow} of {len(due)} requests exceeded TTFT ≤ 2 s, all of them because the fleet was too small." in text
    assert "because of the lag" not in text


def test_a_wait_that_is_not_for_a_slot_shows_neither_slots_nor_capacity():
    """First tokens 30 s late for 40 s, at a server of at least six slots that serves 1.2 requests at once.

    With so many slots, nothing waits for one. The number in service while requests wait is Poisson with mean 1.2, and
    so constant for at most a third of the time: exactly one with a chance of 36 %.
    """
    due = constant(2.0, 400.0, 13)
    late_s = np.where((due >= 200) & (due < 240), 30.0, 0.0)
    service = np.full(len(due), 0.6)
    made = analyzed(due, due + late_s, service, 1, 1.0)
    demand = made.demand
    assert (demand.capacity, demand.slots, demand.rates, demand.attribution, demand.smallest) == (
        None,
        None,
        (),
        None,
        None,
    )
    assert demand.why_missing.startswith("some requests waited while their replica served fewer others")
    assert made.headline.in_time.answer == "not_known"
    assert "because" not in " ".join(opening(made))
