"""Laws that hold for every run: requests are counted once, time has no unit, the order of rows does not matter."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.analyze.analysis import analyze
from loadgen.analyze.results import Analysis
from support.runs.queues import ALWAYS, answers, constant, drawn
from support.runs.tables import info, life, request, tables

LENGTH_S = 80.0
STAGES = (("first", 0.0, 30.0), ("second", 30.0, LENGTH_S))
ENDS = {"ok": None, "error": "empty answer", "rejected": "queue full", "timeout": "no token", "cut_off": "run stopped"}


@cache
def rows(seed: int, scale: float = 1.0) -> tuple[dict[str, object], ...]:
    """One replica of 5/s at 80 % load, with all times multiplied."""
    due = constant(4.0, LENGTH_S, seed)
    seen = answers(due, drawn("exponential", len(due), seed, 0.2), [ALWAYS])
    times = np.transpose([seen.due_s, seen.first_s - seen.due_s, seen.last_s - seen.due_s]) * scale
    return tuple(request(number, *map(float, each)) for number, each in enumerate(times))


@cache
def of_seed(seed: int) -> Analysis:
    """The analysis of such a run as it is."""
    return analyzed(rows(seed))


def analyzed(requests: object, scale: float = 1.0, limit_s: float = 0.5) -> Analysis:
    about = info(
        length_s=LENGTH_S * scale,
        stages=tuple((name, start * scale, end * scale) for name, start, end in STAGES),
        limits=(("ttft", "p95", limit_s * scale),),
    )
    return analyze(about, tables(requests=requests, events=life("a", -20 * scale, -10 * scale)))


@settings(max_examples=5)
@given(st.integers(0, 2), st.lists(st.sampled_from(sorted(ENDS)), min_size=1, max_size=40))
def test_every_request_is_counted_once(seed, outcomes):
    """Whatever the outcomes: stages, outcomes, causes and windows of attainment have all requests, each once."""
    made = []
    for row, outcome in zip(rows(seed), outcomes * 400, strict=False):
        lost = {} if outcome == "ok" else {"first_token_s": None, "last_token_s": None, "output_tokens": None}
        made.append({**row, **lost, "outcome": outcome, "cause": ENDS[outcome]})
    run = analyzed(made)
    assert run.whole.scheduled == len(made)
    for field in ("scheduled", "answered", "failed", "stopped"):
        assert sum(getattr(each, field) for each in run.stages) == getattr(run.whole, field)
    assert run.whole.answered + run.whole.failed + run.whole.stopped == len(made)
    assert sum(each.count for each in run.outcomes) == len(made)
    assert run.attainment is not None
    assert sum(each.requests for each in run.attainment.windows) == run.attainment.whole.requests
    assert sum(each.attained for each in run.attainment.windows) == run.attainment.whole.attained
    if (cause := run.demand.attribution) is not None:
        assert cause.by_lag + cause.otherwise + cause.unexplained == cause.slow


@settings(max_examples=3)
@given(st.integers(0, 2), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_time_has_no_unit(seed, scale):
    """All times twice as long: latencies double, rates halve, counts and shares stay."""
    one, other = of_seed(seed), analyzed(rows(seed, scale), scale)
    for name in ("p50", "p95", "max"):
        assert getattr(other.whole.ttft, name) == pytest.approx(scale * getattr(one.whole.ttft, name))
    assert other.whole.offered_per_s == pytest.approx(one.whole.offered_per_s / scale)
    assert one.demand.capacity is not None
    assert other.demand.capacity is not None
    for end in ("low", "value", "high"):
        assert getattr(other.demand.capacity, end) == pytest.approx(getattr(one.demand.capacity, end) / scale)
    assert other.demand.slots == one.demand.slots == 1
    assert other.headline.slow_requests == one.headline.slow_requests
    assert other.demand.smallest == one.demand.smallest


@settings(max_examples=3)
@given(st.integers(0, 2), st.randoms(use_true_random=False))
def test_parts_may_be_merged_in_any_order(seed, random):
    """Workers write parts of their own: the order of the rows has no influence."""
    shuffled = list(rows(seed))
    random.shuffle(shuffled)
    one, other = of_seed(seed), analyzed(shuffled)
    assert repr(dataclasses.asdict(other)) == repr(dataclasses.asdict(one))
