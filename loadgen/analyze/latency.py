"""Computes latencies from the scheduled time: of the whole run, per stage and per number of ready replicas."""

from collections.abc import Mapping
from itertools import islice

import numpy as np

from loadgen.analyze.bounds import Bounds, bounds, unfinished_gaps
from loadgen.analyze.measured import Counted, Measured, Received
from loadgen.analyze.observed import Bools, Floats, Observed
from loadgen.analyze.results import Latencies, OutcomeCount, Span, Stats
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.stats import bounded_stats, stats, weighted_stats
from loadgen.analyze.steps import Interval
from loadgen.analyze.too_many import MAX_STAGES
from loadgen.dataset.causes import MAX_CAUSES, cause_template
from loadgen.dataset.names import Cause


def whole(run: Observed, measured: Measured) -> Latencies:
    """All requests of the run, over the length of the load."""
    everything = np.ones(len(run.requests), dtype=np.bool_)
    span = None if run.length_s is None else (0.0, run.length_s)
    return _latencies(run, measured, _bounds(run, measured), "whole run", everything, [span] if span else [], span)


def stage_spans(run: Observed) -> tuple[Span, ...]:
    """The stages that began before the end of the load, up to that end, at most `MAX_STAGES`."""
    return _first_spans(run, MAX_STAGES)


def _first_spans(run: Observed, most: int) -> tuple[Span, ...]:
    spans = (
        Span(name=stage.name, start_s=stage.start_s - run.zero_s, end_s=min(stage.end_s - run.zero_s, run.end_s))
        for stage in run.info.stages
    )
    return tuple(islice((span for span in spans if span.start_s < run.end_s), most))


def per_stage(run: Observed, measured: Measured, spans: tuple[Span, ...]) -> tuple[Latencies, ...]:
    """One group per stage: the requests due from its start to the start of the next, so every request is in one."""
    if not spans:
        return ()
    starts = np.array([span.start_s for span in _first_spans(run, len(spans) + 1)])
    stage = np.maximum(np.searchsorted(starts, run.requests.scheduled_s, side="right") - 1, 0)
    known = _bounds(run, measured)
    return tuple(
        _latencies(run, measured, known, span.name, stage == number, [edges := (span.start_s, span.end_s)], edges)
        for number, span in enumerate(spans)
    )


def per_replicas(run: Observed, measured: Measured, fleet: Fleet) -> tuple[Latencies, ...]:
    """One group per number of ready replicas at the time when a request was due."""
    ready = fleet.ready.at(run.requests.scheduled_s)
    edges = np.concatenate(([0.0], fleet.ready.t_s[(fleet.ready.t_s > 0) & (fleet.ready.t_s < run.end_s)], [run.end_s]))
    counts = fleet.ready.at(edges[:-1])
    groups, known = [], _bounds(run, measured)
    for count in np.unique(ready[np.isfinite(ready)])[:MAX_STAGES]:
        spans = [(float(edges[i]), float(edges[i + 1])) for i in np.flatnonzero(counts == count)]
        name = f"{int(count)} replica" + ("" if count == 1 else "s")
        groups.append(_latencies(run, measured, known, name, ready == count, spans, None))
    return tuple(groups)


def per_warm_up(run: Observed, measured: Measured) -> tuple[Latencies, ...]:
    """The requests due before and after the warm-up; empty without one."""
    if not run.warm_up_s or run.length_s is None:
        return ()
    known = _bounds(run, measured)
    middle_s = min(run.warm_up_s, run.length_s)
    cold, warm = (0.0, middle_s), (middle_s, run.length_s)
    return (
        _latencies(run, measured, known, "cold", ~run.warm, [cold], cold),
        _latencies(run, measured, known, "warm", run.warm, [warm], warm),
    )


def outcomes(run: Observed) -> tuple[OutcomeCount, ...]:
    """Counts of requests by outcome and template of the cause, the most frequent first.

    Of the causes that come from servers and libraries, the `MAX_CAUSES` most frequent are listed; the rest is counted
    as `Cause.OTHER`, last, once per outcome. Times are of the end, or else the due time.
    """
    requests = run.requests
    when = np.where(np.isnan(requests.ended_s), requests.scheduled_s, requests.ended_s)
    causes = len(requests.cause.names) + 1
    pair = requests.outcome.code.astype(np.int64) * causes + requests.cause.code + 1
    pairs, place = np.unique(pair, return_inverse=True)
    templates = [None, *map(cause_template, requests.cause.names)]
    numbers: dict[tuple[str, str | None], int] = {}
    names = ((requests.outcome.names[each // causes], templates[each % causes]) for each in pairs.tolist())
    group = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)[place]
    first, last = np.full(len(numbers), np.inf), np.full(len(numbers), -np.inf)
    np.minimum.at(first, group, when)
    np.maximum.at(last, group, when)
    counts = np.bincount(group, minlength=len(numbers))
    counted = [
        OutcomeCount(
            outcome=outcome,
            cause=cause,
            count=int(counts[number]),
            first_s=float(first[number]),
            last_s=float(last[number]),
        )
        for (outcome, cause), number in numbers.items()
    ]
    ranked = sorted(counted, key=lambda each: (-each.count, each.outcome, each.cause or ""))
    declared = {None, *Cause}
    foreign = [each for each in ranked if each.cause not in declared]
    rest = set(foreign[MAX_CAUSES:])
    return (*(each for each in ranked if each not in rest), *_others(foreign[MAX_CAUSES:]))


def _others(rest: list[OutcomeCount]) -> list[OutcomeCount]:
    """One count per outcome for the causes that are not listed."""
    by_outcome: dict[str, list[OutcomeCount]] = {}
    for each in rest:
        by_outcome.setdefault(each.outcome, []).append(each)
    return [
        OutcomeCount(
            outcome=outcome,
            cause=Cause.OTHER,
            count=sum(each.count for each in group),
            first_s=min(each.first_s for each in group),
            last_s=max(each.last_s for each in group),
            causes=len(group),
        )
        for outcome, group in by_outcome.items()
    ]


def _bounds(run: Observed, measured: Measured) -> dict[str, Bounds]:
    """The bounds of the latencies of each request, and of the gaps that did not end; the other gaps are known."""
    return {
        **{metric: bounds(run, measured, metric) for metric in ("ttft", "tpot", "e2e")},
        "itl": unfinished_gaps(run, measured),
    }


def _latencies(
    run: Observed,
    measured: Measured,
    known: Mapping[str, Bounds],
    name: str,
    members: Bools,
    spans: list[Interval],
    own_span: Interval | None,
) -> Latencies:
    """Compute one group.

    Args:
        run: The run.
        measured: Its measured values.
        known: Bounds of its latencies.
        name: Name of the group.
        members: The requests of the group.
        spans: The time over which rates are averaged.
        own_span: The span of the group itself, if it has one.
    """
    requests = run.requests
    group = members & requests.due
    judged = group & requests.judged
    seconds = sum(end - start for start, end in spans)

    def per_s(sums: Counted | Received) -> float | None:
        if seconds <= 0:
            return None
        # The load ends with its last response, which belongs to the span that it ends.
        return sum(sums.within(start, end, closed=end == run.end_s) for start, end in spans) / seconds

    def bounded(metric: str, values: Floats) -> Stats:
        every = known[metric].where(group[known[metric].row])
        return bounded_stats(values, every.lower_s, every.upper_s)

    unfinished = known["itl"].where(group[known["itl"].row])
    return Latencies(
        name=name,
        start_s=own_span[0] if own_span else None,
        end_s=own_span[1] if own_span else None,
        scheduled=int(group.sum()),
        answered=int((group & requests.ok).sum()),
        failed=int((judged & ~requests.ok).sum()),
        offered_per_s=per_s(measured.offered),
        completed_per_s=per_s(measured.completed),
        output_tokens_per_s=per_s(measured.tokens),
        ttft=bounded("ttft", requests.ttft_s[group]),
        itl=weighted_stats(measured.gaps.of(group), unfinished.lower_s, unfinished.upper_s),
        tpot=bounded("tpot", measured.tpot_s[judged]),
        e2e=bounded("e2e", requests.e2e_s[group]),
        send_lag=stats(requests.send_lag_s[group]),
        stopped=int((group & requests.open).sum()),
    )
