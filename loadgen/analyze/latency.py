"""Computes latencies from the scheduled time: of the whole run, per stage and per number of ready replicas."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from loadgen.analyze.bounds import bounds, unfinished_gaps
from loadgen.analyze.columns import extent
from loadgen.analyze.measured import Counted, Measured, Received
from loadgen.analyze.observed import Bools, Floats, Observed
from loadgen.analyze.results import Latencies, OutcomeCount, Span, Stats
from loadgen.analyze.scaling.replicas import Fleet
from loadgen.analyze.stats import bounded_stats, stats, weighted_stats
from loadgen.analyze.steps import Interval
from loadgen.analyze.too_many import MAX_STAGES
from loadgen.dataset.causes import MAX_CAUSES, cause_template
from loadgen.dataset.names import Cause


@dataclass(frozen=True, slots=True)
class _Group:
    """Requests whose latencies are reported together.

    Attributes:
        name: Name of the group.
        rows: The rows from its first to its last request.
        members: Which of these rows are in the group; None for all.
        spans: The time over which rates are averaged.
        own_span: The span of the group itself, if it has one.
    """

    name: str
    rows: slice
    members: Bools | None
    spans: list[Interval]
    own_span: Interval | None

    def of(self, flags: Bools) -> Bools:
        """The flags of its rows, set only for the group."""
        own = flags[self.rows]
        return own if self.members is None else own & self.members


def _group(name: str, members: Bools, spans: list[Interval], own_span: Interval | None) -> _Group:
    rows = extent(members)
    inside = members[rows]
    return _Group(name, rows, None if inside.all() else inside, spans, own_span)


def whole(run: Observed, measured: Measured) -> Latencies:
    """All requests of the run, over the length of the load."""
    span = None if run.length_s is None else (0.0, run.length_s)
    every = _Group("whole run", slice(0, len(run.requests)), None, [span] if span else [], span)
    return _latencies(run, measured, [every])[0]


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
    starts = [span.start_s for span in _first_spans(run, len(spans) + 1)]
    last = np.searchsorted(run.requests.scheduled_s, starts[1:], side="left").tolist()
    edges = [0, *last, len(run.requests)] if len(starts) == len(spans) else [0, *last]
    groups = [
        _Group(span.name, slice(*edges[number : number + 2]), None, [own := (span.start_s, span.end_s)], own)
        for number, span in enumerate(spans)
    ]
    return _latencies(run, measured, groups)


def per_replicas(run: Observed, measured: Measured, fleet: Fleet) -> tuple[Latencies, ...]:
    """One group per number of ready replicas at the time when a request was due."""
    ready = fleet.ready.at(run.requests.scheduled_s)
    edges = np.concatenate(([0.0], fleet.ready.t_s[(fleet.ready.t_s > 0) & (fleet.ready.t_s < run.end_s)], [run.end_s]))
    counts = fleet.ready.at(edges[:-1])
    groups = []
    for count in np.unique(ready[np.isfinite(ready)])[:MAX_STAGES]:
        spans = [(float(edges[i]), float(edges[i + 1])) for i in np.flatnonzero(counts == count)]
        name = f"{int(count)} replica" + ("" if count == 1 else "s")
        groups.append(_group(name, ready == count, spans, None))
    return _latencies(run, measured, groups)


def per_warm_up(run: Observed, measured: Measured) -> tuple[Latencies, ...]:
    """The requests due before and after the warm-up; empty without one."""
    if not run.warm_up_s or run.length_s is None:
        return ()
    middle_s = min(run.warm_up_s, run.length_s)
    cold, warm = (0.0, middle_s), (middle_s, run.length_s)
    groups = [_group("cold", ~run.warm, [cold], cold), _group("warm", run.warm, [warm], warm)]
    return _latencies(run, measured, groups)


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


def _latencies(run: Observed, measured: Measured, groups: Sequence[_Group]) -> tuple[Latencies, ...]:
    """Compute some groups, one metric after the other: the values of one are in memory at a time."""
    requests = run.requests
    due, ok, still_open = requests.due, requests.ok, requests.open
    judged = due & requests.judged

    def bounded(metric: str, values: Floats, among: Bools) -> list[Stats]:
        every = bounds(run, measured, metric)
        found = []
        for group in groups:
            own = every.of(group.rows)
            if group.members is not None:
                own = own.where(group.members[own.row - group.rows.start])
            found.append(bounded_stats(_chosen(values[group.rows], group.of(among)), own.lower_s, own.upper_s))
        return found

    def gaps() -> list[Stats]:
        every = unfinished_gaps(run, measured)
        found = []
        for group in groups:
            own = every.of(group.rows)
            members = np.zeros(len(requests), dtype=np.bool_)
            members[group.rows] = group.of(due)
            own = own.where(members[own.row])
            found.append(weighted_stats(measured.gaps.of(members), own.lower_s, own.upper_s))
        return found

    ttft, itl = bounded("ttft", requests.ttft_s, due), gaps()
    tpot, e2e = bounded("tpot", measured.tpot_s, judged), bounded("e2e", requests.e2e_s, due)
    lag_s = requests.send_lag_s
    send_lag = [stats(_chosen(lag_s[group.rows], group.of(due))) for group in groups]
    return tuple(
        Latencies(
            name=group.name,
            start_s=group.own_span[0] if group.own_span else None,
            end_s=group.own_span[1] if group.own_span else None,
            scheduled=_count(group.of(due)),
            answered=_count(group.of(due) & ok[group.rows]),
            failed=_count(group.of(judged) & ~ok[group.rows]),
            offered_per_s=_per_s(run, measured.offered, group.spans),
            completed_per_s=_per_s(run, measured.completed, group.spans),
            output_tokens_per_s=_per_s(run, measured.tokens, group.spans),
            ttft=ttft[number],
            itl=itl[number],
            tpot=tpot[number],
            e2e=e2e[number],
            send_lag=send_lag[number],
            stopped=_count(group.of(due) & still_open[group.rows]),
        )
        for number, group in enumerate(groups)
    )


def _chosen(values: Floats, members: Bools) -> Floats:
    return values if members.all() else values[members]


def _count(flags: Bools) -> int:
    return int(np.count_nonzero(flags))


def _per_s(run: Observed, sums: Counted | Received, spans: list[Interval]) -> float | None:
    """The mean rate over some spans; None if they have no length."""
    seconds = sum(end - start for start, end in spans)
    if seconds <= 0:
        return None
    # The load ends with its last response, which belongs to the span that it ends.
    return sum(sums.within(start, end, closed=end == run.end_s) for start, end in spans) / seconds
