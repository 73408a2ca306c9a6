"""Measures a run in one pass over its token times."""

from collections.abc import Sequence

import numpy as np

from loadgen.analyze.gaps import Gaps
from loadgen.analyze.measured import Counted, Measured, Received
from loadgen.analyze.observed import Bools, Damage, Floats, Ints, Observed
from loadgen.analyze.scaling.replicas import UNKNOWN
from loadgen.analyze.steps import Step
from loadgen.analyze.tokens import Faults, Tokens
from loadgen.analyze.too_many import MAX_STAGES

_TABLES = ("requests", "tokens", "samples", "events")


def measure(run: Observed, ready: Step = UNKNOWN) -> Measured:
    """Token gaps, TPOT and throughput of a run.

    Any group of requests can be selected from the result. The groups that reports have (stages, warm-up, replicas) cost
    nothing; others cost another pass over the token times if there are more than `loadgen.analyze.gaps.EXACT` gaps.

    Args:
        run: The run.
        ready: Ready replicas over time.
    """
    requests = run.requests
    size = len(requests)
    responses, latest_s = np.zeros(size, dtype=np.int64), np.full(size, np.nan)
    limits_s = {limit.limit for limit in run.info.limits if limit.metric == "itl"}
    slow_gaps = {limit_s: np.zeros(size, dtype=np.int64) for limit_s in limits_s}
    edges_s = _edges(run, ready)
    gaps = Gaps(run.answers, _cells(run, edges_s, ready), latest_s)
    tokens = Received(run.answers, requests.output_tokens, edges_s)
    faults = Faults()
    for answers in run.answers.read(faults) if isinstance(run.answers, Tokens) else run.answers:
        responses[answers.row] = answers.lengths
        latest_s[answers.row] = answers.t_s[np.cumsum(answers.lengths) - 1]
        gap_s, count = answers.gaps(), answers.lengths - 1
        gaps.add(gap_s, answers.row, count)
        tokens.add(answers)
        for limit_s, slow in slow_gaps.items():
            slow[answers.row] = _flagged(gap_s > limit_s, count)
    at_once = responses == 0
    tokens.add_at_once(requests.last_s[at_once], requests.output_tokens[at_once])
    return Measured(
        responses=responses,
        latest_s=latest_s,
        gaps=gaps,
        slow_gaps=slow_gaps,
        tpot_s=_tpot(run, responses),
        offered=Counted(requests.scheduled_s[requests.due]),
        completed=Counted(requests.ended_s[requests.ok]),
        tokens=tokens,
        damage=_ordered(*run.damage, *faults.damage()),
    )


def _flagged(flags: Bools, count: Ints) -> Ints:
    """How many flags of each request are set, of which each has so many."""
    request = np.searchsorted(np.cumsum(count), np.flatnonzero(flags), side="right")
    return np.bincount(request, minlength=len(count))


def _tpot(run: Observed, responses: Ints) -> Floats:
    requests = run.requests
    tokens = np.where(np.isnan(requests.output_tokens), responses, requests.output_tokens)
    several = (tokens >= 2) & (responses >= 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        tpot_s: Floats = np.where(several, (requests.last_s - requests.first_s) / (tokens - 1), np.nan)
    return tpot_s


def _edges(run: Observed, ready: Step) -> list[float]:
    """The edges of the spans of every group of a report, in order."""
    stages = [
        edge_s - run.zero_s for stage in run.info.stages[: MAX_STAGES + 1] for edge_s in (stage.start_s, stage.end_s)
    ]
    within = [edge_s for edge_s in (*stages, *ready.t_s.tolist(), run.warm_up_s) if 0 < edge_s < run.end_s]
    return sorted({0.0, run.end_s, *within, *stages})


def _cells(run: Observed, edges_s: Sequence[float], ready: Step) -> Ints:
    """The cell of each request: those of one cell are in the same groups; -1 for requests that were not due."""
    starts = np.unique([stage.start_s - run.zero_s for stage in run.info.stages[: MAX_STAGES + 1]])
    edges = np.unique(np.concatenate((edges_s, ready.t_s)))
    since = np.concatenate(([-np.inf], edges))
    stage = np.searchsorted(starts, since, side="right")
    replicas = np.nan_to_num(ready.at(since), nan=-1.0)
    groups = np.stack((np.maximum(stage, 1), replicas, since >= run.warm_up_s), axis=1)
    _, cell_of = np.unique(groups, axis=0, return_inverse=True)
    cell = cell_of.reshape(-1)[np.searchsorted(edges, run.requests.scheduled_s, side="right")]
    return np.where(run.requests.due, cell, -1)


def _ordered(*damage: Damage) -> tuple[Damage, ...]:
    return tuple(sorted(damage, key=lambda each: _TABLES.index(each.table)))
