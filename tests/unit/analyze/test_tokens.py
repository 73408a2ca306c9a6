"""Token times part by part, compared with a slow reference: one request after the other, all values in one list."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadgen.analyze import gaps, latency
from loadgen.analyze.measure import measure
from loadgen.analyze.prepare import observe
from loadgen.analyze.scaling.replicas import UNKNOWN
from loadgen.analyze.steps import Step
from loadgen.dataset import parts as dataset_parts
from loadgen.dataset.folder import RunFolder
from support.runs.tables import info, request, tables

STAGES = (("low", 0.0, 10.0), ("high", 10.0, 20.0))
LIMIT_S = 0.25
READY = Step(np.array([0.0, 5.0, 12.0]), np.array([1.0, 2.0, 1.0]))

UNIT_S = 2.0**-20
"""All times are multiples of it, so that the shift to the axis of the run is exact."""

gap = st.one_of(
    st.sampled_from([0.0, UNIT_S, 0.25, 1.0]),
    st.integers(0, 21).flatmap(lambda bits: st.integers(0, 2**bits)).map(lambda units: units * UNIT_S),
)
due = st.integers(0, 20 << 20).map(lambda units: units * UNIT_S)
answer = st.tuples(due, st.lists(gap, max_size=12), st.booleans())


@st.composite
def runs(draw):
    """A run, its answers as (due time, token times, whether it broke off), and the places at which parts begin."""
    answers = [
        (due_s, [float(t) for t in due_s + np.cumsum([0.5, *gap_s])], broken)
        for due_s, gap_s, broken in draw(st.lists(answer, max_size=12))
    ]
    rows = [
        request(n, due_s, 0.5, times[-1] - due_s, "cut_off" if broken else "ok", "broken" if broken else None)
        for n, (due_s, times, broken) in enumerate(answers)
    ]
    every = tables(requests=rows, tokens={n: times for n, (_, times, _) in enumerate(answers)})
    whole = every.tokens
    order = draw(st.permutations(range(len(answers))))
    whole = whole.take(pa.array(order, pa.int64()))
    cuts = sorted({0, len(answers), *draw(st.lists(st.integers(0, len(answers)), max_size=4))})
    parts = [whole.slice(low, high - low) for low, high in pairwise(cuts)]
    return every, answers, parts


def made(every, parts):
    run = info(length_s=600.0, stages=STAGES, limits=[("itl", "p95", LIMIT_S)], settings={"request_timeout_s": 600.0})
    observed = observe(run, replace(every, tokens=parts))
    return observed, measure(observed, READY)


def reference(answers, members):
    """The gaps in ascending order, and the percentiles by nearest rank."""
    values = sorted(
        later - earlier
        for (_, times, _), member in zip(answers, members, strict=True)
        if member
        for earlier, later in pairwise(times)
    )
    ranks = {name: max(math.ceil(share * len(values)), 1) - 1 for name, share in SHARES.items()}
    return values, {name: values[number] for name, number in ranks.items()} if values else {}


SHARES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "max": 1.0}


@pytest.mark.parametrize("exact", [10**6, 5], ids=["exact", "binned"])
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(runs())
def test_gaps_equal_the_reference(exact, drawn):
    """Any parts in any order: counts, means, maxima and slow gaps are the same, percentiles within the stated error."""
    every, answers, parts = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaps, "EXACT", exact)
        run, measured = made(every, parts)
        order = run.requests.ids
        groups = {
            "everyone": [True] * len(answers),
            "low stage": [due_s < 10.0 for due_s, _, _ in answers],
            "two replicas": [5.0 <= due_s < 12.0 for due_s, _, _ in answers],
            "odd ones, which are no group of a report": [n % 2 == 1 for n in range(len(answers))],
        }
        for name, members in groups.items():
            values, percentiles = reference(answers, members)
            found = measured.gaps.of(np.array(members, dtype=np.bool_)[order])
            assert len(found) == len(values), name
            if not values:
                continue
            assert found.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-12)
            assert found.quantile(1.0) == pytest.approx(values[-1], abs=1e-12)
            for share, expected in percentiles.items():
                tolerance = 1e-9 if exact == 10**6 else gaps.ERROR * (1 + 1e-9)
                assert getattr(found.percentiles(), share) == pytest.approx(expected, rel=tolerance, abs=UNIT_S)
        slow = [sum(b - a > LIMIT_S for a, b in pairwise(times)) for _, times, _ in answers]
        assert measured.slow_gaps[LIMIT_S].tolist() == [slow[n] for n in order]
        assert measured.responses.tolist() == [len(answers[n][1]) for n in order]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(runs(), st.lists(due, min_size=2, max_size=2, unique=True))
def test_tokens_of_any_span_equal_the_reference(drawn, span):
    """3 output tokens for each answer, spread over its responses: in stages, and in a span that no report has."""
    every, answers, parts = drawn
    _, measured = made(every, parts)
    for start_s, end_s in [(0.0, 10.0), (10.0, 20.0), (0.0, 600.0), tuple(sorted(span))]:
        expected = sum(3 / len(times) for _, times, _ in answers for t in times if start_s <= t < end_s)
        assert measured.tokens.within(start_s, end_s, closed=False) == pytest.approx(expected)


def test_large_and_small_runs_have_the_same_groups():
    """Every group of a report is the same whether its gaps are kept or counted, but for the error of percentiles."""
    rows = [request(n, n / 50, 0.5, 1.5, tokens=11) for n in range(1000)]
    times = {n: [n / 50 + 0.5 + k * (0.05 + 0.001 * (n % 7)) for k in range(11)] for n in range(1000)}
    every = tables(requests=rows, tokens=times)
    run = info(length_s=60.0, stages=STAGES)
    results = []
    for exact in (10**6, 100):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gaps, "EXACT", exact)
            observed = observe(run, every)
            measured = measure(observed, UNKNOWN)
            results.append(
                [
                    latency.whole(observed, measured),
                    *latency.per_stage(observed, measured, latency.stage_spans(observed)),
                ]
            )
    for one, other in zip(*results, strict=True):
        assert (one.itl.count, one.output_tokens_per_s) == (other.itl.count, other.output_tokens_per_s)
        assert one.itl.p95 == pytest.approx(other.itl.p95, rel=gaps.ERROR)
        assert replace(one, itl=other.itl) == other


def test_repeated_answers_in_another_part_are_left_out():
    """The second of two rows of one request is damage, also where the request is unknown."""
    every = tables(requests=[request(0, 1.0)], tokens={0: [1.5, 2.0], 9: [3.0]})
    whole = every.tokens
    measured = measure(observe(info(), replace(every, tokens=[whole, whole])))
    assert [(each.rows, each.count, each.fault) for each in measured.damage] == [
        (4, 2, "the request_id of an earlier row")
    ]
    assert measured.responses.tolist() == [2]


def test_another_pass_reads_only_the_parts_that_can_have_the_requests(tmp_path, monkeypatch):
    """A part whose token times are all before or after those of the requests is not read; the gaps are the same."""
    monkeypatch.setattr(gaps, "EXACT", 10)
    folder, due_s = RunFolder(tmp_path), [0.0, 5.0, 10.0, 15.0]
    times = {n: [due_s[n % 4] + after_s for after_s in (64.5, 64.75, 65.0 + n / 8)] for n in range(8)}
    for first in range(4):
        folder.append("tokens", "load0", [{"request_id": n, "t_s": times[n]} for n in (first, first + 4)])
    rows = [request(n, due_s[n % 4], 0.5, times[n][-1] - 64.0 - due_s[n % 4]) for n in times]
    run, measured = made(tables(requests=rows), folder.parts("tokens"))
    read, conforming = [], dataset_parts._conforming
    monkeypatch.setattr(dataset_parts, "_conforming", lambda *args: read.append(args[0].num_rows) or conforming(*args))
    # Others of the same stage and number of replicas are no members, so no union of groups has them.
    members = np.isin(run.requests.ids, [1, 2])
    found = measured.gaps.of(members)
    assert read == [2, 2]
    expected = sorted(b - a for n in (1, 2) for a, b in pairwise(times[n]))
    assert len(found) == len(expected)
    assert found.quantile(1.0) == expected[-1]
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-12)
